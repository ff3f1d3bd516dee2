#!/bin/sh
# Each problem has its code, its place and a sentence; it shows at the next look; and its command, as it stands there, makes it go away. One without a
# command has null.
# limit: 240
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"

# problem CODE WHERE: the problem as JSON, or nothing
problem() {
    jq -c --arg code "$1" --arg where "$2" '.problems[] | select(.code == $code and .where == $where)' "$(info_of "$2")"
}

info_of() {
    case $1 in
    collections/*) echo "$MNT/$1/info.json" ;;
    *) echo "$MNT/info.json" ;;
    esac
}

is_there() { [ -n "$(problem "$1" "$2")" ]; }
is_gone() { ! is_there "$1" "$2"; }

# appears CODE WHERE SQL: because of it
appears() {
    assert_ok is_gone "$1" "$2"
    change "$DIR" "$3"
    wait_until is_there "$1" "$2"
    assert_eq 1 "$(problem "$1" "$2" | wc -l)" "problems $1"
    problem "$1" "$2" | jq -e '.sentence | length > 20 and (contains("\n") | not)' >/dev/null || fail "the sentence of $1"
}

# hopeless CODE WHERE SQL [UNDO]: nothing that is there cures it
hopeless() {
    appears "$1" "$2" "$3"
    assert_eq null "$(problem "$1" "$2" | jq .command)" "command of $1"
    [ $# -lt 4 ] || change "$DIR" "$4"
    [ $# -lt 4 ] || wait_until is_gone "$1" "$2"
}

# cured CODE WHERE COMMAND: by pasting it, below the mount
cured() {
    assert_eq "$3" "$(problem "$1" "$2" | jq -r .command)" "command of $1"
    (cd "$MNT" && bash -c "$3") || fail "$3: $(cat "$MNT/last_error")"
    wait_until is_gone "$1" "$2"
    assert_sound "$DIR"
}

COLLECTION="(SELECT id FROM collections WHERE name = 'emptied')"
SEGMENT="(SELECT id FROM segments WHERE collection = $COLLECTION AND scope = 'METADATA')"
AT=collections/emptied

# rows NUMBER TOPIC: SQL that appends deletes of ids that never were
rows() {
    echo "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < $1)
        INSERT INTO embeddings_queue (created_at, operation, topic, id, metadata)
            SELECT '2026-01-01 00:00:00', 3, 'persistent://default/default/' || $2, 'gone-' || x, '{}' FROM n"
}

copy_fixture chroma-1.5.9
mount_dir "$DIR" "$MNT"

# --- that nothing cures ---------------------------------------------------

hopeless segment_missing "$AT" "CREATE TABLE aside AS SELECT * FROM segments WHERE id = $SEGMENT; DELETE FROM segments WHERE id IN (SELECT id FROM aside)" \
    'INSERT INTO segments SELECT * FROM aside; DROP TABLE aside'
hopeless extra_segments "$AT" "INSERT INTO segments SELECT '11111111-1111-4111-8111-111111111111', type, scope, collection FROM segments WHERE id = $SEGMENT" \
    "DELETE FROM segments WHERE id LIKE '1111%'"
hopeless bad_position "$AT" "UPDATE max_seq_id SET seq_id = seq_id || ' and a half' WHERE segment_id = $SEGMENT" \
    "UPDATE max_seq_id SET seq_id = CAST(CAST(seq_id AS INTEGER) AS INTEGER) WHERE segment_id = $SEGMENT"
hopeless bad_configuration "$AT" "CREATE TABLE aside AS SELECT schema_str FROM collections WHERE name = 'emptied'; UPDATE collections SET schema_str = '{' WHERE name = 'emptied'" \
    "UPDATE collections SET schema_str = (SELECT schema_str FROM aside) WHERE name = 'emptied'; DROP TABLE aside"
hopeless unknown_triggers '' 'CREATE TRIGGER t AFTER INSERT ON tenants BEGIN SELECT 1; END' 'DROP TRIGGER t'

# --- that a control cures -------------------------------------------------

appears fts_stale '' "INSERT INTO embedding_fulltext_search (rowid, string_value) VALUES (999999999, 'of no document')"
cured fts_stale '' "echo 1 > 'rebuild-fts'"
appears fts_stale '' 'DELETE FROM embedding_fulltext_search WHERE rowid = (SELECT min(rowid) FROM embedding_fulltext_search_content)'
cured fts_stale '' "echo 1 > 'rebuild-fts'"
appears orphan_rows '' "INSERT INTO max_seq_id VALUES ('11111111-1111-4111-8111-111111111111', 1)"
cured orphan_rows '' "echo 1 > 'clean-orphans'"
appears orphan_wal_rows '' "$(rows 3 "'11111111-1111-4111-8111-111111111111'")"
problem orphan_wal_rows '' | jq -r .sentence | grep -q '^2 rows' || fail 'the last row of the log always stays, and is none of those that can go'
cured orphan_wal_rows '' "echo 1 > 'clean-orphans'"
assert_eq 1 "$(sql "$DIR" "SELECT count(*) FROM embeddings_queue WHERE topic LIKE '%/11111111-%'")" 'rows that stay'
appears wal_large "$AT" "$(rows 10000 "$COLLECTION")"
needs_clean() { problem wal_large "$AT" | jq -r .command | grep -q clean; }
assert_eq "echo 1 > '$AT/commit'" "$(problem wal_large "$AT" | jq -r .command)" 'command of rows that are in no index'
(cd "$MNT" && bash -c "echo 1 > '$AT/commit'") || fail "commit: $(cat "$MNT/last_error")"
wait_until needs_clean
cured wal_large "$AT" "echo 1 > '$AT/clean'"
appears positions_ahead '' 'DELETE FROM embeddings_queue'
cured positions_ahead '' "echo 1 > 'clean'"
appears free_pages '' 'CREATE TABLE large AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 4000) SELECT zeroblob(4000) FROM n; DROP TABLE large'
cured free_pages '' "echo 1 > 'clean'"
unmount

# --- of the version -------------------------------------------------------

change "$DIR" "DELETE FROM migrations WHERE dir = 'embeddings_queue' AND version = (SELECT max(version) FROM migrations WHERE dir = 'embeddings_queue')"
mount_dir "$DIR" "$MNT"
assert_ok is_there unknown_version ''
unmount
