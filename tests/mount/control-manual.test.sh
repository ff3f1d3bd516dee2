#!/bin/sh
# The manual page says of each control what the control says of itself: its options, what each means, and what force=1 does.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

# The page as one line, without the signs of its markup.
tr -d '\\*_' <"${CHROMAFS_LIB%/*}/../../man/chromafs.5.scd" | tr -s ' \t\n' ' ' >page

# in_page TEXT CONTROL
in_page() {
    printf '%s\n' "$1" | tr -d '\\*_' | tr -s ' \t\n' ' ' | sed 's/ $//' >sentence
    grep -qF -f sentence page || fail "chromafs(5) does not have what $2 says: $1"
}

# check_control CONTROL [FOLDER HEADING]: of a control that is not at the top
check_control() {
    cat "$MNT/${2-}$1" >usage
    head -n 1 usage | grep -q "^# $1: [A-Z]" || fail "$1 does not say what it does"
    in_page "## ${3-}$1" "$1"
    sed -n 's/^#   \([a-z_]*=\)[^ ]*$/\1/p' usage >options
    [ -s options ] || fail "$1 has no options"
    while read -r option; do in_page "$option" "$1"; done <options
    sed -n 's/^#       \(.*\)\.$/\1/p' usage >help
    assert_eq "$(wc -l <options)" "$(wc -l <help)" "sentences of $1"
    while read -r sentence; do in_page "$sentence" "$1"; done <help
    grep '^# With force=1' usage >forced || fail "$1 does not say what force=1 does"
    in_page "$(sed 's/^# //' forced)" "$1"
}

mount_fixture chroma-1.5.9
for control in backup commit clean rebuild-fts clean-orphans; do check_control "$control"; done
check_control rebuild-hnsw collections/types/ 'collections/<entry>/'
unmount
