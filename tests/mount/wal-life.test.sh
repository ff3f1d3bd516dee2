#!/bin/sh
# limit: 240
# The daemon is killed while it measures: the next mount goes on where the cache ends, and is right. Two mounts of one directory share a
# cache, and both are right. -o ro changes nothing.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal.sh
. "${CHROMAFS_LIB%/*}/helpers/wal.sh"

# As many as take a while to measure.
case $(ldd "$CHROMAFS") in
*libtsan*) ROWS=40000 ;;
*) ROWS=200000 ;;
esac
[ "${FULL-}" != 1 ] || ROWS=2000000

# cached: bytes of the cache
cached() { stat -c %s "$(cache_file)" 2>/dev/null || echo 0; }

# wait_cached BYTES: until there are more; it does not sleep, since that is soon
wait_cached() {
    deadline=$(($(date +%s) + WAIT_SECONDS))
    until [ "$(cached)" -gt "$1" ]; do
        [ "$(date +%s)" -lt "$deadline" ] || fail "the cache does not come to $1 bytes"
    done
}

# sums: of the root's and of both collections'
sums() { sha256sum <"$MNT/wal.jsonl" && sha256sum <"$(wal_of "$A")" && sha256sum <"$(wal_of "$B")"; }

# Rows without vectors, whose lines printf makes without much ado; they alternate between the collections by thousands.
many_rows() {
    change "$DIR" "DELETE FROM embeddings_queue; WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < $ROWS)
        INSERT INTO embeddings_queue (seq_id, created_at, operation, topic, id, metadata) SELECT x, '2024-01-01 00:00:00', 0,
        CASE x / 1000 % 2 WHEN 0 THEN '$(topic_of "$A")' ELSE '$(topic_of "$B")' END, 'id-' || x, '{}' FROM n"
    lines_of 1 >all
    for condition in 1 "$(of_collection "$A")" "$(of_collection "$B")"; do
        lines_of "$condition" | sha256sum
    done >expected
}

lines_of() {
    ask "$DIR" "SELECT printf('{\"seq_id\": %d, \"created_at\": \"%s\", \"operation\": %d, \"topic\": \"%s\", \"id\": \"%s\", ' ||
        '\"vector\": null, \"encoding\": null, \"metadata\": \"%s\"}', seq_id, created_at, operation, topic, id, metadata)
        FROM embeddings_queue WHERE $1 ORDER BY seq_id"
}

# From now on it is known how large the cache is when all is measured.
killed_while_measuring() {
    mount_dir "$DIR" "$MNT"
    sums | cmp - expected >&2 || fail 'the first mount'
    unmount
    whole=$(cached)
    hits=0
    for part in 0 30 60 90; do
        rm -rf "$XDG_CACHE_HOME"
        mount_dir "$DIR" "$MNT"
        wait_cached $((whole * part / 100))
        kill_daemon "$MNT"
        [ "$(cached)" -ge "$whole" ] || hits=$((hits + 1))
        mount_dir "$DIR" "$MNT"
        sums | cmp - expected >&2 || fail "killed after $part %"
        unmount
        assert_eq "$whole" "$(cached)" "size of the cache, killed after $part %"
    done
    note "$hits times it was killed before it was done"
    [ "$hits" -gt 0 ] || fail 'it was never killed while it measured: more rows are needed'
}

# What was cached before it was killed is as good as what is measured now, also after the log has moved on.
killed_and_moved_on() {
    rm -rf "$XDG_CACHE_HOME"
    mount_dir "$DIR" "$MNT"
    wait_cached $((whole / 4))
    kill_daemon "$MNT"
    take_rows "$DIR" "$(of_collection "$A") AND seq_id < $((ROWS / 2))"
    add_rows "$DIR" "$B" $((ROWS + 1)) $((ROWS + 10))
    mount_dir "$DIR" "$MNT"
    assert_eq "$(ask "$DIR" 'SELECT count(*) FROM embeddings_queue')" "$(wc -l <"$MNT/wal.jsonl")" 'rows after a kill and a purge'
    { lines_of "seq_id <= $ROWS" && wal_lines "$DIR" "seq_id > $ROWS"; } | cmp - "$MNT/wal.jsonl" >&2 || fail 'killed, and purged'
    unmount
}

# The second one finds the cache taken, and measures for itself.
two_mounts() {
    change "$DIR" 'DELETE FROM embeddings_queue'
    add_rows "$DIR" "$A" 1 500
    mount_dir "$DIR" "$WORK/first"
    mount_dir "$DIR" "$MNT"
    for turn in 1 2 3; do
        add_rows "$DIR" "$B" "${turn}001" "${turn}100"
        take_rows "$DIR" "$(of_collection "$A") AND seq_id < ${turn}00"
        assert_wals "$DIR" "$A" "$B"
        cmp "$MNT/wal.jsonl" "$WORK/first/wal.jsonl" >&2 || fail 'two mounts'
        assert_eq "$(stat -c '%s %.9Y' "$WORK/first/wal.jsonl")" "$(stat -c '%s %.9Y' "$MNT/wal.jsonl")" 'size and time in two mounts'
    done
    unmount "$WORK/first"
    assert_wals "$DIR" "$A" "$B"
    mount_dir "$DIR" "$WORK/first" -o ro
    add_rows "$DIR" "$A" 5001 5010
    assert_wals "$DIR" "$A" "$B"
    cmp "$MNT/wal.jsonl" "$WORK/first/wal.jsonl" >&2 || fail 'two mounts, one of them with -o ro'
    unmount
    cmp "$WORK/.expected" "$WORK/first/by-id/$B/wal.jsonl" >&2 || fail 'the one that is left'
    unmount "$WORK/first"
}

# Nothing of the directory is written to, and it may be read-only: the file is, too.
refusals() {
    mount_dir "$DIR" "$MNT" "$@"
    before=$(fingerprint "$DIR")
    assert_eq "regular file" "$(stat -c %F "$MNT/wal.jsonl")" 'type'
    assert_eq 0 "$((0$(stat -c %a "$MNT/wal.jsonl") & 0333))" 'mode'
    for way in "put $MNT/wal.jsonl x" "rm -f $MNT/wal.jsonl" "mv $MNT/wal.jsonl $MNT/x" "truncate -s 0 $MNT/wal.jsonl" "ln $MNT/wal.jsonl $MNT/x" \
        "chmod 600 $MNT/wal.jsonl" "touch -d yesterday $MNT/wal.jsonl"; do
        # shellcheck disable=SC2086  # a command
        (eval "$way") >/dev/null 2>&1 && fail "$way"
    done
    assert_wals "$DIR" "$A" "$B"
    assert_eq "$before" "$(fingerprint "$DIR")" 'the directory'
    unmount
}

copy_fixture chroma-1.5.9
A=$(id_of "$DIR" space_l2) B=$(id_of "$DIR" types)
many_rows
killed_while_measuring
killed_and_moved_on
two_mounts
refusals
refusals -o ro
