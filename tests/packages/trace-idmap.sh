# For tests/clients/run.sh: what newuidmap and newgidmap open, by strace, with rules in force that look at most.
cat >/etc/nsgate.ini <<'I'
[idmap]
protect-accounts = yes
exclusive = yes
ulimits = nofile
I
/run/alice unshare --user sleep 1000 &
pid=$!
until [ "$(cat /proc/$pid/comm)" = sleep ]; do sleep 0.1; done
cd /
# As from a shell of alice's own.
for helper in newuidmap newgidmap; do
    echo "trace: $helper"
    setpriv --clear-groups strace -f -u alice -y -qq -e trace=open,openat,mkdirat,execve,sendto,connect -o /run/trace \
        /usr/bin/$helper $pid 0 600000 10 || echo "$helper failed"
    sed 's/^[0-9]* *//' /run/trace
done
kill $pid
