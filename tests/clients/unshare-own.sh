#!/bin/bash
# util-linux: only alice's own ids through the helpers: newgidmap must leave setgroups=deny.
#   refuse: one id more than her own; newuidmap refuses, unshare exits 1.
set -eu
n=1; [ "${1-}" = refuse ] && n=$((n + 1))
/run/alice unshare --map-users=52001,0,$n --map-groups=52001,0,$n sh -c "$SHOW"
