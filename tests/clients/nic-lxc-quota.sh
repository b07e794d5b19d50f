# Two containers, a quota of one. Who starts the second sees why it fails: in the foreground at once, as a
# daemon in the log.
bridge lxcbr0 10.0.3.1/24
links_are_known
usernet 'alice veth lxcbr0 1'
container c1 'lxcbr0 10.0.3.2/24 eth0'
container c2 'lxcbr0 10.0.3.3/24 eth0'

try 'start c1' lxc_start c1
try 'start c2 in the foreground' lxc start c2 --foreground
try 'start c2' lxc_start c2
say "c2: $(state c2)"
host_ends
view

try 'stop c1' lxc stop c1
wait_until no_new_nics
try 'start c2' lxc_start c2
inside c2 "$(init c2)"
ping_from c2 10.0.3.1
view
