#!/bin/bash
# podman run --rootfs, with a busybox root file system: no image, no registry.
#   refuse: the grant wraps at 2^32; newuidmap refuses, podman relays its stderr, exit 125.
#   empty:  no grant at all; podman warns and goes on with alice -> 0 without the helpers, exit 0.
set -eu
case ${1-} in
refuse) echo alice:4294967000:1000 >/etc/subuid ;;
empty)  : >/etc/subuid; : >/etc/subgid ;;
esac
root=/home/alice/rootfs
install -d -o alice -g alice $root/{,bin,proc,sys,dev,etc,tmp,run}
install -o alice -g alice /bin/busybox $root/bin/busybox
ln -s busybox $root/bin/sh
/run/alice podman run --rm --network=none --cgroups=disabled --rootfs $root /bin/sh -c "$SHOW"
