# mmdebstrap --mode=unshare, offline: a local repository with one tiny package. It first calls newuidmap without
# arguments and wants status 1.
cd /home
mkdir -p tiny/{DEBIAN,bin,dev,proc,sys}
cp /bin/busybox tiny/bin
ln -s busybox tiny/bin/sh
printf '%s\n' >tiny/DEBIAN/control 'Package: tiny' 'Version: 1' 'Architecture: all' \
    'Maintainer: Nobody <nobody@example.org>' 'Description: busybox and empty directories'
dpkg-deb --build --root-owner-group -Znone tiny tiny.deb >build.log
{
    dpkg-deb -f tiny.deb
    echo "Filename: ./tiny.deb"
    echo "Size: $(stat -c %s tiny.deb)"
    echo "SHA256: $(sha256sum <tiny.deb | cut -d' ' -f1)"
} >Packages
# The maps are read inside the chroot, by a hook, whose stdout is not ours.
/run/alice env SHOW="$SHOW" mmdebstrap --quiet --mode=unshare --variant=extract --format=tar --include=tiny \
    --extract-hook='chroot "$1" /bin/sh -c "$SHOW" >&2' '' out.tar 'deb [trusted=yes] copy:/home ./' 2>&1
[ -s /home/alice/out.tar ]
