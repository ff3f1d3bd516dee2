#!/bin/sh
# A wal.jsonl is the same whichever way it is read: at random places, by threads and descriptors at once, with every system call that
# reads. A shared mapping is refused, since the kernel keeps no page of it.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal.sh
. "${CHROMAFS_LIB%/*}/helpers/wal.sh"

READS=10000
[ "${FULL-}" != 1 ] || READS=200000

# check FILE CONDITION
check() {
    assert_wal "$1" "$DIR" "$2"
    helper wal_reads "$1" "$WORK/.expected" "$READS" >&2 || fail "$1: other bytes at random places"
    helper wal_ways "$1" "$WORK/.expected" >&2 || fail "$1: another way to read it"
}

# Rows of one collection between those of another, short and long ones, and one that is made in pieces.
fill() {
    change "$DIR" 'DELETE FROM embeddings_queue'
    for first in 1 2001 4001; do
        add_rows "$DIR" "$A" "$first" $((first + 999))
        add_rows "$DIR" "$B" $((first + 1000)) $((first + 1999)) "printf('%.*c', x % 500, 'm')"
    done
    add_rows "$DIR" "$A" 6001 6010 "printf('%.*c', 30000, 'l')"
    add_rows "$DIR" "$B" 6012 6012 "printf('%.*c', 1000000, 'h')"
    add_rows "$DIR" "$A" 6013 6020
}

mount_fixture chroma-1.5.9
A=$(id_of "$DIR" space_l2) B=$(id_of "$DIR" types)
fill
check "$MNT/wal.jsonl" 1
check "$(wal_of "$A")" "$(of_collection "$A")"
check "$(wal_of "$B")" "$(of_collection "$B")"
