#!/bin/sh
# A directory that carries triggers and views of a stranger: operations do what they are asked to and fire none, or refuse and change nothing.
# limit: 90
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"
# shellcheck source=tests/mount/helpers/control_load.sh
. "${CHROMAFS_LIB%/*}/helpers/control_load.sh"

TABLES='embeddings_queue embeddings_queue_config max_seq_id embeddings embedding_metadata segments segment_metadata collections collection_metadata'
SHADOWS='embedding_fulltext_search_content embedding_fulltext_search_data embedding_fulltext_search_idx embedding_fulltext_search_docsize'

# run CONTROL: 0, or false with the reason in last_error, in one line, and nothing changed
run() {
    line=1
    case $1 in
    config/automatically_purge) line=$([ "$(sql "$DIR" 'SELECT config_json_str FROM embeddings_queue_config' 2>/dev/null | grep -c true)" = 0 ] && echo true || echo false) ;;
    config/ef_search) line=77 ;;
    backup) line=to=$WORK/backup ;;
    esac
    case $1 in
    config/ef_search) control=collections/types/$1 ;;
    *) control=$1 ;;
    esac
    put "$MNT/$control" "$line" 2>"$WORK/run.err"
}

# --- triggers -------------------------------------------------------------

# set_traps DIR: what fires tells of itself, and takes records away
set_traps() {
    {
        echo "CREATE TABLE fired (what);"
        for table in $TABLES $SHADOWS; do
            for event in INSERT UPDATE DELETE; do
                for time in BEFORE AFTER; do
                    echo "CREATE TRIGGER ${time}_${event}_$table $time $event ON $table BEGIN INSERT INTO fired VALUES ('$time $event $table'); DELETE FROM embedding_metadata WHERE id < 5000000; DELETE FROM collections; END;"
                done
            done
        done
    } >"$WORK/traps"
    sqlite3 -batch -bail "$1/chroma.sqlite3" <"$WORK/traps"
}

copy_fixture chroma-1.5.9
cp -a "$DIR" plain
DIR=$WORK/plain
fill_orphans "$DIR" 10 1
fill_documents "$DIR" 10
cp -a plain trapped
set_traps trapped
# What the same operations do without triggers.
for DIR in "$WORK/plain" "$WORK/trapped"; do
    mount_dir "$DIR" "$MNT"
    for control in backup clean rebuild-fts clean-orphans config/automatically_purge config/ef_search; do
        run "$control" || fail "$control, ${DIR##*/}: $(cat "$MNT/last_error")"
        [ "$DIR" = "$WORK/plain" ] || assert_eq '' "$(sql "$DIR" 'SELECT what FROM fired LIMIT 3')" "what $control has fired"
    done
    assert_eq '' "$(sql backup 'SELECT 1 FROM fired' 2>/dev/null)" 'what backup has fired'
    rm -r backup
    unmount
    assert_sound "$DIR"
    fulltext_is_sound "$DIR"
done
assert_eq "$(grep TRIGGER traps | grep -vc fulltext)" "$(sql "$DIR" "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name NOT LIKE '%fulltext%'")" 'triggers in the end'
for table in $TABLES embedding_fulltext_search_content; do
    sqlite3 -readonly plain/chroma.sqlite3 "SELECT * FROM $table" | sort >plain.rows
    sqlite3 -readonly trapped/chroma.sqlite3 "SELECT * FROM $table" | sort | diff plain.rows - >&2 || fail "$table differs"
done

# --- views in place of tables ---------------------------------------------

# disguise TABLE: it gets another name, and a view has its own, through which everything can be written
disguise() {
    columns=$(sql "$DIR" "SELECT group_concat(name, ', ') FROM pragma_table_info('$1')")
    change "$DIR" "PRAGMA legacy_alter_table=ON; ALTER TABLE $1 RENAME TO hidden; CREATE TABLE fired (what);
        CREATE VIEW $1 AS SELECT rowid, $columns FROM hidden;
        CREATE TRIGGER d INSTEAD OF DELETE ON $1 BEGIN INSERT INTO fired VALUES ('DELETE'); DELETE FROM hidden; END;
        CREATE TRIGGER u INSTEAD OF UPDATE ON $1 BEGIN INSERT INTO fired VALUES ('UPDATE'); DELETE FROM hidden; END;
        CREATE TRIGGER i INSTEAD OF INSERT ON $1 BEGIN INSERT INTO fired VALUES ('INSERT'); DELETE FROM hidden; END"
}

# try_all WHAT: each may refuse; then all is as it was. $refused are those that did.
try_all() {
    refused=
    for control in clean rebuild-fts clean-orphans config/automatically_purge config/ef_search; do
        [ -e "$MNT/$control" ] || [ -e "$MNT/collections/types/$control" ] || continue
        logical_state "$DIR" >before
        sql "$DIR" "SELECT * FROM $2" | sha256sum >hidden
        if run "$control"; then
            assert_eq "$(cat hidden)" "$(sql "$DIR" "SELECT * FROM $2" | sha256sum)" "$2 after $control, $1"
        else
            refused="$refused $control"
            assert_eq 1 "$(wc -l <"$MNT/last_error")" "lines of last_error, $1"
            logical_state "$DIR" | diff before - >&2 || fail "$control refused ($(cat "$MNT/last_error")), and has changed something, $1"
        fi
    done
    note "$1: refused:${refused:- nothing}; $(cat "$MNT/last_error")"
}

for table in embeddings_queue embeddings embedding_metadata max_seq_id segments collections embeddings_queue_config; do
    rm -rf disguised
    cp -a "$CHROMAFS_FIXTURES/chroma-1.5.9/dir" disguised
    DIR=$WORK/disguised
    fill_orphans "$DIR" 10
    disguise "$table"
    mount_dir "$DIR" "$MNT" || continue
    try_all "$table is a view" hidden
    unmount
    assert_eq '' "$(sql "$DIR" 'SELECT what FROM fired')" "what was fired, $table is a view"
    assert_sound "$DIR"
done

# --- the full-text table --------------------------------------------------

# replace_fulltext WHAT STATEMENTS
replace_fulltext() {
    rm -rf disguised
    cp -a "$CHROMAFS_FIXTURES/chroma-1.5.9/dir" disguised
    DIR=$WORK/disguised
    change "$DIR" "CREATE TABLE hidden (string_value); INSERT INTO hidden VALUES ('kept'); DROP TABLE embedding_fulltext_search; $2"
    mount_dir "$DIR" "$MNT"
    try_all "$1" hidden
    unmount
    assert_sound "$DIR"
    assert_eq kept "$(sql "$DIR" 'SELECT * FROM hidden')" "$1: another table"
}

replace_fulltext 'a view' 'CREATE VIEW embedding_fulltext_search AS SELECT * FROM hidden'
replace_fulltext 'an ordinary table' 'CREATE TABLE embedding_fulltext_search (string_value)'
replace_fulltext 'the content of another table' "CREATE VIRTUAL TABLE embedding_fulltext_search USING fts5(string_value, content='hidden', tokenize='trigram')"
replace_fulltext 'a table of another module' 'CREATE VIRTUAL TABLE embedding_fulltext_search USING rtree(id, a, b)'
replace_fulltext 'nothing, and a view as its shadow' 'CREATE VIEW embedding_fulltext_search_content AS SELECT * FROM hidden'
replace_fulltext 'nothing, and a table as its shadow' 'CREATE TABLE embedding_fulltext_search_data (a); INSERT INTO embedding_fulltext_search_data VALUES (1)'
