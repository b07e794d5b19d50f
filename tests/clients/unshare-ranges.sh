#!/bin/bash
# util-linux: unshare --map-users/--map-groups=OUTER,INNER,COUNT (2.38; later manuals have INNER:OUTER:COUNT).
#   refuse: one id more than granted; newuidmap refuses, unshare exits 1.
set -eu
n=65536; [ "${1-}" = refuse ] && n=$((n + 1))
/run/alice unshare --map-users=600000,0,$n --map-groups=600000,0,$n sh -c "$SHOW"
