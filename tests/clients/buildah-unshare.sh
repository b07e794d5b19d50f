# buildah's own namespace. It runs newgidmap first.
/run/alice buildah unshare sh -c "$SHOW"
