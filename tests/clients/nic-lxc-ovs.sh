# A bridge of Open vSwitch. At the stop liblxc asks the helper to delete the port, by /proc/MONITOR/fd/N.
openvswitch ovsbr0 10.0.4.1/24
links_are_known
usernet 'alice veth ovsbr0 1'
container c1 'ovsbr0 10.0.4.2/24 eth0'
container c2 'ovsbr0 10.0.4.3/24 eth0'

ports() { say "ports of ovsbr0:" $(for port in $(ovs-vsctl list-ports ovsbr0); do plain "$port"; done); }
started() {
    try "start $1" lxc_start "$1"
    host_ends
    inside "$1" "$(init "$1")"
    ports
    ping_from "$1" 10.0.4.1
    view
}

started c1
try 'start c2' lxc start c2 --foreground
ports
try 'stop c1' lxc stop c1
ports
sed -n 's/.*Execing lxc-user-nic delete/delete/p' /home/alice/c1/log |
    sed -E 's|/proc/[0-9]+/fd/[0-9]+|/proc/MONITOR/fd/N|; s/_[^_]{4}$/_XXXX/' >&3
wait_until no_new_nics
if [ -s /run/lxc/nics ]; then view; else say 'view: nothing'; fi

started c2
try 'stop c2' lxc stop c2
ports
