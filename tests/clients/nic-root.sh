# Root as the caller: by rootlesskit, and directly, for a network namespace that root made.
bridge lxcbr0 10.0.3.1/24
dhcp lxcbr0
links_are_known
for file in /etc/subuid /etc/subgid; do echo root:800000:65536 >>$file; done

usernet 'alice veth lxcbr0 1'
try 'rootlesskit without a line' rootlesskit root true
usernet 'root veth lxcbr0 1'
rootlesskit_stays root
host_ends
view
rootlesskit_ends

unshare --net sleep 1000 &
pid=$!
running() { [ "$(readlink /proc/$pid/exe)" = "$(readlink -f /usr/bin/sleep)" ]; }
wait_until running
IFS=: read -r name index host_end host_index \
    < <(/usr/libexec/lxc/lxc-user-nic create /dev/null dummy $pid veth lxcbr0 lan0)
say "answer: $name:$index:$(plain "$host_end")"
try 'the host end has the number of the answer' test "$(name_of "$host_index")" = "$host_end"
inside 'the namespace' $pid
host_ends
view
kill $pid
wait_until no_new_nics
