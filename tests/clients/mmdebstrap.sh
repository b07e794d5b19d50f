#!/bin/bash
# mmdebstrap --mode=unshare, offline: one tiny package in a local repository, --variant=extract.
#   refuse: the grant wraps at 2^32; newuidmap refuses, mmdebstrap relays its stderr, exit 25.
#   empty:  no grant at all; mmdebstrap refuses, exit 25 (the helpers ran: it first calls them without arguments and wants status 1).
set -eu
case ${1-} in
refuse) echo alice:4294967000:1000 >/etc/subuid ;;
empty)  : >/etc/subuid; : >/etc/subgid ;;
esac
cd /home
mkdir -p tiny/{DEBIAN,bin,dev,proc,sys}
cp /bin/busybox tiny/bin; ln -s busybox tiny/bin/sh
printf '%s\n' >tiny/DEBIAN/control 'Package: tiny' 'Version: 1' 'Architecture: all' \
    'Maintainer: Nobody <nobody@example.org>' 'Description: busybox and empty directories'
dpkg-deb --build --root-owner-group -Znone tiny tiny.deb >build.log
{ dpkg-deb -f tiny.deb; echo "Filename: ./tiny.deb"; echo "Size: $(stat -c %s tiny.deb)"
  echo "SHA256: $(sha256sum <tiny.deb | cut -d' ' -f1)"; } >Packages
# The hook reads the maps inside the chroot (the extract variant has no customize hooks). Its stdout is
# not ours, hence stderr; the messages of apt and mmdebstrap come along.
/run/alice env SHOW="$SHOW" mmdebstrap --quiet --mode=unshare --variant=extract --format=tar --include=tiny \
    --extract-hook='chroot "$1" /bin/sh -c "$SHOW" >&2' '' out.tar 'deb [trusted=yes] copy:/home ./' 2>&1
[ -s /home/alice/out.tar ]
