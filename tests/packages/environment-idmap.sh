# For tests/clients/run.sh: newuidmap and newgidmap open the same files and end the same way, whatever is in the environment.
cd /
# trace HELPER FIRST VARIABLES...: asked for FIRST, for a process that has no map yet.
trace() {
    /run/alice unshare --user sleep 1000 &
    pid=$!
    until [ "$(cat /proc/$pid/comm)" = sleep ]; do sleep 0.1; done
    status=0
    setpriv --clear-groups strace -f -u alice -y -qq -e trace=%file,%process,socket,connect,bind,sendto -o /run/trace \
        env -i "${@:3}" "/usr/bin/$1" $pid 0 "$2" 1 >/run/said 2>&1 || status=$?
    without_what_differs "/usr/bin/$1" $status
    kill $pid
}
for helper in newuidmap newgidmap; do
    variables /usr/bin/$helper
    for first in 0 600000; do
        trace $helper $first >/run/without
        trace $helper $first "${variables[@]}" >/run/with
        echo "$helper $first: $(compared)"
    done
done
