# Lines for groups that alice is not in, before hers and after it.
bridge lxcbr0 10.0.3.1/24
links_are_known
groupadd --gid 52011 others
usernet '@others veth lxcbr0 5' '@no-such-group veth lxcbr0 5' 'alice veth lxcbr0 1' '@others veth lxcbr0 5'
for n in 1 2; do container c$n "lxcbr0 10.0.3.1$n/24 eth0"; done

try 'start c1' lxc_start c1
ping_from c1 10.0.3.1
try 'start c2' lxc start c2 --foreground
view
