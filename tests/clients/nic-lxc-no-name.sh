# A configuration without lxc.net.N.name: the helper gets no name then.
bridge lxcbr0 10.0.3.1/24
links_are_known
usernet 'alice veth lxcbr0 3'
container c1 'lxcbr0 10.0.3.2/24 -'
container c2 'lxcbr0 10.0.3.3/24 -' 'lxcbr0 - -'

for name in c1 c2; do
    try "start $name" lxc_start $name
    inside $name "$(init $name)"
    ping_from $name 10.0.3.1
done
view
