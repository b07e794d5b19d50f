# util-linux: the ids that /etc/subuid grants, with alice herself as root.
/run/alice unshare --map-auto --map-root-user sh -c "$SHOW"
