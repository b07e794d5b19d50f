#!/bin/bash
# run.sh NAME [refuse|empty|...]: run NAME.sh as root in a throw-away mount + PID namespace, print
# what it prints and whether each helper ran, exit with its status.
# Helpers under test (default: the installed ones): NEWUIDMAP=path NEWGIDMAP=path;
# HELPER_CAPS=1 gives them cap_setuid/cap_setgid=ep instead of the setuid bit.
# Nothing survives: every mount is private, and the end of the PID namespace takes podman's pause
# process and any other left-over with it.
set -eu
dir=$(dirname "$(readlink -f "$0")")
exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
    bash -euc '. "$0/prepare.sh" "$0"; name=$1; shift
               status=0; bash "$SCRIPTS/$name.sh" "$@" </dev/null || status=$?
               helpers_ran; exit $status' "$dir" "$@"
