#!/bin/bash
# formats.sh: builds the RPMs, and looks at what is in them; reads the recipes of Arch and Alpine with their own tools or, as
# these are not to be had here, with the shell they are written for, and runs what they do to install.
set -eu
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
cd "$top"
. tests/packages/checks.sh
place=$top/target/packages/formats
rm -rf "$place"
mkdir -p "$place"

echo '-- RPM'
holds 'rpmbuild' rpmbuild -bb packaging/rpm/nsgate.spec --quiet --nodeps --define "top $top" --define "_topdir $place/rpm" \
    --define '_build_id_links none'
mkdir "$place/rpms"
find "$place/rpm/RPMS" -name '*.rpm' -exec mv {} "$place/rpms" \;
# privileges RPM: its files that are set-user-ID or have capabilities.
privileges() {
    rpm -qp --qf '[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES} %{FILECAPS}\n]' "$1" |
        awk '/^-..s/ || / cap_/ || / =/ { sub(/ \(none\)$/, ""); $1 = $1; print }'
}
is 'RPM: newuidmap and newgidmap' '-rwxr-xr-x root:root /usr/bin/newgidmap cap_setgid=ep
-rwxr-xr-x root:root /usr/bin/newuidmap cap_setuid=ep
-rwxr-xr-x root:root /usr/libexec/nsgate/newgidmap-nss cap_setgid=ep
-rwxr-xr-x root:root /usr/libexec/nsgate/newuidmap-nss cap_setuid=ep' "$(privileges "$place"/rpms/nsgate-uidmap-*.rpm)"
is 'RPM: lxc-user-nic' '-rwsr-xr-x root:root /usr/libexec/nsgate/lxc-user-nic
-rwsr-xr-x root:root /usr/libexec/nsgate/lxc-user-nic-nss' "$(privileges "$place"/rpms/nsgate-lxc-user-nic-*.rpm)"
is 'RPM: nsgate' '' "$(privileges "$place"/rpms/nsgate-0*.rpm)"
for package in nsgate nsgate-uidmap nsgate-lxc-user-nic; do
    is "RPM: the policy in $package is the admin's" '/etc/nsgate.ini' "$(rpm -qpc "$place/rpms/$package"-0*.rpm)"
done
is 'RPM: everything else is in one package' '/etc/nsgate.ini' "$(rpm -qpl "$place"/rpms/*.rpm | sort | uniq -d | grep -v build-id || true)"
# Into a directory: what they really put there.
mkdir "$place/installed"
holds 'RPM: installed' rpm --root "$place/installed" -i --nodeps "$place"/rpms/*.rpm
is 'RPM: installed newuidmap' '755 root:root usr/bin/newuidmap cap_setuid=ep' \
    "$(cd "$place/installed" && echo "$(stat -c '%a %U:%G' usr/bin/newuidmap) $(getcap usr/bin/newuidmap)")"
is 'RPM: installed lxc-user-nic' '4755 root:root' "$(stat -c '%a %U:%G' "$place/installed/usr/libexec/nsgate/lxc-user-nic")"
echo mine >>"$place/installed/etc/nsgate.ini"
# No helper is left without the rules that it had.
holds 'RPM: nsgate erased' rpm --root "$place/installed" -e nsgate
is 'RPM: the rules of those who stay' mine "$(tail -n 1 "$place/installed/etc/nsgate.ini")"
holds 'RPM: erased' rpm --root "$place/installed" -e nsgate-uidmap nsgate-lxc-user-nic
is 'RPM: what is left' './etc/nsgate.ini.rpmsave' "$(cd "$place/installed" && find . -type f ! -path './var/lib/*' ! -path './usr/lib/sysimage/*' ! -path './root/*')"

echo '-- RPM, openSUSE'
# Its two macros, which rpmbuild has no other way here, as openSUSE/permissions has them (2026): what is looked at is what they are
# told.
suse() {
    rpmbuild -bb packaging/rpm/nsgate.spec --quiet --nodeps --define "top $top" --define "_topdir $place/$1" \
        --define '_build_id_links none' --define "suse_version $1" \
        --define 'set_permissions(f:) [ ! -x /usr/bin/permctl ] || /usr/bin/permctl -n --set --system %{**} || :' \
        --define 'verify_permissions(e:f:) /usr/bin/permctl -n --warn --system %{**} 1>&2'
}
for version in 1500 1699; do
    lists=/usr/share/permissions/packages.d
    [ $version = 1699 ] || lists=/usr/share/permissions/permissions.d       # Leap 15
    holds "openSUSE $version: rpmbuild" suse $version
    for package in nsgate-uidmap nsgate-lxc-user-nic; do
        rpm=$(echo "$place/$version"/RPMS/*/$package-0*.rpm)
        mkdir -p "$place/$version/$package"
        holds "openSUSE $version: $package installed" rpm --root "$place/$version/$package" -i --nodeps --noscripts "$rpm"
        # Its list is of exactly those that the package gives a privilege, with the same modes.
        listed=$(sed '/^#/d' "$place/$version/$package$lists/$package" | sed ':a; N; $!ba; s/\n +capabilities//g' |
            awk '{ $1 = $1; print }' | sort)
        is "openSUSE $version: list of $package" "$listed" "$(privileges "$rpm" | sed 's/^-rwxr-xr-x \([^ ]*\) \([^ ]*\) *\(.*\)/\2 \1 0755 \3/
            s/^-rwsr-xr-x \([^ ]*\) \([^ ]*\)$/\2 \1 4755/' | sort)"
        # The scripts name each of them, and are shell.
        rpm -qp --qf '%{POSTIN}\n' "$rpm" >"$place/post"
        rpm -qp --qf '%{VERIFYSCRIPT}\n' "$rpm" >"$place/verify"
        for script in post verify; do
            holds "openSUSE $version: $script of $package" sh -n "$place/$script"
            is "openSUSE $version: what $script of $package names" "$(echo "$listed" | cut -d' ' -f1)" \
                "$(grep -o '/usr/libexec/[^ ]*' "$place/$script" | sort)"
        done
        is "openSUSE $version: $package has nothing of shadow's and LXC's" '' \
            "$(rpm -qpl "$rpm" | grep -E '^/usr/(bin|libexec/lxc)/|man1/(new|getsubids)' | grep -v /usr/libexec/nsgate || true)"
    done
done

echo '-- Arch'
arch() {
    # shellcheck source=/dev/null
    . packaging/arch/PKGBUILD
    startdir=$top/packaging/arch pkgdir=$place/arch/$1
    export pkgdir startdir
    "package_$1"
}
holds 'PKGBUILD is bash' bash -n packaging/arch/PKGBUILD
# With its own LIBEXECDIR the programs would have to be built again: that part is only read.
holds 'PKGBUILD: nsgate' bash -euc "$(declare -f arch); top=$top place=$place; arch nsgate"
is 'PKGBUILD: nsgate' 'etc/nsgate.ini usr/bin/nsgate' \
    "$(cd "$place/arch/nsgate" && find . -path ./usr/share -prune -o -type f -printf '%P\n' | sort | paste -sd ' ' -)"
# What makepkg does: capabilities set under fakeroot are in the archive.
holds 'capabilities under fakeroot' fakeroot sh -c "make -s install-uidmap MODE=fcaps DESTDIR=$place/fcaps BUILT=${BUILT-$top/target/package/release} &&
    cd $place/fcaps && tar --xattrs --xattrs-include=security.capability -cf $place/fcaps.tar ."
mkdir "$place/unpacked"
tar -C "$place/unpacked" --xattrs --xattrs-include=security.capability -xf "$place/fcaps.tar"
is 'capabilities in the archive' 'usr/bin/newuidmap cap_setuid=ep' "$(cd "$place/unpacked" && getcap usr/bin/newuidmap)"

echo '-- Alpine'
holds 'APKBUILD is sh' busybox sh -n packaging/alpine/APKBUILD
alpine() {
    # shellcheck source=/dev/null
    . packaging/alpine/APKBUILD
    pkgdir=$place/alpine
    package
}
holds 'APKBUILD: package' sh -euc "top=$top place=$place startdir=$top/packaging/alpine; $(declare -f alpine | sed 's/^function //'); alpine"
is 'APKBUILD: privileges' '4755 bin/newgidmap 4755 bin/newuidmap 4755 libexec/nsgate/lxc-user-nic 4755 libexec/nsgate/lxc-user-nic-nss 4755 libexec/nsgate/newgidmap-nss 4755 libexec/nsgate/newuidmap-nss' \
    "$(cd "$place/alpine/usr" && find . -type f -perm -4000 -printf '%m %P\n' | sort -k 2 | paste -sd ' ' -)"

rm -rf "$place"
results
