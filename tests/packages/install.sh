#!/bin/sh
# install.sh: what "make install" puts where, with which mode, owner and capabilities, for each MODE. As root, for setcap.
# BUILT: where the programs are.
# M16, N01: `nsgate` has no privilege; a program is replaced, and never written over.
set -eu
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
. "$top/tests/packages/checks.sh"
built=${BUILT-$top/target/package/release}
place=$top/target/packages/install
rm -rf "$place"
mkdir -p "$place"
umask 077                       # nobody's umask is to decide what others may do with a package's files

put() { destination=$1; shift; make --silent -C "$top" BUILT="$built" DESTDIR="$place/$destination" "$@" install; }
# Each program with its mode, owner and capabilities.
programs() {
    cd "$place/$1"
    find . -type f -perm /111 -printf '%m %u:%g %P\n' | sort -k 3 | while read -r mode owner file; do
        capabilities=$(getcap "$file")
        echo "$mode $owner $file${capabilities#"$file"}"
    done
    cd "$top"
}

put setuid
is 'MODE=setuid' '755 root:root usr/bin/getsubids
4755 root:root usr/bin/newgidmap
4755 root:root usr/bin/newuidmap
4755 root:root usr/libexec/lxc/lxc-user-nic
4755 root:root usr/libexec/nsgate/lxc-user-nic-nss
4755 root:root usr/libexec/nsgate/newgidmap-nss
4755 root:root usr/libexec/nsgate/newuidmap-nss
755 root:root usr/sbin/nsgate' "$(programs setuid)"

put fcaps MODE=fcaps
is 'MODE=fcaps' '755 root:root usr/bin/getsubids
755 root:root usr/bin/newgidmap cap_setgid=ep
755 root:root usr/bin/newuidmap cap_setuid=ep
4755 root:root usr/libexec/lxc/lxc-user-nic
4755 root:root usr/libexec/nsgate/lxc-user-nic-nss
755 root:root usr/libexec/nsgate/newgidmap-nss cap_setgid=ep
755 root:root usr/libexec/nsgate/newuidmap-nss cap_setuid=ep
755 root:root usr/sbin/nsgate' "$(programs fcaps)"

put none MODE=none
is 'MODE=none' "$(programs setuid | sed 's/^4//')" "$(programs none)"

fails 'another MODE' put other MODE=suid
is 'another MODE does nothing' '' "$(find "$place/other" 2>/dev/null)"

is 'everything that is no program' 'etc/lxc/lxc-usernet
etc/nsgate.ini
usr/lib/systemd/network/80-nsgate-bridge.network
usr/lib/tmpfiles.d/nsgate.conf
usr/share/bash-completion/completions/nsgate
usr/share/fish/vendor_completions.d/nsgate.fish
usr/share/man/man1/getsubids.1
usr/share/man/man1/lxc-user-nic.1
usr/share/man/man1/newgidmap.1
usr/share/man/man1/newuidmap.1
usr/share/man/man5/nsgate.ini.5
usr/share/man/man8/nsgate.8
usr/share/nsgate/sysctl.d/60-nsgate.conf
usr/share/zsh/site-functions/_nsgate' \
    "$(cd "$place/setuid" && find . -type f ! -perm /111 ! -path '*/apparmor.d/*' ! -path '*/selinux/*' -printf '%P\n' | sort)"
is 'files that others can write, or root alone can read' '' \
    "$(find "$place/setuid" -mindepth 1 \( -perm /022 -o ! -perm -444 \) -print)"
is 'every file of packaging/apparmor and selinux' \
    "$(cd "$top/packaging" && find apparmor selinux -type f -printf '%f\n' 2>/dev/null | sort)" \
    "$(find "$place/setuid/usr/share/nsgate/apparmor.d" "$place/setuid/usr/share/nsgate/selinux" -type f -printf '%f\n' 2>/dev/null | sort)"

echo mine >"$place/setuid/etc/nsgate.ini"
echo mine >"$place/setuid/etc/lxc/lxc-usernet"
old=$(stat -c %i "$place/setuid/usr/bin/newuidmap")
exec 3<"$place/setuid/usr/bin/newuidmap"
put setuid
is "the admin's files stay" 'mine
mine' "$(cat "$place/setuid/etc/nsgate.ini" "$place/setuid/etc/lxc/lxc-usernet")"
fails 'a program is replaced, not written over' [ "$old" = "$(stat -c %i "$place/setuid/usr/bin/newuidmap")" ]
is 'nothing is left half-way' '' "$(find "$place" -name '*.new')"

# mv alone would put it in there, privileged, and call it done.
mkdir -p "$place/directory/usr/bin/newuidmap"
fails "a directory in the program's place" put directory
is "a directory in the program's place: nothing in it" '' "$(find "$place/directory/usr/bin/newuidmap" -mindepth 1)"
rm -r "$place/directory"

# The twins' place is a constant of the programs.
fails 'programs that look for their twins elsewhere' put elsewhere LIBEXECDIR=/usr/lib
put prefix PREFIX=/opt/nsgate LIBEXECDIR=/usr/libexec SYSCONFDIR=/opt/etc
is 'PREFIX, LIBEXECDIR and SYSCONFDIR' 'opt/etc opt/nsgate usr/libexec' \
    "$(cd "$place/prefix" && find . -mindepth 2 -maxdepth 2 -printf '%P\n' | sort | paste -sd ' ' -)"

rm -rf "$place"
results
