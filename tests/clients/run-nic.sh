#!/bin/bash
# run-nic.sh CLIENT: runs CLIENT.sh as root in a throw-away mount, network and PID namespace, where it makes
# alice call a real client of lxc-user-nic. On standard output: the kernel's view of what came of it, step by
# step, and whether the helper ran, with its hash. On standard error: what the clients say.
#
# NEWUIDMAP, NEWGIDMAP, LXC_USER_NIC: the helpers under test (else the host's own).
set -eu
here=$(dirname "$(readlink -f "$0")")
if [ "$$ $1" != '1 --inside' ]; then
    # The end of the PID namespace takes every container and daemon with it, however the recipe ends.
    exec unshare --mount --propagation private --net --pid --fork --kill-child --mount-proc \
        "$here/run-nic.sh" --inside "$@"
fi
shift
exec 3>&1 1>&2                                  # views go to 3

. "$here/prepare.sh"
client=$(<"$here/$1.sh")                        # before the place is covered: it may be below /home or /tmp
helper=/usr/libexec/lxc/lxc-user-nic
private_machine "${NEWUIDMAP-/usr/bin/newuidmap}" "${NEWGIDMAP-/usr/bin/newgidmap}" "${LXC_USER_NIC-$helper}"
grant alice:600000:65536
mount -n -t sysfs sysfs /sys                    # of this network namespace
# An unprivileged lxc-start wants to write to each cgroup hierarchy that it finds mounted, and gives up if it
# may not. If it finds none it goes without: nothing has to be delegated to alice, no cgroup is left behind.
mount -n -t tmpfs -o ro tmpfs /sys/fs/cgroup
ip link set lo up

# As /run/alice, for root.
sed 's|setpriv .* \\$|env -i HOME=/home \\|; s/52001/0/; s|/home/alice|/home|' /run/alice >/run/root
chmod 755 /run/root
mkdir -m 700 /run/user/0

# ---- For the clients: a network

# bridge NAME ADDRESS: with an MTU that is nobody's default, and that stays when the last NIC goes.
bridge() {
    ip link add "$1" type bridge
    ip link set "$1" mtu 1400
    ip link set "$1" up
    ip address add "$2" dev "$1"
}

# dhcp BRIDGE: a server for 10.0.3.0/24, with ten addresses to give away.
dhcp() {
    dnsmasq --conf-file=/dev/null --user=root --pid-file= --port=0 --interface="$1" --bind-interfaces \
        --dhcp-range=10.0.3.100,10.0.3.109,1h --dhcp-option=option:dns-server,10.0.3.1 --no-ping \
        --dhcp-leasefile=/run/leases 3>&-
}

# openvswitch BRIDGE ADDRESS: Open vSwitch with one bridge, switched by ovs-vswitchd itself, which needs no
# kernel module but tun.
openvswitch() {
    local place=/run/openvswitch
    mkdir $place
    ovsdb-tool create $place/conf.db /usr/share/openvswitch/vswitch.ovsschema
    ovsdb-server $place/conf.db --remote=punix:$place/db.sock \
        --detach --no-chdir --pidfile --log-file=/run/ovsdb.log 3>&-
    ovs-vsctl --no-wait init
    ovs-vswitchd unix:$place/db.sock --detach --no-chdir --pidfile --log-file=/run/ovs.log 3>&-
    ovs-vsctl --timeout=10 add-br "$1" -- set bridge "$1" datapath_type=netdev \
        -- set interface "$1" mtu_request=1400
    ip link set "$1" up
    ip address add "$2" dev "$1"
}

# usernet [LINE]...: all that /etc/lxc/lxc-usernet says.
usernet() { printf '%s\n' "$@" >/etc/lxc/lxc-usernet; }

# wait_until COMMAND...: for what the kernel or a daemon does in its own time.
wait_until() {
    for _ in {1..1000}; do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.01
    done
    echo "run-nic.sh: waited in vain: $*"
    return 1
}

# ---- For the clients: LXC

# container NAME NIC...: alice's, with a root file system of its own. A NIC is 'BRIDGE ADDRESS NAME' from its
# configuration, where '-' is a setting that is not there. Its init knows lxc-stop (SIGPWR) and
# lxc-stop --reboot (SIGINT).
container() {
    local place=/home/alice/$1 applet nic bridge address name count=0
    install -d -o alice -g alice "$place"
    mkdir -p "$place"/rootfs/{bin,proc,sys,dev,etc,tmp}
    cp /bin/busybox "$place/rootfs/bin/busybox"
    for applet in sh sleep reboot ping; do ln -s busybox "$place/rootfs/bin/$applet"; done
    printf '%s\n' >"$place/rootfs/bin/init" '#!/bin/sh' "trap 'exit 0' PWR" "trap 'reboot -f' INT" \
        ': >/tmp/ready' 'while :; do sleep 1000 & wait $!; done'
    chmod 755 "$place/rootfs/bin/init"
    chown -R 600000:600000 "$place/rootfs"
    printf 'lxc.%s\n' >"$place/config" "uts.name = $1" "rootfs.path = dir:$place/rootfs" \
        'idmap = u 0 600000 65536' 'idmap = g 0 600000 65536' 'apparmor.profile = unconfined' \
        'mount.auto = proc:mixed' 'init.cmd = /bin/init'
    for nic in "${@:2}"; do
        read -r bridge address name <<<"$nic"
        printf "lxc.net.$count.%s\n" 'type = veth' 'flags = up' "link = $bridge" "ipv4.address = $address" \
            "name = $name"
        count=$((count + 1))
    done | sed '/ = -$/d' >>"$place/config"
}

# lxc TOOL NAME ARGUMENT...: lxc-TOOL as alice, or as $lxc_user.
lxc() { "/run/${lxc_user-alice}" timeout -k 5 20 "lxc-$1" --lxcpath /home/alice --name "$2" "${@:3}" 3>&-; }

# lxc_start NAME: as a daemon, which tells its log alone why it fails.
lxc_start() {
    local log=/home/alice/$1/log
    rm -f "/home/alice/$1/rootfs/tmp/ready"
    if lxc start "$1" --daemon --logfile "$log" --logpriority INFO; then
        is_ready "$1"
    else
        grep ERROR "$log"
        return 1
    fi
}

# is_ready NAME: its init knows its signals; a process 1 ignores those that it does not know.
is_ready() { wait_until test -e "/home/alice/$1/rootfs/tmp/ready"; }

# state NAME: RUNNING, STOPPED...; init NAME: the pid of its init.
state() { lxc info "$1" --no-humanize --state; }
init() { lxc info "$1" --no-humanize --pid; }

# ---- For the clients: rootlesskit

# rootlesskit USER COMMAND...: COMMAND in namespaces of USER's (alice or root), with a NIC.
#
# Its DHCP client asks once, as soon as the NIC is up, which may be before the kernel has the bridge forward
# for it, and may miss an answer that comes at once; then it waits for half a minute, with anybody's helper. So
# there is another try, if it is not the helper that it waits for.
rootlesskit() {
    local status
    for _ in 1 2 3 4; do
        status=0
        "/run/$1" timeout -k 1 5 rootlesskit $rootlesskit_net "${@:2}" 3>&- || status=$?
        if [ $status != 124 ] || helper_runs; then break; fi
        wait_until no_new_nics
    done
    return $status
}

# rootlesskit_stays USER: in the background, until rootlesskit_ends; shows what it sees.
rootlesskit_stays() {
    local inside='' ping resolver
    mkfifo -m 666 /run/said /run/end
    exec 5<>/run/said 6<>/run/end
    for _ in 1 2 3 4; do
        "/run/$1" rootlesskit $rootlesskit_net sh -c 'busybox ping -c 1 -w 5 10.0.3.1
            echo $$ $? $(cat /etc/resolv.conf) >/run/said
            read line </run/end' 3>&- &
        staying=$!
        if read -r -t 5 inside ping resolver <&5 || helper_runs; then break; fi
        kill $staying
        wait_until no_new_nics
    done
    inside "rootlesskit of $1" "$inside"
    say "ping 10.0.3.1 from inside: exit $ping"
    say "inside: $resolver"
}

rootlesskit_ends() {
    echo >&6
    try rootlesskit wait $staying
    wait_until no_new_nics
}

export rootlesskit_net='--net=lxc-user-nic --lxc-user-nic-bridge=lxcbr0 --copy-up=/etc'

helper_runs() { grep -sqx lxc-user-nic /proc/[0-9]*/comm; }

# ---- For the clients: what they show

say() { echo "$*" >&3; }

# try WHAT COMMAND...: says how it ended, and lets the recipe go on.
try() {
    local status=0
    "${@:2}" || status=$?
    say "$1: exit $status"
}

# ping_from NAME ADDRESS: by lxc-attach.
ping_from() { try "ping $2 from $1" lxc attach "$1" -- /bin/ping -c 1 -w 5 "$2"; }

# inside NAME PID: the NICs but lo in the network namespace of PID, by netlink.
inside() {
    local name other mtu address
    while read -r name other mtu; do
        address=$(nsenter --net --target "$2" ip -br -4 address show dev "$name" | awk '{ print $3 }')
        say "in $1: $name, mtu $mtu, address $(plain "${address:-none}")," \
            "other end $(plain "$(name_of "$other")")"
    done < <(nsenter --net --target "$2" ip -o link show |
        sed -n 's/^[0-9]*: \([^:@]*\)@if\([0-9]*\): .* mtu \([0-9]*\) .*/\1 \2 \3/p')
}

# host_ends: the NICs of the host that the recipe did not make itself.
host_ends() {
    local nic place guard guards
    for nic in $(new_nics); do
        place=/sys/class/net/$nic
        say "host end: $(plain "$nic"), $( (($(<$place/flags) & 1)) && echo up || echo down)," \
            "on $(master_of "$nic"), mtu $(<$place/mtu), mac $(cut -c1-3 $place/address)"
        guards="owner tag $(<$place/ifalias), ipv6 $(ipv6_of "$nic")"
        for guard in bpdu_guard root_block multicast_router; do
            [ ! -e $place/brport ] || guards+=", $guard $(<$place/brport/$guard)"
        done
        say "guards: $guards"
    done
    [ -n "$(new_nics)" ] || say 'host end: none'
}

# view: what /run/lxc/nics says, and whether it is so.
view() {
    local owner type bridge nic there
    while read -r owner type bridge nic; do
        there=gone
        [ ! -e "/sys/class/net/$nic" ] || there=there
        say "view: $owner $type $bridge $(plain "$nic") ($there)"
    done </run/lxc/nics
}

# The recipe is done with making links itself.
links_are_known() { ls /sys/class/net >/run/links; }

new_nics() { ip -o link show | sed 's/^[0-9]*: \([^:@]*\).*/\1/' | grep -vxFf /run/links || true; }
no_new_nics() { [ -z "$(new_nics)" ]; }

# Without what is drawn by lot.
plain() {
    sed -E 's/^(veth[0-9]+_)[0-9A-Za-z]{4}$/\1XXXX/; s/^veth[0-9A-Za-z]{6}$/vethXXXXXX/
        s/^10[.]0[.]3[.]10./10.0.3.10X/' <<<"$1"
}

name_of() { ip -o link show | sed -n "s/^$1: \([^:@]*\).*/\1/p"; }

master_of() { basename "$(readlink "/sys/class/net/$1/master" || echo nothing)"; }

ipv6_of() {
    local addresses
    addresses=$(awk -v nic="$1" '$6 == nic' /proc/self/net/if_inet6)
    if [ "$(<"/proc/sys/net/ipv6/conf/$1/disable_ipv6")$addresses" = 1 ]; then echo off; else echo on; fi
}

export -f $(compgen -A function)
status=0
bash -eu -o pipefail -c "$client" </dev/null || status=$?
helper_that_ran "$helper" >&3
exit $status
