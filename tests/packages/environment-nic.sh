# For tests/clients/run-nic.sh: as environment-idmap, lxc-user-nic.
bridge lxcbr0 10.0.3.1/24
links_are_known
usernet 'alice veth lxcbr0 1'
cd /
helper=/usr/libexec/lxc/lxc-user-nic
# trace BRIDGE VARIABLES...: asked for an interface there, in a network namespace that has none.
trace() {
    /run/alice unshare --user --net sleep 1000 &
    pid=$!
    wait_until grep -qx sleep /proc/$pid/comm
    status=0
    rm -rf /run/lxc
    strace -f -u alice -y -qq -e trace=%file,%process,socket,connect,bind,sendto -o /run/trace \
        env -i "${@:2}" $helper create /dev/null dummy $pid veth "$1" eth0 >/run/said 2>&1 || status=$?
    without_what_differs "$helper" $status
    kill $pid
    wait_until no_new_nics
}
variables $helper
for bridge in br1 lxcbr0; do
    trace $bridge >/run/without
    trace $bridge "${variables[@]}" >/run/with
    say "lxc-user-nic $bridge: $(compared)"
done
