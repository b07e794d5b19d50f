# prepare.sh DIR: SOURCED by bash -eu, as root, in a fresh private mount namespace; DIR holds the
# scripts. Afterwards: user alice (52001) with subuid/subgid 600000:65536; private /etc, /run, /home,
# /tmp, /var/tmp, /dev/shm, /mnt; plain cgroup2; /dev/fuse and /dev/net/tun for everybody; the helpers
# under test at /usr/bin/new?idmap. For the client scripts:
#   /run/alice CMD...   runs CMD as alice, in her home, with a clean environment
#   $SHOW               POSIX sh code printing the three kernel views of the shell's own namespace
# For the runner: $SCRIPTS (a copy of DIR that stays visible) and the function helpers_ran.
umask 022
mount --make-rprivate /
tmp() { mount -n -t tmpfs -o "mode=$2,strictatime" tmpfs "$1"; }
tmp /run 755                        # first, and with -n: mount(8) itself creates /run/mount
tmp /mnt 755                        # the build place; things are bound from here
mkdir /mnt/{etc,helpers,dev} /run/{scripts,lock,user}
cp -a "$1"/. /run/scripts/; SCRIPTS=/run/scripts    # DIR may be below /tmp, which is covered below

# The helpers. strictatime and atime 0: an executed helper has another atime afterwards.
for h in newuidmap newgidmap; do
    from=${h^^}; cap=cap_set${h:3:3}
    install -o 0 -g 0 -m 4755 "${!from:-/usr/bin/$h}" /mnt/helpers/$h
    if [ -n "${HELPER_CAPS-}" ]; then
        chmod 755 /mnt/helpers/$h; setcap "$cap=ep" /mnt/helpers/$h
    fi
    touch -a -d @0 /mnt/helpers/$h
    mount --bind /mnt/helpers/$h /usr/bin/$h
done
helpers_ran() {                     # "newuidmap: ran" or "newuidmap: not run", and the same for gid
    for h in newuidmap newgidmap; do
        if [ "$(stat -c %X /usr/bin/$h)" = 0 ]; then echo "$h: not run"; else echo "$h: ran"; fi
    done
}

# /etc as a directory of our own (files in it may be replaced by rename).
cp -a /etc/. /mnt/etc/
sed -i '/^alice:/d' /mnt/etc/{passwd,group,shadow}
echo 'alice:x:52001:52001::/home/alice:/bin/bash' >>/mnt/etc/passwd
echo 'alice:x:52001:'                             >>/mnt/etc/group
echo 'alice:*:19000:0:99999:7:::'                 >>/mnt/etc/shadow
for f in subuid subgid; do echo 'alice:600000:65536' >/mnt/etc/$f; chmod 644 /mnt/etc/$f; done
mount --bind /mnt/etc /etc

# Everything else a client writes to (podman: /dev/shm/libpod_rootless_lock_UID).
tmp /home 755
for d in /tmp /var/tmp /dev/shm; do tmp $d 1777; done
install -d -m 700 -o 52001 -g 52001 /run/user/52001
install -d -m 755 -o 52001 -g 52001 /home/alice
# Device nodes open to everybody (this machine's are 0600), bound over the real ones.
mknod -m 666 /mnt/dev/fuse c 10 229; mount --bind /mnt/dev/fuse /dev/fuse
mknod -m 666 /mnt/dev/tun  c 10 200; mount --bind /mnt/dev/tun  /dev/net/tun

# crun and podman refuse a hybrid hierarchy: cover it by plain cgroup2.
mount -t cgroup2 cgroup2 /sys/fs/cgroup

export SHOW='for f in uid_map gid_map setgroups; do
  while read -r l; do echo $f: $l; done </proc/self/$f; done'
cat >/run/alice <<'A'
#!/bin/sh
cd /home/alice
exec setpriv --reuid alice --regid alice --init-groups --reset-env --inh-caps=-all \
    env XDG_RUNTIME_DIR=/run/user/52001 LC_ALL=C PATH=/usr/bin:/usr/sbin "$@"
A
chmod 755 /run/alice
