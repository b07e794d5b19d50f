#!/bin/bash
# rootlesskit.
#   refuse: the grant wraps at 2^32; newuidmap refuses, rootlesskit relays its stderr, exit 1.
#   empty:  no grant at all; rootlesskit itself refuses, helpers not run, exit 1.
set -eu
case ${1-} in
refuse) echo alice:4294967000:1000 >/etc/subuid ;;
empty)  : >/etc/subuid; : >/etc/subgid ;;
esac
/run/alice rootlesskit sh -c "$SHOW"
