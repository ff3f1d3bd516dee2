#!/bin/sh
# limit: 240
# A table that is not as Chroma makes it: wal.jsonl is right, or it is there, empty, and can't be opened, and info.json says why. Everything
# else can be read, nothing crashes, and a table that is right again is shown again.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal.sh
. "${CHROMAFS_LIB%/*}/helpers/wal.sh"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

COLUMNS='created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, operation INTEGER NOT NULL, topic TEXT NOT NULL, id TEXT NOT NULL,
    vector BLOB, encoding TEXT, metadata TEXT'

# table_is DEFINITION [STATEMENTS]: with the rows of the right one
table_is() {
    change "$DIR" "DROP TABLE IF EXISTS rows; ALTER TABLE embeddings_queue RENAME TO rows; $1; ${2-INSERT INTO embeddings_queue
        (seq_id, created_at, operation, topic, id, vector, encoding, metadata) SELECT seq_id, created_at, operation, topic, id, vector, encoding,
        metadata FROM rows; DROP TABLE rows}"
}

# shown WHAT: as ever
shown() {
    note "$1: shown"
    assert_wals "$DIR" "$A" "$B"
    assert_readable_but ''
}

# refused WHAT
refused() {
    note "$1: refused"
    for file in "$MNT/wal.jsonl" "$(wal_of "$A")"; do
        timeout 20 stat -L -c %s "$file" >size || fail "$1: $file can not be looked at"
        assert_errno EILSEQ timeout 20 cat "$file"
    done
    assert_readable_but "wal[.]jsonl'?: $(errno_text EILSEQ)|wal_gap'?: "
    jq -e 'any(.problems[]; .sentence | contains("embeddings_queue"))' "$MNT/info.json" >/dev/null || fail "$1: info.json does not say why"
    [ -z "$(jq -r '.wal.entries // empty' "$MNT/info.json")" ] || fail "$1: info.json tells a number of entries"
}

# right_again: as Chroma makes it, with the rows of before
right_again() {
    rm -f "$DIR/chroma.sqlite3"
    cp right "$DIR/chroma.sqlite3"
    assert_wals "$DIR" "$A" "$B"
}

like_the_right_one() {
    table_is "CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, $COLUMNS, more TEXT DEFAULT 'x')"
    shown 'one more column'
    table_is "CREATE TABLE embeddings_queue (metadata TEXT, encoding TEXT, vector BLOB, more, id TEXT, topic TEXT, operation, created_at, seq_id INTEGER PRIMARY KEY)"
    shown 'columns in another order'
    table_is "CREATE TABLE Embeddings_Queue (\"SEQ_ID\" integer primary key autoincrement, $COLUMNS)"
    shown 'other letters, AUTOINCREMENT'
    table_is "CREATE TABLE embeddings_queue (seq_id INTEGER, $COLUMNS, PRIMARY KEY (seq_id ASC)); CREATE INDEX odd ON embeddings_queue (topic, id)"
    shown 'an index'
    change "$DIR" "CREATE TRIGGER t AFTER INSERT ON embeddings_queue BEGIN DELETE FROM embeddings_queue WHERE seq_id = new.seq_id - 1; END"
    shown 'a trigger'
    right_again
    change "$DIR" 'DELETE FROM embeddings_queue'
    assert_eq 0 "$(stat -c %s "$MNT/wal.jsonl")" 'size of an emptied log'
    shown 'emptied'
    right_again
}

unlike() {
    change "$DIR" 'DROP TABLE embeddings_queue'
    refused 'no table'
    right_again
    table_is 'CREATE VIEW embeddings_queue AS SELECT * FROM rows' ''
    refused 'a view'
    right_again
    table_is "CREATE TABLE embeddings_queue (seq_id INT PRIMARY KEY, $COLUMNS)"
    refused 'a key of another type'
    right_again
    table_is "CREATE TABLE embeddings_queue (seq_id INTEGER, $COLUMNS)"
    refused 'no key'
    right_again
    table_is "CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY DESC, $COLUMNS)"
    refused 'a key that descends'
    right_again
    change "$DIR" 'ALTER TABLE embeddings_queue DROP COLUMN encoding'
    refused 'a column less'
    right_again
    table_is "CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, created_at, operation, topic, id, vector, metadata, encoding AS ('x'))" \
        'INSERT INTO embeddings_queue (seq_id, topic) SELECT seq_id, topic FROM rows; DROP TABLE rows'
    refused 'a generated column'
    right_again
    table_is "CREATE VIRTUAL TABLE embeddings_queue USING rtree(seq_id, x0, x1, +created_at, +operation, +topic, +id, +vector, +encoding, +metadata)"
    refused 'a virtual table'
    right_again
    table_is "CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, $COLUMNS) WITHOUT ROWID"
    refused 'WITHOUT ROWID'
    right_again
}

# read_what_is_left: the bytes of rows, or an error
read_what_is_left() {
    timeout 60 cat "$MNT/wal.jsonl" >got 2>err ||
        grep -qE "$(errno_text EIO)|$(errno_text EILSEQ)|$(errno_text ESTALE)" err || fail "$(cat err)"
    head -c "$(wc -c <got)" lines | cmp - got >&2 || fail 'other bytes than those of the rows'
    assert_alive
}

# A page of the table is overwritten: what is in it fails, and never gives other bytes.
damaged_page() {
    add_rows "$DIR" "$A" 5001 9000
    assert_wals "$DIR" "$A" "$B"
    wal_lines "$DIR" >lines
    cp "$DIR/chroma.sqlite3" whole
    at=$(LC_ALL=C grep -abo -m 1 'id-7000' "$DIR/chroma.sqlite3" | head -n 1 | cut -d : -f 1)
    head -c 4096 /dev/urandom | dd of="$DIR/chroma.sqlite3" bs=4096 seek=$((at / 4096)) conv=notrunc status=none
    read_what_is_left # of which SQLite may remember all
    unmount
    mount_dir "$DIR" "$MNT"
    read_what_is_left
    [ "$(wc -c <got)" -lt "$(wc -c <lines)" ] || fail 'a damaged page does not show'
    cat whole >"$DIR/chroma.sqlite3"
    assert_wals "$DIR" "$A" "$B"
}

copy_fixture chroma-1.5.9
A=$(id_of "$DIR" space_l2) B=$(id_of "$DIR" types)
change "$DIR" 'DELETE FROM embeddings_queue'
add_rows "$DIR" "$A" 1001 1020
add_rows "$DIR" "$B" 1021 1040
cp "$DIR/chroma.sqlite3" right
mount_dir "$DIR" "$MNT"
for part in ${PARTS:-like_the_right_one unlike damaged_page}; do
    "$part"
done
unmount
