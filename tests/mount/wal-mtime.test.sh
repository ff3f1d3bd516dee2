#!/bin/sh
# The times of a wal.jsonl: the seconds are the created_at of its newest row, the nanoseconds are made of what it shows. They move when,
# and only when, it does, and are the same in another mount, without the cache, and for a copy of the directory elsewhere.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal.sh
. "${CHROMAFS_LIB%/*}/helpers/wal.sh"

# all_times MNT: of the root's and of every collection's, with the sizes
all_times() { (cd "$1" && find -L wal.jsonl by-id -maxdepth 2 -name wal.jsonl -printf '%p %T@ %s\n' | sort); }

# time_of ID [FORMAT]
time_of() { stat -L -c "${2:-%.9Y}" "$(wal_of "$1")"; }

assert_seconds() { # EXPECTED ID WHAT
    assert_eq "$1" "$(time_of "$2" %Y)" "seconds of $3"
}

# The newest row's created_at, as SQLite reads it.
assert_newest() {
    for id in $(sql "$DIR" 'SELECT id FROM collections'); do
        newest=$(sql "$DIR" "SELECT strftime('%s', created_at) FROM embeddings_queue WHERE $(of_collection "$id") ORDER BY seq_id DESC LIMIT 1")
        assert_seconds "${newest:-0}" "$id" "$id"
    done
    newest=$(sql "$DIR" "SELECT strftime('%s', created_at) FROM embeddings_queue ORDER BY seq_id DESC LIMIT 1")
    assert_eq "$newest" "$(stat -c %Y "$MNT/wal.jsonl")" 'seconds of the root'
}

# moves WHAT COMMAND...: the time of A's moves, that of B's does not
moves() {
    before=$(time_of "$A") other=$(time_of "$B") root=$(stat -c %.9Y "$MNT/wal.jsonl")
    what=$1
    shift
    "$@"
    [ "$before" != "$(time_of "$A")" ] || fail "the time does not move with $what"
    [ "$root" != "$(stat -c %.9Y "$MNT/wal.jsonl")" ] || fail "the time of the root's does not move with $what"
    assert_eq "$other" "$(time_of "$B")" "the time of another collection's after $what"
}

check_moves() {
    moves 'an append' add_rows "$DIR" "$A" 6001 6001
    moves 'an append in the same second' change "$DIR" "INSERT INTO embeddings_queue SELECT 6002, created_at, operation, topic, id, vector,
        encoding, metadata FROM embeddings_queue WHERE seq_id = 6001"
    moves 'a purge' take_rows "$DIR" "$(of_collection "$A") AND seq_id < 6001"
    before=$(all_times "$MNT")
    change "$DIR" "UPDATE collections SET name = 'renamed' WHERE name = 'described'; UPDATE embeddings SET created_at = created_at"
    touch "$DIR/chroma.sqlite3"
    assert_eq "$before" "$(all_times "$MNT")" 'times after a commit that changes no row'
    assert_eq "$(time_of "$A")" "$(time_of "$A" %.9Z)" 'ctime'
}

check_created_at() {
    for created in "'2024-02-29 23:59:59' 1709251199" "'2024-02-29 23:59:59.999' 1709251199" "'1969-12-31 23:59:58' 0" "'2023-02-29 00:00:00' 0" \
        "'yesterday' 0" "'' 0" "5 0" "1e300 0" "x'323032342d30322d32392032333a35393a3539' 0" \
        "'9999-12-31 23:59:59' 253402300799" "CAST(x'323032342d30322d32392032333a35393a353900' AS TEXT) 0"; do
        change "$DIR" "INSERT INTO embeddings_queue (created_at, operation, topic, id) VALUES (${created% *}, 3, '$(topic_of "$A")', 'x')"
        assert_seconds "${created##* }" "$A" "${created% *}"
    done
}

check_empty() {
    take_rows "$DIR" "$(of_collection "$A")"
    assert_eq '0 0' "$(time_of "$A" '%Y %s')" 'time and size of an empty log'
    take_rows "$DIR" 1
    assert_eq '0 0' "$(stat -c '%Y %s' "$MNT/wal.jsonl")" 'time and size of the empty log of the root'
    assert_eq '' "$(cat "$MNT/wal.jsonl")" 'an empty log'
}

check_elsewhere() {
    all_times "$MNT" >first
    unmount
    mount_dir "$DIR" "$MNT"
    all_times "$MNT" | diff first - >&2 || fail 'other times in the next mount'
    unmount
    rm -r "$XDG_CACHE_HOME"
    mount_dir "$DIR" "$MNT"
    all_times "$MNT" | diff first - >&2 || fail 'other times without the cache'
    rm -rf "$WORK/else"
    mkdir -p "$WORK/else/where"
    cp -r "$DIR" "$WORK/else/where/copy"
    mount_dir "$WORK/else/where/copy" "$WORK/mnt2"
    all_times "$WORK/mnt2" | diff first - >&2 || fail 'other times of a copy'
    unmount "$WORK/mnt2"
}

mount_fixture chroma-1.5.9
A=$(id_of "$DIR" space_l2) B=$(id_of "$DIR" types)
assert_newest
check_elsewhere
add_rows "$DIR" "$A" 5001 5009
add_rows "$DIR" "$B" 5010 5019
assert_newest
check_moves
check_elsewhere
check_created_at
check_empty
