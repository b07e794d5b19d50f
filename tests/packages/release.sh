#!/bin/bash
# release.sh: that the checks of a release find what they are for; that nothing in the environment changes what the set-user-ID
# programs do. As root. BUILT: where the programs are.
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

. tests/packages/environment.sh
# idmap SUFFIX, nic SUFFIX: asked for what is refused, and for what is allowed; the programs, or with -nss their twins.
idmap() {
    NEWUIDMAP="$built/newuidmap$1" NEWGIDMAP="$built/newgidmap$1" tests/clients/run.sh ../packages/environment-idmap 2>&1 | grep -v ^ran:
}
nic() {
    NEWUIDMAP="$built/newuidmap" NEWGIDMAP="$built/newgidmap" LXC_USER_NIC="$built/lxc-user-nic$1" \
        tests/clients/run-nic.sh ../packages/environment-nic 2>/dev/null | grep -v ^ran:
}
for twin in '' -nss; do
    is "newuidmap$twin and newgidmap$twin do not heed the environment" 'newuidmap 0: status 1
newuidmap 600000: status 0
newgidmap 0: status 1
newgidmap 600000: status 0' "$(idmap "$twin")"
    is "lxc-user-nic$twin does not heed the environment" 'lxc-user-nic br1: status 1
lxc-user-nic lxcbr0: status 0' "$(nic "$twin")"
done
# One that would: found by what it opens.
echo '#include <stdio.h>
#include <stdlib.h>
int main(void) { char *place = getenv("NSGATE_ROOT"); return !fopen(place ? place : "/etc/subuid", "r"); }' >"$place/heeds.c"
gcc -o "$place/heeds" "$place/heeds.c"
found=$(NEWUIDMAP=$place/heeds tests/clients/run.sh ../packages/environment-idmap 2>&1 || true)
holds 'a program that heeds the environment is found' grep -F '/nowhere/NSGATE_ROOT' <<<"$found"

# By another way: what cargo says is in them.
for package in newidmap lxc-user-nic nsgate; do
    packaging/sbom $package >"$place/sbom.json"
    is "what is in $package" \
        "$(cargo tree --offline --locked -p $package --edges normal,build --prefix none --target x86_64-unknown-linux-gnu |
            awk '{ sub(/^v/, "", $2); print $1 "@" $2 }' | sort -u)" \
        "$(python3 -c 'import json, sys
for one in json.load(sys.stdin)["components"]:
    if one["purl"].startswith("pkg:cargo/"): print(one["purl"][len("pkg:cargo/"):])' <"$place/sbom.json" | sort -u)"
    libraries='rust-std musl llvm-libunwind'
    [ $package != nsgate ] || libraries=rust-std
    is "$package: what is in it besides" "$libraries" "$(python3 -c 'import json, sys
print(*[one["name"] for one in json.load(sys.stdin)["components"] if one["purl"].startswith("pkg:generic/")])' <"$place/sbom.json")"
    is "$package: licences, and sums of what is not ours" '[] []' "$(python3 -c 'import json, sys
all = json.load(sys.stdin)["components"]
ours = ("newidmap", "lxc-user-nic", "nsgate", "nsgate-common")
print([one["name"] for one in all if "licenses" not in one], [one["name"] for one in all if "hashes" not in one and one["name"] not in ours and one["purl"].startswith("pkg:cargo/")])' \
        <"$place/sbom.json")"
done

version=$(rustc -vV | sed -n 's/^release: //p')
is "the version of Rust's library" "pkg:generic/rust-std@$version" "$(packaging/sbom | grep -o 'pkg:generic/rust-std@[^"]*' | head -n 1)"
# What is linked in has its licence where Debian looks for it, and in the RPM.
holds 'debian/copyright is as packaging/copyright makes it' cmp <(packaging/copyright) packaging/debian/copyright
is 'licence of the RPM' '(MIT OR Apache-2.0) AND MIT AND (Apache-2.0 WITH LLVM-exception)' "$(sed -n 's/^License: *//p' packaging/rpm/nsgate.spec)"

# Somebody to write to.
holds 'the packages say who makes them, all the same' packaging/address --same
mkdir -p "$place/address"
cp -R packaging "$place/address"
sed -i 's/localhost/example.org/; s/example[.]invalid/example.org/' "$place/address/packaging/maintainer"
fails 'an address that the packages do not have' "$place/address/packaging/address" --same
grep -rlE 'nsgate@localhost|example[.]invalid' "$place/address/packaging" | grep -v '/packaging/address$' |
    xargs sed -i 's/nsgate@localhost/nsgate@example.org/; s/example[.]invalid/example.org/'
holds 'an address' "$place/address/packaging/address"
for placeholder in 's/@example[.]org/@localhost/' 's,//example[.]org,//example.invalid,'; do
    cp -R "$place/address" "$place/none"
    grep -rlE 'example[.]org' "$place/none/packaging" | xargs sed -i "$placeholder"
    holds 'a placeholder, everywhere' "$place/none/packaging/address" --same
    fails 'a placeholder: no release' "$place/none/packaging/address"
    rm -r "$place/none"
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
list() { printf '%s\n' "$@" >"$place/empty/packaging/RELEASING.md"; }
release() { "$place/empty/packaging/release" "$@"; }
list '# A release'
fails 'a checklist with nothing in it' release
list '## Every change' '' '- [ ] One. `true`' '' '## Every release' '' '- [ ] Two. `false`' '- [ ] Three. `touch three`'
holds 'the part of every change' release changes
fails 'a step that fails' release
is 'a step that fails is the last' '' "$(find "$place/empty" -name three)"
fails 'a part that there is not' release other
# CI walks through it.
holds "a step of tests/run" grep -qE "^step .* packaging/release changes\$" tests/run

rm -rf "$place"
results
