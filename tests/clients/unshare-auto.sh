#!/bin/bash
# util-linux: unshare --map-auto; --map-root-user maps alice herself to 0.
#   refuse: the grant wraps at 2^32; newuidmap refuses, unshare exits 1.
#   empty:  no grant at all; unshare itself refuses, helpers not run, exit 1.
set -eu
case ${1-} in
refuse) echo alice:4294967000:1000 >/etc/subuid ;;
empty)  : >/etc/subuid; : >/etc/subgid ;;
esac
/run/alice unshare --map-auto --map-root-user sh -c "$SHOW"
