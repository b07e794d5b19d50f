# podman run --uidmap: a namespace inside podman's, which is shown first. Its root is host id 600000.
busybox_root /home/alice/root
chown -R 600000:600000 /home/alice/root
/run/alice podman unshare sh -c "$SHOW"
/run/alice podman run --rm --network=none --cgroups=disabled --uidmap 0:1:1000 --gidmap 0:1:500 \
    --rootfs /home/alice/root /bin/sh -c "$SHOW"
