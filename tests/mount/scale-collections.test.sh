#!/bin/sh
# limit: 600
# Ten thousand collections: everything is there, nothing waits for ten thousand scans, and memory does not grow with what was looked at.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

COUNT=10000

now_ms() { date +%s%3N; }

# timed WHAT COMMAND...: tells how long it took
timed() {
    what=$1
    shift
    start=$(now_ms)
    "$@"
    note "$what: $(($(now_ms) - start)) ms; daemon $(rss_kib) KiB"
}

copy_fixture chroma-1.5.9
fixture=$(sql_value 'SELECT count(*) FROM collections')
sql "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < $COUNT)
    INSERT INTO collections (id, name, dimension, database_id) SELECT printf('00000000-0000-4000-8000-%012d', x), 'many-' || x, 3,
        (SELECT id FROM databases WHERE name = 'default_database' LIMIT 1) FROM n;
    INSERT INTO segments (id, type, scope, collection) SELECT printf('00000000-0000-4000-9000-%s', substr(id, 25)),
        'urn:chroma:segment/vector/hnsw-local-persisted', 'VECTOR', id FROM collections WHERE name LIKE 'many-%';
    INSERT INTO segments (id, type, scope, collection) SELECT printf('00000000-0000-4000-a000-%s', substr(id, 25)),
        'urn:chroma:segment/metadata/sqlite', 'METADATA', id FROM collections WHERE name LIKE 'many-%';
    INSERT INTO max_seq_id (segment_id, seq_id) SELECT id, 5 FROM segments WHERE id LIKE '00000000-0000-4000-a000-%';
    INSERT INTO embeddings_queue (operation, topic, id, metadata) SELECT 0, 'persistent://default/default/' || id, 'x', '{}'
        FROM collections WHERE name LIKE 'many-%';"

start=$(now_ms)
mount_dir "$DIR" "$MNT"
note "mounted: $(($(now_ms) - start)) ms"

count_entries() { find "$MNT/$1" -mindepth 1 -maxdepth 1 | wc -l >counted; }
timed 'ls collections' count_entries collections
assert_eq $((COUNT + fixture)) "$(cat counted)" 'entries in collections'
timed 'ls by-id' count_entries by-id
assert_eq $((COUNT + fixture)) "$(cat counted)" 'entries in by-id'
timed 'ls segments' count_entries segments
assert_eq $((2 * (COUNT + fixture))) "$(cat counted)" 'entries in segments'

copy_of() { cat "$MNT/$1" >shown; }
timed 'cat info.json' copy_of info.json
assert_eq $((COUNT + fixture)) "$(json shown .collections)" 'collections in info.json'
is_exact() { jq -e .exact "$MNT/info.json"; }
wait_until is_exact
cat "$MNT/info.json" >shown
assert_eq "$(sql_value 'SELECT count(*) FROM embeddings_queue')" "$(json shown .wal_entries)" 'WAL rows'
timed 'one in the middle' copy_of collections/many-5000/info.json
is_counted() { jq -e .exact "$MNT/collections/many-5000/info.json"; }
wait_until is_counted
assert_eq 1 "$(json "$MNT/collections/many-5000/info.json" .wal_entries)" 'WAL rows of many-5000'
assert_eq many-10000 "$(json "$MNT/by-id/00000000-0000-4000-8000-000000010000/info.json" .name)"
assert_eq 1 "$(cat "$MNT/segments/00000000-0000-4000-a000-000000000007/wal_gap")" wal_gap

list() { ls -l "$MNT/$1" >/dev/null; }
timed 'ls -l by-id' list by-id
timed 'ls -l collections' list collections
timed 'ls -l segments' list segments

# All files of every hundredth collection, and again, for the memory. (All of them would take minutes.)
look() { ls -lR "$MNT/segments/"*99 "$MNT/collections/"*99 >/dev/null; }
timed 'ls -lR of a hundredth' look
first=$(rss_kib)
timed 'once more' look
timed 'and once more' look
second=$(rss_kib)
assert_growth 16384 "$first" "$second"
unmount
