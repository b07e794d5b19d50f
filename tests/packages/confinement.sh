#!/bin/sh
# confinement.sh: the files for AppArmor, SELinux and systemd, by their own tools; what systemd does with its own, in a Debian
# 12. As root.
# shellcheck disable=SC2016 # for the shell in there
set -eu
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
cd "$top"
. tests/packages/checks.sh
place=$top/target/packages/confinement
rm -rf "$place"
mkdir -p "$place/root" "$place/selinux"

echo '-- AppArmor'
parsed=$(apparmor_parser -QK -I packaging/apparmor -I /etc/apparmor.d packaging/apparmor/nsgate 2>&1) || parsed="failed: $parsed"
is 'the parser' '' "$(echo "$parsed" | grep -v 'interface file missing' || true)"
is 'a profile for each program' 'nsgate-lxc-user-nic nsgate-lxc-user-nic-nss nsgate-newgidmap nsgate-newgidmap-nss nsgate-newuidmap nsgate-newuidmap-nss nsgate-ovs-vsctl' \
    "$(apparmor_parser -QK -N -I packaging/apparmor -I /etc/apparmor.d packaging/apparmor/nsgate 2>/dev/null | sort | paste -sd ' ' -)"
# What they open when they work, as strace sees it, is what the profiles allow.
built=${BUILT-$top/target/package/release}
export NEWUIDMAP="$built/newuidmap" NEWGIDMAP="$built/newgidmap" LXC_USER_NIC="$built/lxc-user-nic"
tests/clients/run.sh ../packages/trace-idmap >"$place/trace" 2>"$place/errors" || cat "$place/errors"
tests/clients/run-nic.sh ../packages/trace-nic >>"$place/trace" 2>"$place/errors" || cat "$place/errors"
tests/clients/run-nic.sh ../packages/trace-ovs >>"$place/trace" 2>"$place/errors" || cat "$place/errors"
is 'they did work' '' "$(grep failed "$place/trace" || true)"
for program in newuidmap newgidmap lxc-user-nic ovs-vsctl; do
    is "what $program opens" 'allowed: several' \
        "$(sed -n "/^trace: $program\$/,/^trace: /p" "$place/trace" | tests/packages/uncovered nsgate-$program)"
done

# The capabilities, by the bounding set: those of the profile are enough, and each is needed.
of_profile() {
    sed -n "/^profile nsgate-$1 /,/^}/s/^  capability \(.*\),\$/,+\1/p" packaging/apparmor/nsgate | tr -d '\n'
    sed -n 's/^  capability \(.*\),$/,+\1/p' packaging/apparmor/abstractions/nsgate | tr -d '\n'
}
for program in newuidmap newgidmap lxc-user-nic; do
    is "$program's twin has the same capabilities" "$(of_profile $program)" "$(of_profile $program-nss)"
done
CAPABILITIES_newuidmap=$(of_profile newuidmap) CAPABILITIES_newgidmap=$(of_profile newgidmap) CAPABILITIES=$(of_profile lxc-user-nic)
export CAPABILITIES_newuidmap CAPABILITIES_newgidmap CAPABILITIES
is 'capabilities of newuidmap and newgidmap' 'newuidmap 600000: 0
newuidmap 0: 0
without +setuid
newuidmap 600000: 1
newuidmap 0: 1
without +setfcap
newuidmap 600000: 0
newuidmap 0: 1
newgidmap 600000: 0
newgidmap 0: 0
without +setgid
newgidmap 600000: 1
newgidmap 0: 1' "$(tests/clients/run.sh ../packages/capabilities-idmap 2>/dev/null | grep -v ^ran:)"
is 'capabilities of lxc-user-nic' 'alice: 0
root: 0
without +setuid
alice: 1
root: 1
without +setgid
alice: 1
root: 1
without +net_admin
alice: 1
root: 1
without +sys_ptrace
alice: 0
root: 1' "$(tests/clients/run-nic.sh ../packages/capabilities-nic 2>/dev/null | grep -v ^ran:)"

echo '-- SELinux'
cp packaging/selinux/* "$place/selinux"
holds 'the module compiles' make -s -C "$place/selinux" -f /usr/share/selinux/devel/Makefile nsgate.pp
holds 'it is a policy package' semodule_unpackage "$place/selinux/nsgate.pp" "$place/selinux/module" "$place/selinux/contexts"
contexts() { sed -n 's/^\([^#[:space:]]*\)[[:space:]].*/\1/p' packaging/selinux/nsgate.fc; }
for program in /usr/bin/newuidmap /usr/bin/newgidmap /usr/libexec/nsgate/newuidmap-nss /usr/libexec/nsgate/newgidmap-nss \
    /usr/libexec/lxc/lxc-user-nic /usr/libexec/nsgate/lxc-user-nic /usr/libexec/nsgate/lxc-user-nic-nss; do
    is "a label for $program" 1 "$(contexts | while read -r one; do echo "$program" | grep -cxE "$one" || true; done | grep -c 1)"
done

echo '-- systemd'
tests/packages/debian-root >/dev/null
tar -C "$place/root" -xf target/packages/bookworm.tar
in_root() { tests/packages/inside "$place/root" "$@"; }
install -D -m 644 packaging/systemd/nsgate-tmpfiles.conf "$place/root/usr/lib/tmpfiles.d/nsgate.conf"
install -D -m 644 packaging/systemd/80-nsgate-bridge.network "$place/root/etc/systemd/network/80-nsgate-bridge.network"
install -D -m 644 packaging/systemd/60-nsgate.conf "$place/root/etc/sysctl.d/60-nsgate.conf"

is 'tmpfiles.d' '755 root:root /run/lxc
700 root:root /run/lxc/nsgate' \
    "$(in_root sh -c 'systemd-tmpfiles --create nsgate.conf && stat -c "%a %U:%G %n" /run/lxc /run/lxc/nsgate' 2>&1)"
is "sysctl.d: containers' bridges, and nothing else" 'nsbr-1000 0 1
lxcbr0 0 1' "$(in_root sh -c 'shown() { for one; do echo $one $(cat ipv6/conf/$one/accept_ra ipv4/conf/$one/rp_filter); done; }
    for bridge in nsbr-1000 lxcbr0 other; do ip link add $bridge type bridge; done
    cd /proc/sys/net
    before=$(shown default all other)
    /lib/systemd/systemd-sysctl --strict /etc/sysctl.d/60-nsgate.conf && shown nsbr-1000 lxcbr0
    [ "$before" = "$(shown default all other)" ] || shown default all other' 2>&1)"
# By udev, for bridges that come later: what its own rule runs.
is 'sysctl.d: a bridge that comes later' 0 "$(in_root sh -c 'ip link add lxcbr0 type bridge
    rule=$(grep -h "^ACTION.*SUBSYSTEM==\"net\".*systemd-sysctl" /lib/udev/rules.d/99-systemd.rules)
    $(echo "$rule" | sed "s/.*RUN+=\"\([^\"]*\)\".*/\1/; s/\\\$name/lxcbr0/g") && cat /proc/sys/net/ipv6/conf/lxcbr0/accept_ra' 2>&1)"
# With a read-only /sys networkd does not wait for udev.
cat >"$place/root/networkd" <<'R'
mount -o remount,ro,bind /sys
mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
chown -R systemd-network /run/systemd/netif
ip link add nsbr-1000 type bridge
ip link add other type bridge
/lib/systemd/systemd-networkd >/run/log 2>&1 &
for _ in $(seq 100); do
    address=$(ip -o -4 address show dev nsbr-1000)
    [ -z "$address" ] || break
    sleep 0.1
done
sleep 0.5
grep -h '80-nsgate-bridge.network:' /run/log
# systemd 252 may take a second one of its pool when the bridge comes up.
ip -o -4 address show dev nsbr-1000 | sed 's/.* inet [0-9.]*\(\/[0-9]*\) .*/address \1/' | sort -u
grep -l 00000000:0043 /proc/net/udp /proc/net/raw >/dev/null && echo 'DHCP server'
echo "forwarding $(cat /proc/sys/net/ipv4/conf/nsbr-1000/forwarding)"
echo "IPv6 $(ip -o -6 address show dev nsbr-1000 | wc -l)"
echo "others $(ip -o -4 address show dev other | wc -l)"
R
is 'networkd: complaints, and what it makes of the bridge' 'address /28
DHCP server
forwarding 1
IPv6 0
others 0' "$(in_root sh /networkd)"

rm -rf "$place"
results
