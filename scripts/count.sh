# Sourced by the scripts that run tests: keeps the count, and says it in one line.
# shellcheck shell=sh
#
# RESULT, where set, is a file that gets the line as well; scripts/sum.sh adds such files up.

passed=0
failed=0

# add_counts FILE: adds the last `N passed, N failed` line of FILE; false if it has none
add_counts() {
    counts=$(sed -n 's/^\([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed$/\1 \2/p' "$1" | tail -n 1)
    [ -n "$counts" ] || return 1
    passed=$((passed + ${counts% *}))
    failed=$((failed + ${counts#* }))
}

# finish: prints the line; its status is that of the script. No test at all, unless TEST chose so, is no success.
finish() {
    if [ $((passed + failed)) -eq 0 ] && [ "${TEST:-*}" = '*' ]; then
        echo 'there is nothing to run' >&2
        failed=1
    fi
    echo "$passed passed, $failed failed"
    [ -z "${RESULT-}" ] || echo "$passed passed, $failed failed" >"$RESULT"
    [ "$failed" -eq 0 ]
}

# start_result: forgets the count of an earlier run
start_result() {
    [ -z "${RESULT-}" ] || { mkdir -p "$(dirname "$RESULT")" && rm -f "$RESULT"; }
}

# absolute PATH
absolute() {
    case $1 in
    /*) echo "$1" ;;
    *) echo "$PWD/$1" ;;
    esac
}
