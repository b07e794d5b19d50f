# podman run on an overlay: the container can write, the root file system below stays as it was.
busybox_root /home/alice/root
/run/alice podman run --rm --network=none --cgroups=disabled --rootfs /home/alice/root:O \
    /bin/sh -c "echo >/new; $SHOW"
[ ! -e /home/alice/root/new ]
