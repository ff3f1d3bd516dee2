#!/bin/sh
# The wal.jsonl of the root and of every collection of every fixture is, byte for byte, what Python makes of the table:
# tests/fixtures/wal.sha256, made by tests/chroma/wal_truth.py.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal.sh
. "${CHROMAFS_LIB%/*}/helpers/wal.sh"

SUMS=${CHROMAFS_LIB%/mount/*}/fixtures/wal.sha256

# Exactly the files in the list: the root's, and one a collection.
check_names() {
    sed -n "s|^[0-9a-f]*  $1/||p" "$SUMS" | sort >expected
    [ -s expected ] || fail "$SUMS has nothing of $1: make it again"
    (cd "$MNT" && find -L wal.jsonl by-id -maxdepth 2 -name wal.jsonl | sort) >found
    diff expected found >&2 || fail "$1: other files than expected"
}

# check_sizes: stat, wc -c and what info.json says are one number
check_sizes() {
    while read -r path; do
        assert_eq "$(wc -c <"$MNT/$path")" "$(stat -c %s "$MNT/$path")" "$1: size of $path"
    done <expected
    assert_eq "$(stat -c %s "$MNT/wal.jsonl")" "$(json "$MNT/info.json" .wal.size)" "$1: size in info.json"
    assert_eq "$(wc -l <"$MNT/wal.jsonl")" "$(json "$MNT/info.json" .wal.entries)" "$1: entries in info.json"
}

check() {
    check_names "$1"
    sed -n "s|  $1/|  |p" "$SUMS" >sums
    (cd "$MNT" && sha256sum --quiet -c "$WORK/sums") >&2 || fail "$1: other bytes than Python's"
    check_sizes "$1"
    jq -e -s 'length > 0' "$MNT/wal.jsonl" >/dev/null || fail "$1: not JSON"
}

for_each_fixture check
