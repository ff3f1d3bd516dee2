#!/bin/sh
# Rows that are appended appear behind the others, in what is open already, too: its size grows, reads go on, tail -f shows them.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal.sh
. "${CHROMAFS_LIB%/*}/helpers/wal.sh"

touch none

# held FD CONDITION: the open file is all these rows
held() {
    wal_lines "$DIR" "$2" >lines
    assert_held lines none "$1"
}

check_open_files() {
    exec 3<"$MNT/wal.jsonl" 4<"$(wal_of "$A")" 5<"$(wal_of "$B")"
    cat <&4 >begun
    for first in 1001 1101 1201; do
        add_rows "$DIR" "$A" "$first" $((first + 9))
        add_rows "$DIR" "$B" $((first + 10)) $((first + 19))
        held 3 1
        held 4 "$(of_collection "$A")"
        held 5 "$(of_collection "$B")"
        assert_wals "$DIR" "$A" "$B"
    done
    # A reader that was at the end goes on where it was.
    cat <&4 >>begun
    wal_lines "$DIR" "$(of_collection "$A")" | cmp - begun >&2 || fail 'a reader that was at the end'
    exec 3<&- 4<&- 5<&-
}

# Nothing in a generation's number depends on how long it is.
check_inodes() {
    before=$(stat -L -c %i "$(wal_of "$A")")
    exec 3<"$(wal_of "$A")"
    add_rows "$DIR" "$A" 1301 1301
    assert_eq "$before" "$(stat -L -c %i "$(wal_of "$A")")" 'inode number after an append'
    assert_eq "$(stat -L -c '%s %.9Y' "$(wal_of "$A")")" "$(stat -L -c '%s %.9Y' /proc/self/fd/3)" 'the open file and the new look'
    exec 3<&-
}

has_lines() { [ "$(wc -l <tailed)" -ge "$1" ]; }

check_tail() {
    tail -n 3 -s 0.1 -f "$(wal_of "$B")" >tailed 2>&1 &
    tail_pid=$!
    wait_until has_lines 3
    for first in 1401 1411 1421; do
        add_rows "$DIR" "$B" "$first" "$first"
        add_rows "$DIR" "$A" $((first + 1)) $((first + 2))
        wait_until has_lines $(((first - 1401) / 10 + 4))
        take_rows "$DIR" "$(of_collection "$A") AND seq_id < $first" # another collection's purge is none of its business
    done
    kill "$tail_pid"
    wait "$tail_pid" || :
    wal_lines "$DIR" "$(of_collection "$B")" | tail -n 6 >expected
    assert_same_file expected tailed
}

# A row is never seen in part: a commit of many rows is there at once.
check_large_commit() {
    add_rows "$DIR" "$A" 2001 22000 "'{}'"
    assert_eq "$(sql "$DIR" "SELECT count(*) FROM embeddings_queue")" "$(wc -l <"$MNT/wal.jsonl")" 'lines after a large commit'
    assert_eq "$(sql "$DIR" "SELECT count(*) FROM embeddings_queue WHERE $(of_collection "$A")")" "$(wc -l <"$(wal_of "$A")")" 'of it'
}

mount_fixture chroma-1.5.9
A=$(id_of "$DIR" space_l2) B=$(id_of "$DIR" types)
change "$DIR" 'DELETE FROM embeddings_queue'
assert_wals "$DIR" "$A" "$B"
add_rows "$DIR" "$A" 1 20
add_rows "$DIR" "$B" 21 40
check_open_files
check_inodes
check_tail
check_large_commit
