# For tests/clients/run-nic.sh: what the ovs-vsctl opens that lxc-user-nic runs, by strace.
openvswitch lxcbr0 10.0.3.1/24
usernet 'alice veth lxcbr0 1'
printf '[nic]\non-missing-kernel = warn\n' >/etc/nsgate.ini
/run/alice unshare --user --net sleep 1000 &
pid=$!
until [ "$(cat /proc/$pid/comm)" = sleep ]; do sleep 0.1; done
cd /
mkdir /run/traces
strace -ff -u alice -y -qq -e trace=open,openat,mkdirat,execve,connect -o /run/traces/of \
    /usr/libexec/lxc/lxc-user-nic create /dev/null dummy $pid veth lxcbr0 eth0 >/dev/null || say 'create failed'
say 'trace: ovs-vsctl'
for trace in $(grep -l '^execve("/usr/bin/ovs-vsctl"' /run/traces/*); do
    sed -n '/^execve/,$p' $trace >&3
done
kill $pid
