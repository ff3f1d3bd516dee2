#!/bin/sh
# limit: 300
# Tables and columns that are missing, views in their place, triggers, and migrations of a Chroma to come: the mount says so in
# info.json, and what does not need them works.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

# with_schema VERSION STATEMENTS: mounts a copy of a directory whose schema they have changed
with_schema() {
    rm -rf "$WORK/chroma-$1"
    copy_fixture "chroma-$1"
    sql "$2"
    mount_dir "$DIR" "$MNT"
}

# lacks VERSION STATEMENTS TEXT UNREADABLE: with what they take away, info.json says database_damaged and TEXT, and only what matches
# UNREADABLE can't be read
lacks() {
    with_schema "$1" "$2"
    assert_readable_but "$4"
    assert_problem "$MNT/info.json" database_damaged "$3"
    note "$1: $2: $(problems "$MNT/info.json"); unreadable: $(wc -l <"$WORK/.found")"
    unmount
}

# gone VERSION STATEMENTS: without this there is no catalog: what needs the database fails, the rest works, nothing else
gone() {
    rm -rf "$WORK/chroma-$1"
    copy_fixture "chroma-$1"
    mount_dir "$DIR" "$MNT"
    sql "$2"
    assert_problem "$MNT/info.json" database_unreadable
    assert_errno EILSEQ timeout 60 ls "$MNT/collections"
    assert_readable_but "$(errno_text EILSEQ)"
    unmount
}

# unknown_without TABLE: what can't be shown then
unknown_without() {
    case $1 in
    embeddings_queue) echo "/(wal_gap|wal[.]jsonl): $(errno_text EILSEQ)" ;;
    collection_metadata) echo "/collections/.*: $(errno_text EILSEQ)" ;;
    esac
}

tables() {
    for table in embeddings embedding_metadata max_seq_id embeddings_queue embeddings_queue_config collection_metadata \
        segment_metadata tenants databases; do
        lacks 1.5.9 "DROP TABLE $table" "$table" "$(unknown_without "$table")"
        lacks 0.5.23 "DROP TABLE $table" "$table" "$(unknown_without "$table")"
    done
    lacks 1.5.9 'DROP TABLE embedding_metadata_array' embedding_metadata_array ''
    for table in collections segments migrations; do
        gone 1.5.9 "DROP TABLE $table"
    done
}

columns() {
    lacks 1.5.9 'ALTER TABLE collections DROP COLUMN dimension' collections.dimension ''
    lacks 1.5.9 'ALTER TABLE collections DROP COLUMN config_json_str' collections.config_json_str ''
    lacks 1.5.9 'ALTER TABLE collections DROP COLUMN schema_str' collections.schema_str ''
    lacks 1.5.9 'ALTER TABLE collection_metadata DROP COLUMN bool_value' collection_metadata.bool_value ''
    lacks 1.5.9 'ALTER TABLE embedding_metadata DROP COLUMN bool_value' embedding_metadata.bool_value ''
    gone 1.5.9 'ALTER TABLE collections RENAME COLUMN name TO title'
    gone 1.5.9 'ALTER TABLE segments RENAME COLUMN scope TO range'
    gone 1.5.9 'ALTER TABLE migrations RENAME COLUMN version TO number'
}

# Columns that the measuring alone needs: the numbers are unknown, and the collection says why.
measured_columns() {
    with_schema 1.5.9 'ALTER TABLE embeddings_queue RENAME COLUMN topic TO subject'
    assert_readable_but "$(unknown_without embeddings_queue)"
    assert_problem "$MNT/collections/docs/info.json" unreadable
    assert_eq null "$(json "$MNT/collections/docs/info.json" .wal_entries)" wal_entries
    unmount
    with_schema 1.5.9 'ALTER TABLE embeddings RENAME COLUMN embedding_id TO name'
    assert_readable_but ''
    assert_problem "$MNT/collections/docs/info.json" unreadable
    assert_eq null "$(json "$MNT/collections/docs/info.json" .records)" records
    unmount
}

full_text() {
    for shadow in '' _data _idx _content _docsize _config; do
        table=embedding_fulltext_search$shadow
        lacks 1.5.9 "PRAGMA writable_schema=ON; DELETE FROM sqlite_schema WHERE name = '$table'" embedding_fulltext_search \
            "fts_tokenizer"
    done
    with_schema 1.5.9 "DROP TABLE embedding_fulltext_search"
    assert_problem "$MNT/info.json" fts_missing
    assert_fails test -e "$MNT/config/fts_tokenizer"
    unmount
    with_schema 1.5.9 "UPDATE embedding_fulltext_search_data SET block = x'00'"
    assert_readable_but ''
    unmount
}

# A view is never read: it can show what it likes, for as long as it likes.
views() {
    endless='WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)'
    for table in embeddings embedding_metadata embeddings_queue max_seq_id embeddings_queue_config tenants databases; do
        lacks 1.5.9 "DROP TABLE $table; CREATE VIEW $table AS $endless
            SELECT x AS id, x AS seq_id, 1 AS segment_id, 'config' AS config_json_str, 'FROM A VIEW' AS name FROM n" \
            "$table" "$(unknown_without "$table")"
    done
    for table in collections segments migrations; do
        gone 1.5.9 "DROP TABLE $table; CREATE VIEW $table AS $endless
            SELECT x AS id, x AS name, 'sysdb' AS dir, 1 AS version, '' AS hash, '' AS type, '' AS scope, 1 AS collection FROM n"
    done
}

# Chroma makes none; they are told, and never run.
triggers() {
    with_schema 1.5.9 'CREATE TRIGGER evil AFTER DELETE ON embeddings BEGIN DELETE FROM embeddings_queue; END'
    assert_readable_but ''
    assert_problem "$MNT/info.json" unknown_triggers
    unmount
}

newer() {
    with_schema 1.5.9 "INSERT INTO migrations SELECT dir, 99, '00099-x.sqlite.sql', sql, hash FROM migrations WHERE dir = 'sysdb' LIMIT 1"
    assert_readable_but ''
    assert_problem "$MNT/info.json" newer_version
    assert_eq null "$(json "$MNT/info.json" .chroma_version.max)" chroma_version.max
    assert_contains "$MNT.log" newer
    assert_errno EROFS truncate -s 0 "$MNT/info.json"
    awk -v mnt="$MNT" '$5 == mnt { print $6 }' /proc/self/mountinfo >mount-options
    assert_eq 1 "$(grep -c -w ro mount-options)" 'mounted read-only'
    unmount
    : >"$MNT.log"
    with_schema 1.5.9 "INSERT INTO migrations SELECT 'cloud', 1, '00001-x.sqlite.sql', sql, hash FROM migrations LIMIT 1"
    assert_problem "$MNT/info.json" newer_version
    assert_contains "$MNT.log" newer
    unmount
    : >"$MNT.log"
    with_schema 1.5.9 "DELETE FROM migrations WHERE dir = 'sysdb' AND version = 3"
    assert_readable_but ''
    unmount
}

for part in tables columns measured_columns full_text views triggers newer; do
    note "$part"
    "$part"
done
