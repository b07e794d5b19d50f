# For release.sh, which has environment-idmap and environment-nic run with these functions: what a set-user-ID program opens, runs
# and says, with an empty environment and with one in which each word that is in the program, and each of $WORDS, is the name of a
# variable. A program that asks for a variable has its name in it.

# variables PROGRAM: sets "variables". Not these: the loader of a dynamic program does not start it then, if it is set-user-ID.
variables() {
    variables=()
    while read -r word; do variables+=("$word=/nowhere/$word"); done < <(
        { grep -aoE '[A-Za-z_][A-Za-z0-9_]{2,}' "$1"; printf '%s\n' $WORDS; } |
            grep -vxE 'LD_DEBUG|LD_TRACE_LOADED_OBJECTS|LD_VERIFY' | sort -u)
    [ ${#variables[@]} -gt 1000 ] || echo 'few variables'
}

# without_what_differs PROGRAM STATUS: of /run/trace and /run/said, without what differs each time.
without_what_differs() {
    sed -n "\|execve(\"$1\"|,\$p" /run/trace |
        sed -E '1d; s/^[0-9]+ *//; s/0x[0-9a-f]+/ADDRESS/g; s/\[[0-9]+\]/[N]/g; s|/proc/[0-9]+|/proc/PID|g; s/[0-9]+</N</g
            s/^sendto.*sun_path=/log: /; s/(st|stx)_size=[0-9]+//g; /NETLINK|nlmsg/d; s/(veth[0-9]+_)..../\1XXXX/g'
    echo "status $2: $(sed -E 's/(veth[0-9]+_)..../\1XXXX/g; s/:[0-9]+/:N/g' /run/said)"
}

# compared: of /run/without and /run/with.
compared() {
    tail -n 1 /run/without | sed 's/:.*//'
    [ "$(wc -l </run/without)" -gt 5 ] || echo 'nothing was traced'
    diff /run/without /run/with | grep '^[<>]' | head -n "${SHOWN-5}" || true
}

export -f variables without_what_differs compared
WORDS="$(grep -rhoE --include='*.rs' '\b[A-Z][A-Z0-9_]{2,}\b' common/src helpers tests/src tests/tests | sort -u)
$(printf '%s\n' LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT GCONV_PATH LOCPATH NLSPATH TZ TZDIR TMPDIR HOME PATH LANG LC_ALL RES_OPTIONS \
    HOSTALIASES GLIBC_TUNABLES MALLOC_TRACE RUST_BACKTRACE RUST_LIB_BACKTRACE RUST_MIN_STACK RUST_LOG)"
export WORDS
