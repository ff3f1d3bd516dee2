#!/bin/sh
# limit: 240
# check.json of an index says everything that is wrong with it, by kind, and nothing of an index that Chroma wrote; it is made when it is
# opened and not when it is looked at; what it found is among the problems afterwards, and gone when the damage is.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

# found: the kinds in check.json
found() {
    jq -r '[.findings[].kind] | join(" ")' "$checked"
}

# restore: as Chroma left it
restore() {
    cp -p kept/* "$index/"
    assert_eq '' "$(found)" 'findings of the restored index'
}

# damaged KINDS COMMAND...: what the command did to the index is told, and its file is named
damaged() {
    damaged_kinds=$1
    shift
    "$@"
    touch -d '1 minute ago' "$index"/* "$index"
    assert_eq "$damaged_kinds" "$(found)" "$*"
    jq -e '.ok == false and all(.findings[]; .count > 0 and (.sentence | length > 10))' "$checked" >/dev/null || fail "$*: $(cat "$checked")"
    restore
}

# findings: one damage of each kind, by name or in place
findings() {
    damaged file rm "$index/length.bin"
    damaged header poke "$index/header.bin" 0 2
    damaged size truncate -s -1 "$index/link_lists.bin"
    damaged list poke "$index/data_level0.bin" 3 1
    damaged link_range poke "$index/data_level0.bin" 4 376 377 377 377
    damaged link_self poke "$index/data_level0.bin" 4 0 0 0 0
    damaged 'label_range label_orphan label_missing' poke "$index/data_level0.bin" $((label_offset + 7)) 1
    damaged label_missing poke "$index/data_level0.bin" $((live * record + 2)) 1
    damaged label_orphan poke "$index/data_level0.bin" $((dead * record + 2)) 0
    damaged pickle truncate -s -10 "$index/index_metadata.pickle"
    damaged vector poke "$index/data_level0.bin" $((live * record + label_offset - 4)) 0 0 300 177
}

# first_marked MARK: the internal id of the first element that has the mark
first_marked() {
    at=0
    while [ "$(od -An -t u1 -j $((at * record + 2)) -N 1 "$index/data_level0.bin" | tr -d ' ')" != "$1" ]; do
        at=$((at + 1))
    done
    echo "$at"
}

u64() {
    od -An -t u8 --endian=little -j "$2" -N 8 "$1" | tr -d ' '
}

# well: an index of a fixture has nothing to find
well() {
    for check in "$MNT"/segments/*/check.json; do
        jq -e '.ok and .complete and .findings == []' "$check" >/dev/null || fail "$1: $check: $(cat "$check")"
    done
}

# tells CODE: whether the root's info.json does
tells() {
    problems "$MNT/info.json" | grep -qw -e "$1"
}

# told_as_problem: not before somebody has read it, and then with an mtime that moves
told_as_problem() {
    info=$MNT/collections/fragmented/info.json
    poke "$index/data_level0.bin" $((live * record + label_offset - 4)) 0 0 300 177
    touch -d '1 minute ago' "$index"/*
    before=$(stat -c %Y "$MNT/info.json" "$info")
    assert_fails tells bad_vectors
    sleep 1.1
    assert_eq vector "$(found)" 'findings'
    assert_problem "$MNT/info.json" bad_vectors '1 vectors'
    assert_problem "$info" bad_vectors '1 vectors'
    sleep 1.1
    [ "$(stat -c %Y "$MNT/info.json" "$info")" != "$before" ] || fail 'the problems moved, and the times did not'
    restore
    assert_fails tells bad_vectors
}

for_each_fixture well
copy_fixture chroma-1.5.9
index=$DIR/$(vector_segment fragmented)
cp -a "$index" kept
record=$(u64 "$index/header.bin" 28)
label_offset=$(u64 "$index/header.bin" 36)
live=$(first_marked 0)
dead=$(first_marked 1)
touch -d '1 minute ago' "$index"
mount_dir "$DIR" "$MNT"
checked=$MNT/segments/${index##*/}/check.json
assert_eq 8192 "$(stat -c %s "$checked")" 'size'
assert_eq 8192 "$(wc -c <"$checked")" 'bytes'
assert_eq '["ok","elements","live","deleted","complete","findings"]' "$(jq -c keys_unsorted "$checked")" 'members'
findings
told_as_problem
# a private mount tells the same: there is nothing of a person in it
unmount
poke "$index/data_level0.bin" 4 0 0 0 0
touch -d '1 minute ago' "$index"/* "$index"
mount_dir "$DIR" "$MNT" -o privacy
jq -e '[.findings[] | {kind, count, element}] == [{kind: "link_self", count: 1, element: 0}]' "$checked" >/dev/null ||
    fail "$(cat "$checked")"
unmount
