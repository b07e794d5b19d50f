# Two NICs of one container: on a bridge, and on none, as liblxc asks when there is no lxc.net.N.link.
bridge lxcbr0 10.0.3.1/24
links_are_known
usernet 'alice veth lxcbr0 2' 'alice veth none 2'
container c1 'lxcbr0 10.0.3.2/24 lan' '- 10.0.5.2/24 point-to-point'

try start lxc_start c1
host_ends
inside c1 "$(init c1)"
ping_from c1 10.0.3.1
for nic in $(new_nics); do
    [ "$(master_of "$nic")" = nothing ] || continue
    say "arp_ignore of the one on none: $(<"/proc/sys/net/ipv4/conf/$nic/arp_ignore")"
    ip address add 10.0.5.1/24 dev "$nic"
done
ping_from c1 10.0.5.1
view

try stop lxc stop c1
wait_until no_new_nics
host_ends
