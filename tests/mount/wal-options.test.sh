#!/bin/sh
# -o skip= leaves the rows of those collections out of the root's wal.jsonl and of the counts, follows renames, and hides nothing of
# others; -o privacy has no wal.jsonl. info.json says how far the log is measured and what it comes to.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal.sh
. "${CHROMAFS_LIB%/*}/helpers/wal.sh"

# shows CONDITION: the root's has these rows, and so do the counts
shows() {
    assert_wal "$MNT/wal.jsonl" "$DIR" "$1"
    assert_eq "$(jq -n -c --argjson entries "$(ask "$DIR" "SELECT count(*) FROM embeddings_queue WHERE $1")" \
        --argjson size "$(wal_lines "$DIR" "$1" | wc -c)" '{measured: 1, entries: $entries, size: $size}')" \
        "$(jq -c .wal "$MNT/info.json")" "the log in info.json, where $1"
    assert_eq "$(jq .wal.entries "$MNT/info.json")" "$(jq .wal_entries "$MNT/info.json")" 'wal_entries'
}

rename() { change "$DIR" "UPDATE collections SET name = '$2' WHERE name = '$1'"; }

check_skip() {
    mount_dir "$DIR" "$MNT" -o skip=types
    shows "NOT $(of_collection "$B")"
    assert_errno ENOENT stat "$(wal_of "$B")"
    assert_wal "$(wal_of "$A")" "$DIR" "$(of_collection "$A")"
    add_rows "$DIR" "$B" 5001 5010
    shows "NOT $(of_collection "$B")"
    add_rows "$DIR" "$A" 5011 5020
    shows "NOT $(of_collection "$B")"
    note 'renamed, and back'
    exec 5<"$MNT/wal.jsonl"
    wal_lines "$DIR" "NOT $(of_collection "$B")" >without
    rename types other
    shows 1
    assert_wal "$(wal_of "$B")" "$DIR" "$(of_collection "$B")"
    cat <&5 >got 2>err || assert_contains err "$(errno_text ESTALE)"
    head -c "$(wc -c <got)" without | cmp - got >&2 || fail 'what was open shows other bytes'
    exec 5<&-
    rename space_l2 types
    shows "NOT $(of_collection "$A")"
    rename types space_l2
    rename other types
    shows "NOT $(of_collection "$B")"
    take_rows "$DIR" "$(of_collection "$B")"
    shows 1
    unmount
}

check_skip_all() {
    mount_dir "$DIR" "$MNT" -o "skip=$(ask "$DIR" 'SELECT DISTINCT name FROM collections' | paste -sd :)"
    shows "substr(topic, -36) NOT IN (SELECT id FROM collections)"
    unmount
}

# The cache that one mount made serves the other: what is left out is no matter of the cache.
check_same_cache() {
    mount_dir "$DIR" "$MNT"
    shows 1
    unmount
    mount_dir "$DIR" "$MNT" -o skip=space_l2
    shows "NOT $(of_collection "$A")"
    unmount
    mount_dir "$DIR" "$MNT"
    shows 1
    unmount
}

check_privacy() {
    mount_dir "$DIR" "$MNT" -o privacy
    assert_eq '' "$(find -L "$MNT" -name 'wal.jsonl')" 'wal.jsonl with -o privacy'
    assert_errno ENOENT stat "$MNT/wal.jsonl"
    assert_errno ENOENT cat "$MNT"/collections/c1/wal.jsonl
    assert_eq "$(ask "$DIR" 'SELECT count(*) FROM embeddings_queue')" "$(jq .wal.entries "$MNT/info.json")" 'entries with -o privacy'
    unmount
}

copy_fixture chroma-1.5.9
A=$(id_of "$DIR" space_l2) B=$(id_of "$DIR" types)
change "$DIR" "DELETE FROM embeddings_queue"
add_rows "$DIR" 00000000-0000-4000-8000-000000000000 3001 3005
add_rows "$DIR" "$A" 4001 4020
add_rows "$DIR" "$B" 4021 4040
add_rows "$DIR" "$A" 4041 4060
check_same_cache
check_privacy
check_skip
check_skip_all
