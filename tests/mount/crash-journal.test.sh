#!/bin/sh
# limit: 300
# A writer was killed in a transaction that had reached the database file: the state before it is shown, from the journal, nothing is
# written, and info.json says so; when somebody rolls it back, that is followed.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

# die_in_transaction: renames every collection, adds a thousand and makes rows long, with a cache of one page; then is killed
die_in_transaction() {
    sqlite_start
    sqlite_do 'PRAGMA cache_size=1; PRAGMA cache_spill=1; BEGIN IMMEDIATE;'
    sqlite_do "UPDATE collections SET name = 'half-done-' || name, dimension = 99;"
    sqlite_do "UPDATE embedding_metadata SET string_value = printf('%.*c', 500, 'h');"
    sqlite_do "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 5000)
        INSERT INTO embeddings_queue (operation, topic, id, metadata) SELECT 0, 'half', 'half-' || x, printf('%.*c', 300, 'h') FROM n;"
    kill -KILL "$SQLITE"
    wait "$SQLITE" 2>/dev/null || :
    exec 9>&-
    [ -s "$DIR/chroma.sqlite3-journal" ] || fail 'the writer left no journal: the test shows nothing'
    ! cmp -s good "$DIR/chroma.sqlite3" || fail 'the writer had not yet changed the database: the test shows nothing'
}

# shown DIRECTORY: what the mount shows of collections, without what legitimately differs
shown() {
    (cd "$1" && for info in collections/*/info.json; do
        echo "$info"
        jq 'del(.exact)' "$info"
    done)
}

assert_committed() {
    shown "$MNT" >now
    assert_same_file committed now
    assert_eq "$entries" "$(json "$MNT/info.json" .wal_entries)" "WAL rows $1"
}

copy_fixture chroma-1.5.9
cp "$DIR/chroma.sqlite3" good
mount_dir "$DIR" "$MNT"
assert_readable_but ''
shown "$MNT" >committed
entries=$(json "$MNT/info.json" .wal_entries)

note 'under a mount'
die_in_transaction
before=$(directory_state)
assert_readable_but ''
assert_committed 'after the crash'
unmount

note 'mounted afterwards'
mount_dir "$DIR" "$MNT"
assert_readable_but ''
assert_committed 'in a new mount'
assert_problem "$MNT/info.json" hot_journal
assert_eq "$before" "$(directory_state)" 'the directory after two mounts'

note 'rolled back by another'
sqlite3 "$DIR/chroma.sqlite3" 'SELECT count(*) FROM collections' >/dev/null
assert_fails test -e "$DIR/chroma.sqlite3-journal"
assert_readable_but ''
assert_committed 'after the roll-back'
! problems "$MNT/info.json" | grep -q hot_journal || fail 'the journal is still listed'
sqlite3 "$DIR/chroma.sqlite3" "UPDATE collections SET name = 'renamed' WHERE name = 'docs'"
assert_ok test -e "$MNT/collections/renamed/info.json"
sqlite3 "$DIR/chroma.sqlite3" "UPDATE collections SET name = 'docs' WHERE name = 'renamed'"

note 'under a mount that had seen the state before'
die_in_transaction
assert_committed 'after another crash'
assert_problem "$MNT/info.json" hot_journal

note 'a journal that is cut or noise'
size=$(stat -c %s "$DIR/chroma.sqlite3-journal")
for bytes in $((size / 2)) 600 512 100 27 1 0; do
    truncate -s "$bytes" "$DIR/chroma.sqlite3-journal"
    unreadable >found
    assert_alive
    note "journal cut at $bytes: $(wc -l <found) unreadable; $(problems "$MNT/info.json" 2>&1)"
done
head -c 100000 /dev/urandom >"$DIR/chroma.sqlite3-journal"
unreadable >found
assert_alive
rm "$DIR/chroma.sqlite3-journal"
mkfifo "$DIR/chroma.sqlite3-journal"
unreadable >found
assert_alive
note "journal is a FIFO: $(wc -l <found) unreadable"
rm "$DIR/chroma.sqlite3-journal"
ln -s /etc/passwd "$DIR/chroma.sqlite3-journal"
unreadable >found
assert_alive
note "journal is a link: $(wc -l <found) unreadable"
rm "$DIR/chroma.sqlite3-journal"
mv good "$DIR/chroma.sqlite3"
assert_readable_but ''
unmount
