# util-linux: alice's own ids alone, through the helpers.
/run/alice unshare --map-users=52001,0,1 --map-groups=52001,0,1 sh -c "$SHOW"
