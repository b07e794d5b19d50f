# A pool of one for a group that alice is in, charged when her own quota of one is full.
bridge lxcbr0 10.0.3.1/24
links_are_known
groupadd --gid 52010 crew
usermod --append --groups crew alice
usernet 'alice veth lxcbr0 1' '@crew veth lxcbr0 1'
for n in 1 2 3; do container c$n "lxcbr0 10.0.3.1$n/24 eth0"; done

for n in 1 2; do
    try "start c$n" lxc_start c$n
    ping_from c$n 10.0.3.1
done
try 'start c3' lxc start c3 --foreground
host_ends
view
