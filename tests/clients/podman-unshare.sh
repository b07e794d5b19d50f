# podman's own namespace. It runs the helpers by absolute path, and leaves its pause process behind.
/run/alice podman unshare sh -c "$SHOW"
