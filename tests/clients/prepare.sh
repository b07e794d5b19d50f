# Sourced by bash -eu as root in a fresh mount and PID namespace: the machine that the clients and the demo see.
# Nothing in it outlives the namespaces.

# private_machine NEWUIDMAP NEWGIDMAP [LXC-USER-NIC]: an /etc, /run, /home and the like of our own, the users
# alice (52001) and bob (52002), and these programs as the host's helpers;
# GETSUBIDS, if it is set, as its getsubids.
private_machine() {
    umask 022
    mount --make-rprivate /
    private_tmpfs /run 755              # first, and with -n: mount(8) itself writes /run/mount
    mkdir -p /run/lock /run/user /run/machine/etc
    install_helper newuidmap "$1"       # while the programs can be seen: they may be below /home or /tmp
    install_helper newgidmap "$2"
    [ -z "${3-}" ] || install_helper lxc-user-nic "$3" /usr/libexec/lxc
    [ -z "${GETSUBIDS-}" ] || install_program getsubids "$GETSUBIDS"
    cp -a /etc/. /run/machine/etc/      # a directory, so that files in it may be replaced by rename
    mount -n --bind /run/machine/etc /etc
    sed -i 's/^passwd:.*/passwd: files systemd/' /etc/nsswitch.conf     # Debian's, whatever this host has
    private_tmpfs /home 755
    for place in /tmp /var/tmp /dev/shm; do private_tmpfs $place 1777; done
    if [ -S /dev/log ]; then mount -n --bind /dev/null /dev/log; fi     # else it is gone with the host's /run
    add_user alice 52001
    add_user bob 52002

    # Runs a command as alice, in her home, with a clean environment.
    cat >/run/alice <<'A'
#!/bin/sh
cd /home/alice
exec setpriv --reuid alice --regid alice --init-groups --reset-env --inh-caps=-all \
    env XDG_RUNTIME_DIR=/run/user/52001 LC_ALL=C PATH=/usr/bin:/usr/sbin "$@"
A
    chmod 755 /run/alice
}

private_tmpfs() { mount -n -t tmpfs -o "mode=$2,strictatime" tmpfs "$1"; }

# install_helper NAME PROGRAM [DIRECTORY]: set-user-ID root or, if HELPER_CAPS is set, with file capabilities.
# The access time is 0 until somebody executes it.
install_helper() {
    local place=/run/machine/$1
    install -m 4755 "$2" "$place"
    if [ -n "${HELPER_CAPS-}" ]; then
        chmod 755 "$place"
        setcap "cap_set${1:3:3}=ep" "$place"
    fi
    touch -a -d @0 "$place"
    mount -n --bind "$place" "${3-/usr/bin}/$1"
}

# install_program NAME PROGRAM: without any privilege.
install_program() {
    install -m 755 "$2" "/run/machine/$1"
    touch -a -d @0 "/run/machine/$1"
    mount -n --bind "/run/machine/$1" "/usr/bin/$1"
}

# One line a helper: "ran: newuidmap SHA256", or "not run: newuidmap".
helpers_that_ran() {
    for helper in newuidmap newgidmap; do helper_that_ran /usr/bin/$helper; done
}

helper_that_ran() {
    if [ "$(stat -L -c %X "$1")" = 0 ]; then
        echo "not run: ${1##*/}"
    else
        echo "ran: ${1##*/} $(sha256sum <"$1" | cut -d' ' -f1)"
    fi
}

add_user() {
    sed -i "/^$1:/d" /etc/passwd /etc/group /etc/shadow
    echo "$1:x:$2:$2::/home/$1:/bin/bash" >>/etc/passwd
    echo "$1:x:$2:" >>/etc/group
    echo "$1:*:19000:0:99999:7:::" >>/etc/shadow
    install -d -m 700 -o "$2" -g "$2" "/run/user/$2"
    install -d -m 755 -o "$2" -g "$2" "/home/$1"
}

# grant [LINE]...: all that /etc/subuid and /etc/subgid say.
grant() {
    for file in /etc/subuid /etc/subgid; do
        rm -f $file
        for line in "$@"; do echo "$line"; done >$file
        chmod 644 $file
    done
}
