# Sourced by the tests of the packages: checks, counted.
# shellcheck shell=sh
passed=0 failed=0

# is WHAT WANTED FOUND: they are the same.
is() {
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s\n  wanted: %s\n  found:  %s\n' "$1" "$2" "$3"
    fi
}

# holds WHAT COMMAND...: it succeeds. What it says is shown only if it does not.
holds() {
    what=$1
    shift
    if said=$("$@" 2>&1); then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s\n  %s\n' "$what" "$(printf '%s\n' "$said" | tail -n 20)"
    fi
}

# fails WHAT COMMAND...: it does not succeed.
fails() {
    what=$1
    shift
    if said=$("$@" 2>&1); then
        failed=$((failed + 1))
        printf 'FAILED: %s: it went through\n' "$what"
    else
        passed=$((passed + 1))
    fi
}

# The counts, as cargo test tells them: tests/run adds them up.
results() {
    echo "test result: $passed passed; $failed failed"
    [ "$failed" = 0 ] && [ "$passed" != 0 ]
}
