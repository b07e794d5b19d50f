# lxc-start --foreground, which ends with the container.
bridge lxcbr0 10.0.3.1/24
links_are_known
usernet 'alice veth lxcbr0 1'
container c1 'lxcbr0 10.0.3.2/24 eth0'

lxc start c1 --foreground &
pid=$!
lxc wait c1 --state RUNNING --timeout 10
is_ready c1
host_ends
inside c1 "$(init c1)"
ping_from c1 10.0.3.1
try stop lxc stop c1
try start wait $pid
wait_until no_new_nics
