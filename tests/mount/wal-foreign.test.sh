#!/bin/sh
# limit: 240
# What Chroma never does to its log: rows that are edited, taken from the middle or the end, that come back; a database that is
# restored from a backup. What is opened afterwards is right; what was open is never wrong.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal.sh
. "${CHROMAFS_LIB%/*}/helpers/wal.sh"

# begin: rows of A and B in turn, all looked at; fd 4 is A's, old the lines of it
begin() {
    note "$1"
    change "$DIR" 'DELETE FROM embeddings_queue'
    assert_wals "$DIR" "$A" "$B" # so that nothing of before comes back
    for first in 101 121 141 161; do
        add_rows "$DIR" "$A" "$first" $((first + 9))
        add_rows "$DIR" "$B" $((first + 10)) $((first + 19))
    done
    assert_wals "$DIR" "$A" "$B"
    exec 4<"$(wal_of "$A")"
    wal_lines "$DIR" "$(of_collection "$A")" >old
}

# never_wrong: whatever can be read of what is open is what it was; the rest is ESTALE. read_open gives what can be read.
never_wrong() {
    : >got
    offset=0
    while read -r line <&9; do
        length=$((${#line} + 1))
        if helper wal_pread "$offset" "$length" <&4 >part 2>err 9<&-; then
            printf '%s\n' "$line" | cmp - part >&2 || fail "other bytes at $offset of what was open"
            cat part >>got
        else
            assert_contains err "$(errno_text ESTALE)"
        fi
        offset=$((offset + length))
    done 9<old
}

# found_out: nothing tells of a row that was edited or taken away but the row itself: the first who reads it is told, and then all is
# measured again
found_out() {
    assert_errno ESTALE cat "$MNT/wal.jsonl"
}

# end CONDITION: of the file that was open, exactly the rows for which it is true can still be read
end() {
    assert_wals "$DIR" "$A" "$B"
    never_wrong
    wal_lines "$DIR" "$(of_collection "$A") AND ($1)" >expected
    assert_same_file expected got
    exec 4<&-
}

edited() {
    begin 'a row in the middle is edited'
    change "$DIR" "UPDATE embeddings_queue SET metadata = '{\"other\": 1}' WHERE seq_id = 145"
    found_out
    assert_wals "$DIR" "$A" "$B"
    # Nobody follows this one any more: it does not say that nothing more comes.
    assert_errno ESTALE helper wal_pread "$(wc -c <old)" 10 <&4
    end 'seq_id <> 145'
    begin 'of the same length'
    change "$DIR" "UPDATE embeddings_queue SET id = 'ID-145' WHERE seq_id = 145"
    found_out
    end 'seq_id <> 145'
    begin 'the first and the last ones'
    change "$DIR" "UPDATE embeddings_queue SET id = 'ID-' || seq_id WHERE seq_id IN (101, 170, 180)"
    end 'seq_id NOT IN (101, 170)'
}

moved() {
    begin 'a row goes to another collection'
    change "$DIR" "UPDATE embeddings_queue SET topic = '$(topic_of "$B")' WHERE seq_id = 170"
    end 'seq_id <> 170'
    begin 'seq_ids move'
    change "$DIR" 'UPDATE embeddings_queue SET seq_id = -seq_id WHERE seq_id > 160; UPDATE embeddings_queue SET seq_id = 5 - seq_id WHERE seq_id < 0'
    end 'seq_id < 161'
}

taken() {
    begin 'from the middle'
    take_rows "$DIR" 'seq_id IN (145, 155)'
    found_out
    end 1
    begin 'at the end'
    take_rows "$DIR" 'seq_id > 165'
    end 1
    begin 'at the end, and new ones take their numbers'
    change "$DIR" "BEGIN; DELETE FROM embeddings_queue WHERE seq_id > 165; $(add_rows_sql "$A" 166 169 "'{}'") COMMIT"
    end 'seq_id < 166 OR operation = 3' # which has the same columns as before
    begin 'all but one in the middle'
    take_rows "$DIR" 'seq_id <> 145'
    end 1
}

come_back() {
    begin 'purged rows come back'
    take_rows "$DIR" "$(of_collection "$B") AND seq_id < 165"
    assert_wals "$DIR" "$A" "$B"
    add_rows "$DIR" "$B" 151 160
    end 1
    begin 'rows before the first one'
    add_rows "$DIR" "$A" 90 95
    end 'seq_id > 100'
}

# restored HOW: a backup of before a purge takes the place of the database
restored() {
    begin "restored by $1"
    cp "$DIR/chroma.sqlite3" backup
    take_rows "$DIR" "seq_id < 150"
    assert_wals "$DIR" "$A" "$B"
    cp backup restored
    "$1" restored "$DIR/chroma.sqlite3"
    end 1
    begin "restored by $1, after new rows"
    cp "$DIR/chroma.sqlite3" backup
    add_rows "$DIR" "$A" 181 190
    assert_wals "$DIR" "$A" "$B"
    cp backup restored
    "$1" restored "$DIR/chroma.sqlite3"
    end 1
    begin "restored by $1, and other rows took the numbers"
    cp "$DIR/chroma.sqlite3" backup
    add_rows "$DIR" "$A" 181 190
    assert_wals "$DIR" "$A" "$B"
    cp backup restored
    "$1" restored "$DIR/chroma.sqlite3"
    add_rows "$DIR" "$A" 181 190 "'{}'"
    end 'seq_id < 181'
    begin "only B was purged, restored by $1"
    cp "$DIR/chroma.sqlite3" backup
    take_rows "$DIR" "$(of_collection "$B") AND seq_id < 175"
    assert_wals "$DIR" "$A" "$B"
    cp backup restored
    "$1" restored "$DIR/chroma.sqlite3"
    end 1
}

# The same while it is not mounted: the cache remembers what is not so any more.
not_mounted() {
    note 'restored while it was not mounted'
    begin 'not mounted'
    cp "$DIR/chroma.sqlite3" backup
    take_rows "$DIR" "$(of_collection "$B") AND seq_id < 175"
    assert_wals "$DIR" "$A" "$B"
    exec 4<&-
    unmount
    cp backup "$DIR/chroma.sqlite3"
    mount_dir "$DIR" "$MNT"
    assert_wals "$DIR" "$A" "$B"
}

mount_fixture chroma-1.5.9
A=$(id_of "$DIR" space_l2) B=$(id_of "$DIR" types)
if [ $# -gt 0 ]; then set -- "$@"; else set -- edited moved taken come_back 'restored cp' 'restored mv' not_mounted; fi
for part; do
    $part
done
