#!/bin/sh
# usage: scripts/check-docs.sh
# Checks what the documents promise: relative links lead somewhere, every option that --help shows is in the manual page,
# and the examples (tests/docs/run.sh, where present) give what they say. The manual pages were built before, by make.
set -eu
cd "$(dirname "$0")/.."
. scripts/count.sh

CHROMAFS=$(absolute "${CHROMAFS:-build/chromafs}")
CHROMAFS_FIXTURES=$(absolute "${CHROMAFS_FIXTURES:-build/fixtures}")
export CHROMAFS CHROMAFS_FIXTURES

# check STATUS SENTENCE
check() {
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
    else
        echo "  FAIL    $2"
        failed=$((failed + 1))
    fi
}

documents() {
    find . \( -name '.?*' -o -name 'build*' \) -prune -o -name '*.md' -print
}

# links FILE: the relative targets of its links, one a line
links() {
    # shellcheck disable=SC2016  # a literal backquote
    sed 's/`[^`]*`//g' "$1" | grep -o '](\([^)]*\))' | sed 's/^](//; s/)$//; s/[#?].*//; s/ .*//' | grep -v -e '://' -e '^mailto:' -e '^$' || :
}

check_links() {
    # shellcheck disable=SC2016  # a literal backquote
    missing=$(links "$1" | while read -r target; do
        [ -e "$(dirname "$1")/$target" ] || printf '%s ' "$target"
    done)
    check "${#missing}" "$1 links to what is not there: $missing"
}

check_option() {
    status=0
    sed 's/\\//g' man/chromafs.1.scd | grep -qF -e "$1" || status=1
    check "$status" "chromafs --help shows $1, the manual page does not"
}

check_options() {
    status=0
    help=$("$CHROMAFS" --help 2>&1) || status=$?
    check "$status" "chromafs --help fails with status $status"
    for option in $(echo "$help" | sed -n 's/^ *\(-o [a-z_]*\|--*[a-z_-]*\).*/\1/p' | sed 's/^-o //' | sort -u); do
        check_option "$option"
    done
}

start_result
for document in $(documents); do
    check_links "$document"
done
if [ -f man/chromafs.1.scd ]; then
    check_options
fi
if [ -x tests/docs/run.sh ]; then
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    status=0
    (unset RESULT; tests/docs/run.sh) >"$log" 2>&1 || status=$?
    cat "$log"
    add_counts "$log" || check 1 'tests/docs/run.sh ended without a count'
    [ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || check 1 "tests/docs/run.sh: exit status $status"
fi
finish
