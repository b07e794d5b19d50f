# lxc-start --daemon, lxc-attach, lxc-stop, lxc-start again, lxc-stop --reboot. The helper is not told of a
# stop: what it left in the view goes with the next create.
bridge lxcbr0 10.0.3.1/24
links_are_known
usernet 'alice veth lxcbr0 1'
container c1 'lxcbr0 10.0.3.2/24 eth0'

shown() {
    host_ends
    inside c1 "$(init c1)"
    ping_from c1 10.0.3.1
}

try start lxc_start c1
shown
view

try stop lxc stop c1
wait_until no_new_nics
host_ends
view

try 'start again' lxc_start c1
shown
view

# The old network namespace may still be there when the new one gets its NIC.
usernet 'alice veth lxcbr0 2'
before=$(init c1)
nic=$(new_nics)
rebooted() { [ ! -e "/sys/class/net/$nic" ] && local now && now=$(init c1) && [ "$now" != "$before" ]; }
try reboot lxc stop c1 --reboot
wait_until rebooted
wait_until lxc wait c1 --state RUNNING
shown
