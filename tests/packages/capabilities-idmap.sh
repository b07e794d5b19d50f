# For tests/clients/run.sh: newuidmap and newgidmap with the capabilities that their AppArmor profiles name (CAPABILITIES_newuidmap,
# CAPABILITIES_newgidmap: for setpriv), and no others in the bounding set; and with one less.
cat >/etc/nsgate.ini <<'I'
[idmap]
exclusive = yes
ulimits = nofile
I
for file in subuid subgid; do printf "alice:600000:65536\nalice:0:1\n" >/etc/$file; done
# with HELPER CAPABILITIES FIRST: maps FIRST for a new process of alice's.
with() {
    /run/alice unshare --user sleep 1000 &
    pid=$!
    until [ "$(cat /proc/$pid/comm)" = sleep ]; do sleep 0.1; done
    status=0
    setpriv --reuid alice --regid alice --clear-groups --bounding-set="-all$2" "/usr/bin/$1" $pid 0 "$3" 1 2>/run/said || status=$?
    echo "$1 $3: $status"
    kill $pid
}
cd /
for helper in newuidmap newgidmap; do
    capabilities=CAPABILITIES_$helper
    with $helper "${!capabilities}" 600000
    with $helper "${!capabilities}" 0
    for one in ${!capabilities//,/ }; do
        echo "without $one"
        with $helper "${!capabilities/,$one/}" 600000
        with $helper "${!capabilities/,$one/}" 0
    done
done
