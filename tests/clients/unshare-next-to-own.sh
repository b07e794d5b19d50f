# util-linux: alice's own ids and one more each.
/run/alice unshare --map-users=52001,0,2 --map-groups=52001,0,2 sh -c "$SHOW"
