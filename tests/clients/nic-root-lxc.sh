# lxc-start by root makes its NICs itself, policy or no policy.
bridge lxcbr0 10.0.3.1/24
links_are_known
usernet
for file in /etc/subuid /etc/subgid; do echo root:600000:65536 >>$file; done
container c1 'lxcbr0 10.0.3.2/24 eth0'

export lxc_user=root
try start lxc_start c1
inside c1 "$(init c1)"
ping_from c1 10.0.3.1
try stop lxc stop c1
wait_until no_new_nics
