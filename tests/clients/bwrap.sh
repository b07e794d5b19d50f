#!/bin/bash
# bubblewrap --userns-block-fd: bwrap waits while its caller runs the helpers on the child-pid of --info-fd.
# bwrap needs the caller mapped (else "Creating newroot failed: Value too large for defined data type").
#   refuse: one id more than granted; newuidmap refuses (exit 1); the child is killed.
set -eu
n=65536; [ "${1-}" = refuse ] && n=$((n + 1))
/run/alice env n=$n SHOW="$SHOW" bash -euc '
    mkfifo block info
    bwrap --unshare-user --userns-block-fd 11 --info-fd 12 --ro-bind / / --proc /proc \
        sh -c "$SHOW" 11<>block 12>info &
    pid=$(sed -n "s/.*\"child-pid\": *\([0-9]*\).*/\1/p" info)
    if newuidmap $pid 0 52001 1 1 600000 $n && newgidmap $pid 0 52001 1 1 600000 $n; then
        echo go >block; wait $!
    else
        status=$?; kill $pid; exit $status
    fi'
