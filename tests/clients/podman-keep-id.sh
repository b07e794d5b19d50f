# podman run --userns=keep-id: a namespace inside podman's, which is shown first. alice keeps her ids in it.
busybox_root /home/alice/root
/run/alice podman unshare sh -c "$SHOW"
/run/alice podman run --rm --network=none --cgroups=disabled --userns=keep-id --rootfs /home/alice/root \
    /bin/sh -c "$SHOW"
