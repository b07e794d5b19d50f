#!/bin/bash
# run.sh CLIENT [POLICY]: runs CLIENT.sh as root in a throw-away mount and PID namespace, where it makes alice call a
# real client of newuidmap and newgidmap. Prints what it prints and which helpers ran; ends with its status.
#
# NEWUIDMAP, NEWGIDMAP, GETSUBIDS: the programs under test (else the host's own). HELPER_CAPS=1: they have file capabilities.
# POLICY is what /etc/subuid and /etc/subgid say:
#   whole      alice has the 65536 ids that the clients ask for
#   short      she has one less
#   wraps      ids past the last there is, which a client that reads the files itself will ask for
#   twice      the same line twice, and such a client asks for both
#   empty      nothing
#   writable   as whole, but everybody may write /etc/subuid
set -eu
here=$(dirname "$(readlink -f "$0")")
if [ "$$ $1" != '1 --inside' ]; then
    # The end of the PID namespace takes podman's pause process and any other left-over with it.
    exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$here/run.sh" --inside "$@"
fi
shift

. "$here/prepare.sh"
client=$(<"$here/$1.sh")                        # before the place is covered: it may be below /home or /tmp
private_machine "${NEWUIDMAP-/usr/bin/newuidmap}" "${NEWGIDMAP-/usr/bin/newgidmap}"
# crun and podman refuse a hybrid hierarchy; where there is none already, nothing can be mounted over it.
[ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ] || mount -n -t cgroup2 cgroup2 /sys/fs/cgroup

case ${2-whole} in
whole)    grant alice:600000:65536 ;;
short)    grant alice:600000:65535 ;;
wraps)    grant alice:4294967000:1000 ;;
twice)    grant alice:600000:65536 alice:600000:65536 ;;
empty)    grant ;;
writable) grant alice:600000:65536; chmod 666 /etc/subuid ;;
*)        echo "run.sh: no policy $2" >&2; exit 99 ;;
esac

# For the clients: prints the kernel's view of the namespace that the shell is in. The shell opens the files itself,
# as the opener's namespace decides how ids are shown. One line, so that it can stand in JSON.
export SHOW='for f in uid_map gid_map setgroups; do while read -r l; do echo $f: $l; done </proc/self/$f; done'

# For the clients: a root file system for alice with a shell in it.
busybox_root() {
    install -d -o alice -g alice "$1"/{,bin,proc,sys,dev,etc,tmp,run}
    install -o alice -g alice /bin/busybox "$1/bin/busybox"
    ln -s busybox "$1/bin/sh"
}

# For the clients: an OCI bundle with three mappings, its shell printing $SHOW.
oci_bundle() {
    busybox_root "$1/rootfs"
    local maps='[ {"containerID": 0,      "hostID": 52001,  "size": 1},
                  {"containerID": 1,      "hostID": 600000, "size": 5000},
                  {"containerID": 100000, "hostID": 605000, "size": 60536} ]'
    cat >"$1/config.json" <<J
{ "ociVersion": "1.0.0",
  "process": { "user": {"uid": 0, "gid": 0}, "cwd": "/", "env": ["PATH=/bin"], "args": ["/bin/sh", "-c", "$SHOW"] },
  "root": { "path": "rootfs" },
  "mounts": [ {"destination": "/proc", "type": "proc", "source": "proc"} ],
  "linux": { "namespaces": [ {"type": "user"}, {"type": "mount"}, {"type": "pid"} ],
             "uidMappings": $maps, "gidMappings": $maps } }
J
}
export -f busybox_root oci_bundle helper_that_ran

status=0
bash -euc "$client" </dev/null || status=$?
helpers_that_ran
exit $status
