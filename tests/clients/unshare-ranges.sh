# util-linux: ranges by number, OUTER,INNER,COUNT in version 2.38 (newer manuals have INNER:OUTER:COUNT).
/run/alice unshare --map-users=600000,0,65536 --map-groups=600000,0,65536 sh -c "$SHOW"
