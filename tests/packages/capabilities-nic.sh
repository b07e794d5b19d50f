# For tests/clients/run-nic.sh: lxc-user-nic with the capabilities that its AppArmor profile names (CAPABILITIES, for setpriv), and
# no others in the bounding set; and with one less. Called by alice, and by root.
bridge lxcbr0 10.0.3.1/24
usernet 'alice veth lxcbr0 10' 'root veth lxcbr0 10'
/run/alice unshare --user --net sleep 1000 &
alices=$!
until [ "$(cat /proc/$alices/comm)" = sleep ]; do sleep 0.1; done
unshare --net sleep 1000 &
roots=$!
until [ "$(cat /proc/$roots/comm)" = sleep ]; do sleep 0.1; done
cd /
number=0
# with CAPABILITIES
with() {
    number=$((number + 1))
    status=0
    setpriv --reuid alice --regid alice --clear-groups --bounding-set="-all$1" \
        /usr/libexec/lxc/lxc-user-nic create /dev/null dummy $alices veth lxcbr0 "eth$number" >/dev/null || status=$?
    say "alice: $status"
    status=0
    setpriv --bounding-set="-all$1" /usr/libexec/lxc/lxc-user-nic create /dev/null dummy $roots veth lxcbr0 "eth$number" >/dev/null ||
        status=$?
    say "root: $status"
}
with "$CAPABILITIES"
for one in ${CAPABILITIES//,/ }; do
    say "without $one"
    with "${CAPABILITIES/,$one/}"
done
kill $alices $roots
