#!/bin/sh
# release.sh: that the checks of a release find what they are for. BUILT: where the programs are.
# N06: packaging/hardening looks at how the programs are linked.
# shellcheck disable=SC2016 # a pattern
set -eu
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
cd "$top"
. tests/packages/checks.sh
built=${BUILT-$top/target/package/release}
place=$top/target/packages/release
rm -rf "$place"
mkdir -p "$place"

holds 'the programs' packaging/hardening ${BUILT:+"$BUILT"}
for program in newuidmap newgidmap lxc-user-nic newuidmap-nss newgidmap-nss lxc-user-nic-nss getsubids nsgate; do
    ln -s "$built/$program" "$place/$program"
done
echo '#include <stdlib.h>
int main(void) { return getenv("NSGATE_ROOT") || getenv("LD_PRELOAD"); }' >"$place/bad.c"
rm "$place/newuidmap"
gcc -o "$place/newuidmap" "$place/bad.c" -no-pie -z norelro -z lazy -z execstack -Wl,-rpath,/tmp,--no-as-needed -lm
fails 'a program that is as it should not be' packaging/hardening "$place"
said=$(packaging/hardening "$place" 2>&1 || true)
for complaint in 'is not position-independent' 'has no RELRO' 'binds its symbols late, so RELRO is not full' \
    'has an executable stack' 'has a library path' 'needs libm.so.6 libc.so.6' 'is not static' 'is not stripped' \
    'has LD_PRELOAD NSGATE_ROOT in it'; do
    is "it is told: $complaint" "newuidmap: $complaint" "$(echo "$said" | tr '\n' '~' | sed 's/LD_PRELOAD~NSGATE/LD_PRELOAD NSGATE/' | tr '~' '\n' | grep -F "$complaint" || true)"
done

# By another way: what cargo says is in them.
for package in newidmap lxc-user-nic nsgate; do
    packaging/sbom $package >"$place/sbom.json"
    is "what is in $package" \
        "$(cargo tree --offline --locked -p $package --edges normal,build --prefix none --target x86_64-unknown-linux-gnu |
            awk '{ sub(/^v/, "", $2); print $1 "@" $2 }' | sort -u)" \
        "$(python3 -c 'import json, sys
for one in json.load(sys.stdin)["components"]: print(one["purl"][len("pkg:cargo/"):])' <"$place/sbom.json" | sort -u)"
    is "$package: licences, and sums of what is not ours" '[] []' "$(python3 -c 'import json, sys
all = json.load(sys.stdin)["components"]
ours = ("newidmap", "lxc-user-nic", "nsgate", "nsgate-common")
print([one["name"] for one in all if "licenses" not in one], [one["name"] for one in all if "hashes" not in one and one["name"] not in ours])' \
        <"$place/sbom.json")"
done

# The same version everywhere.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
is 'version of the .deb' "$version" "$(sed -n '1s/.*(\(.*\)-.*/\1/p' packaging/debian/changelog)"
is 'version of the RPM' "$version" "$(sed -n 's/^Version: *//p' packaging/rpm/nsgate.spec)"
is 'version of PKGBUILD' "$version" "$(sed -n 's/^pkgver=//p' packaging/arch/PKGBUILD)"
is 'version of APKBUILD' "$version" "$(sed -n 's/^pkgver=//p' packaging/alpine/APKBUILD)"

# Everything that is a shell script.
scripts=$(grep -d skip -lE '^#!/bin/(ba)?sh' packaging/* packaging/debian/* packaging/debian/source/* tests/packages/* 2>/dev/null)
# shellcheck disable=SC2086 # words
holds shellcheck shellcheck -x $scripts packaging/arch/PKGBUILD packaging/alpine/APKBUILD
# The checklist names what exists.
grep -o '`[a-z]*/[^`]*`$' packaging/RELEASING.md | tr -d '`' >"$place/commands"
while read -r command; do holds "the checklist's $command" test -x "$command"; done <"$place/commands"

mkdir -p "$place/empty/packaging"
cp packaging/release "$place/empty/packaging"
echo '# A release' >"$place/empty/packaging/RELEASING.md"
fails 'a checklist with nothing in it' "$place/empty/packaging/release"

rm -rf "$place"
results
