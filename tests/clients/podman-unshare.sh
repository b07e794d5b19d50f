#!/bin/bash
# podman unshare (runs newuidmap, then newgidmap, by absolute path; its pause process stays).
#   refuse: the grant wraps at 2^32; newuidmap refuses, podman relays its stderr, exit 125.
#   empty:  no grant at all; podman warns and goes on with alice -> 0 without the helpers, exit 0.
set -eu
case ${1-} in
refuse) echo alice:4294967000:1000 >/etc/subuid ;;
empty)  : >/etc/subuid; : >/etc/subgid ;;
esac
/run/alice podman unshare sh -c "$SHOW"
