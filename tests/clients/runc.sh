#!/bin/bash
# runc, rootless, three mappings in config.json (it runs the helpers with an empty environment).
#   refuse: one id more than granted; newuidmap refuses, its stderr comes through, runc exits 1.
set -eu
n=60536; [ "${1-}" = refuse ] && n=$((n + 1))
b=/home/alice/bundle
install -d -o alice -g alice $b/rootfs/{,bin,proc,dev}
install /bin/busybox $b/rootfs/bin/busybox
ln -s busybox $b/rootfs/bin/sh
maps='[ {"containerID": 0,      "hostID": 52001,  "size": 1},
        {"containerID": 1,      "hostID": 600000, "size": 5000},
        {"containerID": 100000, "hostID": 605000, "size": '$n'} ]'
cat >$b/config.json <<J
{ "ociVersion": "1.0.0",
  "process": { "user": {"uid": 0, "gid": 0}, "cwd": "/", "env": ["PATH=/bin"],
               "args": ["/bin/sh", "-c", "${SHOW//$'\n'/}"] },
  "root": { "path": "rootfs" },
  "mounts": [ {"destination": "/proc", "type": "proc", "source": "proc"} ],
  "linux": { "namespaces": [ {"type": "user"}, {"type": "mount"}, {"type": "pid"} ],
             "uidMappings": $maps, "gidMappings": $maps } }
J
/run/alice runc --root /run/user/52001/runc run --bundle $b c1
