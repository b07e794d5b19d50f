# podman run: no image, no registry.
busybox_root /home/alice/root
/run/alice podman run --rm --network=none --cgroups=disabled --rootfs /home/alice/root /bin/sh -c "$SHOW"
