# util-linux, as a service with NoNewPrivileges=yes would call it.
/run/alice setpriv --no-new-privs unshare --map-auto --map-root-user sh -c "$SHOW"
