#!/bin/sh
# debian.sh: installs, upgrades, downgrades, removes and purges the packages in a Debian 12 of its own, and goes back to
# Debian's programs. After each step: what is where, with which mode, and whether the clients really work. As root.
# BUILT: where the programs are, if they are built already.
# N01, N02, N04: no moment without a program; what the admin has set survives; clients work before, with ours, and after.
# shellcheck disable=SC2016 # dpkg-query's and another shell's, not ours
set -eu
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
cd "$top"
. tests/packages/checks.sh
place=$top/target/packages
built=${BUILT-$top/target/package/release}
root=$place/root
nic=/usr/libexec/lxc/lxc-user-nic
page=/usr/share/man/man1/lxc-user-nic.1.gz

echo 'building the packages'
packaging/debian/build 0.1.1-1~test >/dev/null
packaging/debian/build >/dev/null
tests/packages/debian-root >/dev/null
rm -rf "$root"
mkdir -p "$root"
tar -C "$root" -xf "$place/bookworm.tar"
in_root() { tests/packages/inside "$root" "$@"; }

# Debian's own packages, of the versions that are installed there: to go back to.
debs=$place/debs
mkdir -p "$debs"
for package in uidmap liblxc-common; do
    version=$(in_root dpkg-query -Wf '${Version}' $package)
    ls "$debs/${package}_$(echo "$version" | sed s/:/%3a/)_"*.deb >/dev/null 2>&1 ||
        (cd "$debs" && apt-get download -qq "$package=$version" 2>/dev/null)
done
cp "$debs"/*.deb target/debian/nsgate*_0.1*.deb "$root/root/"

# The recipes of tests/clients, with the helpers as the packages have installed them.
cp -R tests/clients "$root/clients"
echo 'install_helper() { touch -a -d @0 "${3-/usr/bin}/$1"; }' >>"$root/clients/prepare.sh"

# ---- What is looked at

state() { stat -L -c '%a %U:%G' "$root$1" 2>/dev/null || echo absent; }
sum() { sha256sum <"$root$1" | cut -d' ' -f1; }
debian_uid=$(sum /usr/bin/newuidmap)
debian_nic=$(sum $nic)
files() { (cd "$root" && find usr etc -xdev ! -path 'usr/share/doc/*' -print | sort); }
files >"$place/before"

# client WHAT CLIENT [-nic]: a client really works, with the programs that are installed now.
client() {
    whose=theirs
    [ ! -L "$root$nic" ] || whose=ours
    wanted=$(sed -n "s/^$whose: //; /^ours: \|^theirs: /!p" "tests/clients/expected/$2")
    # What ran is told with its hash.
    found=$(in_root "/clients/run${3-}.sh" "$2" 2>"$place/client.log") || found="status $? $found"
    found=$(printf '%s\n' "$found" | sed 's/^\(ran: [a-z-]*\) .*/\1/')
    [ "$found" = "$wanted" ] || tail -n 3 "$place/client.log"
    is "$1: $2" "$wanted" "$found"
}

# clients WHAT: of each kind one, after every step.
clients() {
    for name in unshare-auto podman-unshare rootlesskit; do client "$1" $name; done
    client "$1" nic-lxc-foreground -nic
}

# step WHAT COMMAND...: in the Debian, while the two directories of the programs are watched.
step() {
    echo "-- $1"
    mkdir -p "$root/usr/libexec/nsgate"
    : >"$place/watch"
    inotifywait -m -e create,delete,move,attrib,modify --format '%e %w%f' "$root/usr/bin" "$root/usr/libexec/lxc" \
        "$root/usr/libexec/nsgate" >"$place/events" 2>"$place/watch" &
    watch=$!
    until grep -q 'Watches established' "$place/watch"; do kill -0 $watch; sleep 0.1; done
    holds "$@"
    sleep 0.3
    kill $watch
}

# no_gap WHAT [DIRECTORIES]: in the last step each name had a whole program behind it, always: it was changed by renames alone.
no_gap() {
    holds "$1: the watch saw something" test -s "$place/events"
    is "$1: no moment without a program" '' \
        "$(grep -E "^(CREATE|DELETE|MOVED_FROM|ATTRIB|MODIFY) .*/(${2-bin|lxc})/(new[ug]idmap|lxc-user-nic)(-nss)?\$" "$place/events")"
}

# ours_are_there WHAT
ours_are_there() {
    for program in /usr/bin/newuidmap /usr/bin/newgidmap /usr/libexec/nsgate/newuidmap-nss /usr/libexec/nsgate/newgidmap-nss; do
        is "$1: $program" '4755 root:root' "$(state $program)"
    done
    is "$1: newuidmap" "$(sha256sum <"$built/newuidmap" | cut -d' ' -f1)" "$(sum /usr/bin/newuidmap)"
    is "$1: lxc-user-nic" "$(sha256sum <"$built/lxc-user-nic" | cut -d' ' -f1)" \
        "$(in_root sha256sum $nic | cut -d' ' -f1)"
    is "$1: lxc-user-nic" '4755 root:root' "$(in_root stat -L -c '%a %U:%G' $nic)"
    is "$1: its twin" '4755 root:root' "$(state /usr/libexec/nsgate/lxc-user-nic-nss)"
    is "$1: LXC's, aside" "755 root:root $debian_nic" "$(state $nic.distrib) $(sum $nic.distrib)"
    is "$1: diversions" "$nic.distrib $page.distrib" \
        "$(in_root dpkg-divert --list '*user-nic*' | sed 's/.* to \(.*\) by nsgate-lxc-user-nic/\1/' | sort | paste -sd ' ' -)"
    holds "$1: dependencies" in_root apt-get check -q
}

debians_nic_is_there() {
    is "$1: Debian's lxc-user-nic" "4755 root:root $debian_nic" "$(state $nic) $(sum $nic)"
    is "$1: no diversion" '' "$(in_root dpkg-divert --list '*user-nic*')"
    is "$1: no override" '' "$(in_root dpkg-statoverride --list '*user-nic*' || true)"
    is "$1: no program aside" '' "$(find "$root/usr/libexec/lxc" -name 'lxc-user-nic?*')"
}

# ---- The story

clients 'as Debian has it'

step 'install' in_root sh -c 'dpkg -i /root/nsgate*_0.1.0-1_*.deb'
no_gap install
ours_are_there install
is "install: Debian's uidmap is gone" '' "$(in_root dpkg-query -Wf '${db:Status-Status}' uidmap 2>/dev/null | grep -x installed || true)"
is 'install: /etc/nsgate.ini' '644 root:root' "$(state /etc/nsgate.ini)"
is 'install: /etc/lxc/lxc-usernet is nobody'"'"'s' absent "$(state /etc/lxc/lxc-usernet)"

# The command, right after the installation. It finds nothing to complain of but what the test's own machine is like.
is 'nsgate check' 'no findings in /etc/subuid, /etc/subgid, /etc/nsgate.ini; not there: /etc/lxc/lxc-usernet' "$(in_root nsgate check)"
is 'nsgate doctor' 'all well' "$(in_root sh -c 'nsgate doctor || nsgate doctor' | tail -n 1)"
is 'nsgate doctor, of the programs' 'ok       installed, root'"'"'s, and with the privilege that they need' \
    "$(in_root nsgate doctor | grep installed)"
# With a user who has something, as the command itself grants it. Nothing of it stays.
is 'nsgate grant, explain' "carol may map this
lxc-user-nic would refuse" "$(in_root sh -c 'mount -t tmpfs tmpfs /mnt && cp -a /etc /mnt && mount --bind /mnt/etc /etc
    echo carol:x:52003:52003::/:/bin/sh >>/etc/passwd
    nsgate grant ids carol >/dev/null
    nsgate explain map carol u 0 "$(sed -n "s/^carol:\([0-9]*\):.*/\1/p" /etc/subuid)" 65536 | head -n 1
    nsgate explain nic carol lxcbr0 | head -n 1' 2>&1 | sed 's/\(would [a-z]*\).*/\1/')"
# What the command installs for the admin to take.
for file in apparmor.d/nsgate sysctl.d/60-nsgate.conf network/80-nsgate-bridge.network lxc-usernet; do
    is "install: /usr/share/nsgate/$file" '644 root:root' "$(state /usr/share/nsgate/$file)"
done
is 'install: nothing of it is in force' '' "$(in_root dpkg -L nsgate nsgate-uidmap nsgate-lxc-user-nic |
    grep -E '^(/etc/(sysctl|systemd|apparmor|modprobe)|/usr/lib/(sysctl.d|systemd))' || true)"
clients install
for name in podman-run lxc-usernsexec; do client install $name; done
client install nic-rootlesskit -nic

step 'upgrade' in_root sh -c 'dpkg -i /root/nsgate*_0.1.1-1~test_*.deb'
no_gap upgrade 'bin|lxc|nsgate'
ours_are_there upgrade
clients upgrade

step "upgrade of LXC's" in_root sh -c 'dpkg -i /root/liblxc-common_*.deb'
no_gap "upgrade of LXC's"
ours_are_there "upgrade of LXC's"
clients "upgrade of LXC's"

step 'downgrade' in_root sh -c 'dpkg -i /root/nsgate*_0.1.0-1_*.deb'
no_gap downgrade 'bin|lxc|nsgate'
ours_are_there downgrade
clients downgrade

step "LXC's goes, and comes back" in_root sh -c 'dpkg --force-depends --purge liblxc-common && dpkg -i /root/liblxc-common_*.deb'
no_gap "LXC's goes, and comes back"
ours_are_there "LXC's goes, and comes back"
clients "LXC's goes, and comes back"

step 'remove lxc-user-nic' in_root apt-get remove -qy nsgate-lxc-user-nic
no_gap 'remove lxc-user-nic'
debians_nic_is_there 'remove lxc-user-nic'
clients 'remove lxc-user-nic'

step 'install again' in_root sh -c 'apt-get install -qy /root/nsgate-lxc-user-nic_0.1.0-1_*.deb'
no_gap 'install again'
ours_are_there 'install again'
clients 'install again'

step 'purge lxc-user-nic' in_root apt-get purge -qy nsgate-lxc-user-nic
no_gap 'purge lxc-user-nic'
debians_nic_is_there 'purge lxc-user-nic'
clients 'purge lxc-user-nic'

# apt removes the one before it unpacks the other: for a moment there is none. Nobody has too much in it.
step "Debian's uidmap in place of ours" in_root sh -c 'apt-get install -qy /root/uidmap_*.deb'
is "back: Debian's newuidmap" "4755 root:root $debian_uid" "$(state /usr/bin/newuidmap) $(sum /usr/bin/newuidmap)"
is 'back: our uidmap is gone' '' "$(in_root dpkg-query -Wf '${db:Status-Status}' nsgate-uidmap 2>/dev/null | grep -x installed || true)"
clients back

step 'ours again, by apt' in_root sh -c 'apt-get install -qy /root/nsgate-uidmap_0.1.0-1_*.deb'
is 'ours again: mode' '4755 root:root' "$(state /usr/bin/newuidmap)"
clients 'ours again'

step 'purge everything' in_root sh -c 'apt-get install -qy /root/uidmap_*.deb && dpkg --purge nsgate nsgate-uidmap'
files >"$place/after"
is 'purge: nothing is left behind, nothing is missing' '' "$(diff "$place/before" "$place/after" | grep '^[<>]' || true)"
is 'purge: no override, no diversion' '' "$(in_root sh -c 'dpkg-statoverride --list "*newuidmap*"; dpkg-statoverride --list "*newgidmap*"
    dpkg-statoverride --list "*user-nic*"; dpkg-divert --list "*user-nic*"' || true)"
clients purge

# An admin who lets one group have containers.
in_root sh -c 'dpkg-statoverride --update --add root games 4750 /usr/bin/newuidmap
    dpkg-statoverride --update --add root games 4750 /usr/libexec/lxc/lxc-user-nic'
step 'install, restricted' in_root sh -c 'dpkg -i /root/nsgate*_0.1.0-1_*.deb'
no_gap 'install, restricted'
for program in /usr/bin/newuidmap /usr/libexec/nsgate/newuidmap-nss /usr/libexec/nsgate/lxc-user-nic /usr/libexec/nsgate/lxc-user-nic-nss; do
    is "restricted: $program" '4750 root:games' "$(state $program)"
done
is "restricted: LXC's, aside" '755 root:root' "$(state $nic.distrib)"
is 'restricted: what nobody has restricted' '4755 root:root' "$(state /usr/libexec/nsgate/newgidmap-nss)"
step 'upgrade, restricted' in_root sh -c 'dpkg -i /root/nsgate*_0.1.1-1~test_*.deb'
is 'restricted, upgraded' '4750 root:games' "$(state /usr/libexec/nsgate/lxc-user-nic)"
step 'remove, restricted' in_root apt-get purge -qy nsgate-lxc-user-nic
no_gap 'remove, restricted'
is "restricted: Debian's again" "4750 root:games $debian_nic" "$(state $nic) $(sum $nic)"
is 'restricted: the overrides are the admin'"'"'s' "root games 4750 $nic" "$(in_root dpkg-statoverride --list '*user-nic*')"

# Who is let in later is let in by the next upgrade, too, and not by the twins.
in_root sh -c 'dpkg --force-depends --purge nsgate-uidmap nsgate-lxc-user-nic; dpkg-statoverride --remove /usr/bin/newuidmap
    dpkg-statoverride --remove /usr/libexec/lxc/lxc-user-nic; chmod 4755 /usr/libexec/lxc/lxc-user-nic
    chown root:root /usr/libexec/lxc/lxc-user-nic; chmod 4755 /usr/libexec/lxc/lxc-user-nic
    dpkg -i /root/nsgate-uidmap_0.1.0-1_*.deb /root/nsgate-lxc-user-nic_0.1.0-1_*.deb
    dpkg-statoverride --update --add root games 4750 /usr/bin/newuidmap
    dpkg-statoverride --update --force-statoverride-add --add root games 4750 /usr/libexec/lxc/lxc-user-nic' >/dev/null 2>&1
step 'upgrade, restricted since' in_root sh -c 'dpkg -i /root/nsgate-uidmap_0.1.1-1~test_*.deb /root/nsgate-lxc-user-nic_0.1.1-1~test_*.deb'
for program in /usr/bin/newuidmap /usr/libexec/nsgate/newuidmap-nss /usr/libexec/nsgate/lxc-user-nic /usr/libexec/nsgate/lxc-user-nic-nss; do
    is "restricted since: $program" '4750 root:games' "$(state $program)"
done
is 'restricted since: what nobody has restricted' '4755 root:root' "$(state /usr/libexec/nsgate/newgidmap-nss)"
is "restricted since: LXC's, aside" '755 root:root' "$(state $nic.distrib)"
in_root dpkg --force-depends --purge nsgate-lxc-user-nic nsgate-uidmap >/dev/null 2>&1
in_root sh -c 'dpkg-statoverride --remove /usr/bin/newuidmap; dpkg-statoverride --remove /usr/libexec/lxc/lxc-user-nic
    chown root:root /usr/libexec/lxc/lxc-user-nic; chmod 4755 /usr/libexec/lxc/lxc-user-nic' >/dev/null 2>&1

# ---- What dpkg does when something goes wrong

# dpkg calls no prerm then.
step 'removed when it is only unpacked' in_root sh -c 'dpkg -i /root/nsgate-lxc-user-nic_0.1.0-1_*.deb &&
    dpkg --unpack /root/nsgate-lxc-user-nic_0.1.1-1~test_*.deb && dpkg --remove nsgate-lxc-user-nic'
debians_nic_is_there 'removed when it is only unpacked'

# Between unpacking and configuring.
in_root dpkg --force-depends --purge nsgate-lxc-user-nic nsgate-uidmap nsgate >/dev/null 2>&1
step 'only unpacked' in_root sh -c 'dpkg --unpack /root/nsgate*_0.1.0-1_*.deb'
no_gap 'only unpacked'
is 'only unpacked: newuidmap, newgidmap' '4755 root:root 4755 root:root' "$(state /usr/bin/newuidmap) $(state /usr/bin/newgidmap)"
is "only unpacked: LXC's" "4755 root:root $debian_nic" "$(state $nic) $(sum $nic)"
clients 'only unpacked'
# The twins have no privilege: whoever calls them gets what he could have done himself, which is nothing.
is 'only unpacked: the twins' 'newuidmap-nss 1 []
newgidmap-nss 1 []' "$(in_root sh -c 'mount -t tmpfs tmpfs /mnt && cp -a /etc /mnt && mount --bind /mnt/etc /etc
    echo nobody:600000:10 | tee /etc/subuid >/etc/subgid
    cd /
    nobody="setpriv --reuid nobody --regid nogroup --clear-groups"
    $nobody unshare --user sleep 100 &
    until [ "$(cat /proc/$!/comm)" = sleep ]; do sleep 0.1; done
    for map in uid_map gid_map; do
        twin=new$(echo $map | tr -d _)
        status=0
        $nobody /usr/libexec/nsgate/$twin-nss $! 0 600000 1 2>/dev/null || status=$?
        echo "$twin-nss $status [$(cat /proc/$!/$map)]"
    done' 2>&1)"
step 'configured' in_root dpkg --configure -a
no_gap 'configured' bin
ours_are_there 'configured'
clients 'configured'
in_root dpkg --purge nsgate-lxc-user-nic >/dev/null 2>&1
in_root dpkg --force-depends --purge nsgate-uidmap nsgate >/dev/null 2>&1
in_root sh -c 'dpkg -i /root/nsgate_0.1.0-1_*.deb' >/dev/null 2>&1

# break_postinst LINE: the package on hand, with a postinst that fails instead of that line.
break_postinst() {
    in_root sh -c 'dpkg --unpack /root/nsgate-lxc-user-nic_0.1.0-1_*.deb >/dev/null
        sed -i "s|^    $0.*|    exit 1|" /var/lib/dpkg/info/nsgate-lxc-user-nic.postinst' "$1"
}
for line in 'privileged \$ours-nss' 'dpkg-divert' 'mkdir' 'mv' '! dpkg-stat' 'dpkg-statoverride'; do
    break_postinst "$line"
    fails "broken at $line: configure" in_root dpkg --configure nsgate-lxc-user-nic
    holds "broken at $line: remove" in_root dpkg --remove nsgate-lxc-user-nic
    debians_nic_is_there "broken at $line"
    break_postinst "$line"
    in_root dpkg --configure nsgate-lxc-user-nic >/dev/null 2>&1 || true
    holds "broken at $line: again" in_root sh -c 'dpkg -i /root/nsgate-lxc-user-nic_0.1.0-1_*.deb'
    is "broken at $line: again" "4755 755 $nic.distrib" "$(in_root stat -L -c %a $nic) $(in_root stat -c '%a %n' $nic.distrib)"
    holds "broken at $line: and back" in_root dpkg --remove nsgate-lxc-user-nic
    debians_nic_is_there "broken at $line: and back"
done

# Somebody else's diversion: nothing is touched, and the package can go.
in_root dpkg-divert --quiet --local --no-rename --divert $nic.admins --add $nic
fails "an admin's diversion: install" in_root sh -c 'dpkg -i /root/nsgate-lxc-user-nic_0.1.0-1_*.deb'
is "an admin's diversion: LXC's" "4755 root:root $debian_nic" "$(state $nic) $(sum $nic)"
holds "an admin's diversion: remove" in_root dpkg --remove nsgate-lxc-user-nic
in_root dpkg-divert --quiet --local --no-rename --remove $nic
debians_nic_is_there "an admin's diversion"

# An admin who lets nobody: it does not come back by our package.
in_root dpkg-statoverride --update --add root root 755 $nic
holds 'nobody: install' in_root sh -c 'dpkg -i /root/nsgate-lxc-user-nic_0.1.0-1_*.deb && dpkg -i /root/nsgate-lxc-user-nic_0.1.1-1~test_*.deb'
is 'nobody' '755 root:root 755 root:root' "$(state /usr/libexec/nsgate/lxc-user-nic) $(state $nic.distrib)"
holds 'nobody: remove' in_root dpkg --purge nsgate-lxc-user-nic
is 'nobody: and still' "755 root:root $debian_nic" "$(state $nic) $(sum $nic)"
in_root dpkg-statoverride --remove $nic >/dev/null
in_root chmod 4755 $nic

# The policy of an admin who had one before is his.
in_root sh -c 'dpkg --purge nsgate >/dev/null 2>&1; mkdir -p /etc/lxc; echo "alice veth lxcbr0 2" >/etc/lxc/lxc-usernet'
step 'install over a policy' in_root sh -c 'dpkg -i /root/nsgate_0.1.0-1_*.deb </dev/null'
is 'a policy that was there' 'alice veth lxcbr0 2' "$(cat "$root/etc/lxc/lxc-usernet")"
step 'purge beside a policy' in_root dpkg --purge nsgate
is 'a policy that was there stays' 'alice veth lxcbr0 2' "$(cat "$root/etc/lxc/lxc-usernet")"

echo '-- lintian'
# There is no address yet, and no bug of Debian's that the first upload would close.
is lintian '' "$(lintian --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog,initial-upload-closes-no-bugs \
    target/debian/nsgate_0.1.0-1_*.changes 2>&1 | grep -v '^running with root' || true)"

rm -rf "$root"
results
