# For tests/clients/run-nic.sh: what lxc-user-nic opens, by strace.
bridge lxcbr0 10.0.3.1/24
usernet 'alice veth lxcbr0 1'
/run/alice unshare --user --net sleep 1000 &
pid=$!
until [ "$(cat /proc/$pid/comm)" = sleep ]; do sleep 0.1; done
cd /
say 'trace: lxc-user-nic'
name=$(strace -f -u alice -y -qq -e trace=open,openat,mkdirat,execve,sendto,connect -o /run/trace \
    /usr/libexec/lxc/lxc-user-nic create /dev/null dummy $pid veth lxcbr0 eth0) || say 'create failed'
sed 's/^[0-9]* *//' /run/trace >&3
kill $pid
