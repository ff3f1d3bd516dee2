#!/bin/sh
# Whoever has the database, its journal or a file of an index open for writing is found and named, and readers are not; what force=1 does then; and
# who else holds the directory's lock.
# limit: 60
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"
# shellcheck source=tests/mount/helpers/control_load.sh
. "${CHROMAFS_LIB%/*}/helpers/control_load.sh"
need_root

# hold HOW FILE [COMMAND...]: a process keeps it open: '<' for reading, '<>' and '>>' for writing
hold() {
    hold_how=$1 hold_file=$2
    shift 2
    "$@" sh -c "exec sleep 60 7$hold_how\"\$0\"" "$hold_file" &
    HOLDER=$!
    wait_until holds "$hold_file"
}

holds() { [ "$(readlink "/proc/$HOLDER/fd/7")" = "$(readlink -f "$1")" ] && [ "$(cat "/proc/$HOLDER/comm")" = sleep ]; }

let_go() {
    kill "$HOLDER"
    wait "$HOLDER" 2>/dev/null || :
}

# assert_busy MNT TEXT...: each control is refused, and says so with these words; nothing is changed
assert_busy() {
    busy_mnt=$1
    shift
    chroma_state "$DIR" >before
    for control in clean rebuild-fts clean-orphans config/automatically_purge collections/types/config/ef_search; do
        line=1
        [ "$control" != config/automatically_purge ] || line=false
        [ "$control" != collections/types/config/ef_search ] || line=77
        assert_errno EBUSY put "$busy_mnt/$control" "$line"
        for text in "$control: " "$@"; do assert_said "$text" "$busy_mnt"; done
    done
    chroma_state "$DIR" | diff before - >&2 || fail "changed beside $*"
}

# --- which files, and how -------------------------------------------------

copy_fixture chroma-1.5.9
fill_orphans "$DIR" 10 2
chmod 755 "$DIR"
segment=$(segment_of "$DIR" types VECTOR)
orphan=0b0b0b0b-0000-4000-8000-000000000001
mount_dir "$DIR" "$MNT"
for file in chroma.sqlite3 "$segment/header.bin" "$segment/data_level0.bin"; do
    hold '<>' "$DIR/$file"
    assert_busy "$MNT" "pid $HOLDER (sleep)" "$file" force=1
    let_go
done
: >"$DIR/chroma.sqlite3-journal"
hold '>>' "$DIR/chroma.sqlite3-journal"
assert_busy "$MNT" "pid $HOLDER (sleep)" chroma.sqlite3-journal
let_go
rm "$DIR/chroma.sqlite3-journal"
hold '<>' "$DIR/chroma.sqlite3" setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=+dac_override --ambient-caps=+dac_override
assert_eq 65534 "$(stat -c %u "/proc/$HOLDER")" 'user of the holder'
assert_busy "$MNT" "pid $HOLDER (sleep)"
mount_dir "$DIR" "$WORK/second"
assert_busy "$WORK/second" "pid $HOLDER (sleep)"
unmount "$WORK/second"
let_go
# Mapped and closed.
python3 -c "
import mmap, time
file = open('$DIR/chroma.sqlite3', 'r+b')
mapping = mmap.mmap(file.fileno(), 4096)
file.close()
open('mapped', 'w').close()
time.sleep(60)" &
HOLDER=$!
wait_until test -e mapped
assert_busy "$MNT" 'open for writing'
let_go

# --- readers --------------------------------------------------------------

for file in "$segment/header.bin" "$segment/data_level0.bin" "$segment/index_metadata.pickle" chroma.sqlite3; do
    [ -e "$DIR/$file" ] || continue
    hold '<' "$DIR/$file"
    for control in clean rebuild-fts; do put "$MNT/$control" 1 || fail "$control beside a reader of $file: $(cat "$MNT/last_error")"; done
    let_go
done
# A reader in the middle of a read is waited for.
python3 -c "
import sqlite3, time
c = sqlite3.connect('file:$DIR/chroma.sqlite3?mode=ro', uri=True, isolation_level=None)
c.execute('BEGIN')
c.execute('SELECT count(*) FROM embeddings').fetchone()
open('reading', 'w').close()
time.sleep(1)
c.execute('COMMIT')" &
reader=$!
wait_until test -e reading
put "$MNT/rebuild-fts" 1 || fail "rebuild-fts beside a reader that goes: $(cat "$MNT/last_error")"
wait "$reader"

# --- the owner, beside root -----------------------------------------------

mkdir theirs
cp -a "$DIR" theirs/persist
chown -R 65534:65534 theirs
mount_dir "$WORK/theirs/persist" "$WORK/second" -o allow_other
hold '<>' "$WORK/theirs/persist/chroma.sqlite3"
assert_errno EBUSY as_nobody bash -c "echo 1 > '$WORK/second/clean'"
assert_said 'open for writing' "$WORK/second"
let_go
as_nobody bash -c "echo 1 > '$WORK/second/clean'" || fail "the owner, alone: $(cat "$WORK/second/last_error")"
assert_eq '' "$(find theirs -not -user 65534)" "files of others in the owner's directory"
unmount "$WORK/second"

# --- force=1 --------------------------------------------------------------

hold '<>' "$DIR/$orphan/header.bin"
chroma_state "$DIR" >before
put "$MNT/clean-orphans" 'dry_run=1'
assert_eq "[$HOLDER,\"sleep\",\"$orphan/header.bin\"]" "$(last_run clean-orphans '.result.in_use_by | [.pid, .command, .file] | tojson')" 'who is there'
chroma_state "$DIR" | diff before - >&2 || fail 'changed by dry_run=1'
put "$MNT/clean-orphans" force=1
assert_eq "$HOLDER" "$(last_run clean-orphans .result.in_use_by.pid)" 'who was there'
assert_contains "$MNT/clean-orphans" "$orphan"
[ -d "$DIR/$orphan" ] || fail 'a directory that is open was taken away'
[ ! -e "$DIR/${orphan%1}2" ] || fail 'one that is not was not taken away'
assert_eq "" "$(sql "$DIR" "SELECT id FROM embeddings WHERE embedding_id LIKE 'orphan-%'")" 'orphan rows'
let_go
put "$MNT/clean-orphans" keep=0
[ ! -e "$DIR/$orphan" ] || fail 'it stays when nobody has it open any more'

# A writer that is in the middle of its transaction comes to its end, and clean after it.
write_for_a_second() {
    rm -f writing
    python3 -c "
import sqlite3, time
c = sqlite3.connect('$DIR/chroma.sqlite3', timeout=100, isolation_level=None)
c.execute('BEGIN IMMEDIATE')
c.execute(\"UPDATE collections SET name = name WHERE name = 'types'\")
open('writing', 'w').close()
time.sleep(1)
began = time.monotonic()
c.execute('COMMIT')
print('# beside $1 a COMMIT took %.0f ms' % ((time.monotonic() - began) * 1000))" &
    HOLDER=$!
    wait_until test -e writing
}
change "$DIR" 'CREATE TABLE filler (a); INSERT INTO filler VALUES (zeroblob(100000)); DROP TABLE filler'
for command in 'clean force=1' 'rebuild-fts force=1' 'clean-orphans force=1'; do
    write_for_a_second "$command"
    put "$MNT/${command% *}" "${command#* }" || fail "$command beside a writer that goes: $(cat "$MNT/last_error")"
    [ "$command" != 'clean force=1' ] || assert_eq true "$(last_run clean .result.vacuum.done)" 'VACUUM beside a writer that goes'
    wait "$HOLDER"
done

# --- the directory's lock -------------------------------------------------

flock "$DIR" sleep 60 &
HOLDER=$!
is_locked() { ! flock -n "$DIR" true; }
wait_until is_locked
assert_busy "$MNT" "$HOLDER" flock
for line in dry_run=1 force=1; do assert_errno EBUSY put "$MNT/clean" "$line"; done
assert_errno EBUSY put "$MNT/backup" "to=$WORK/backup"
[ ! -e backup ] || fail 'a backup beside another operation'
children=$(cat "/proc/$HOLDER/task/$HOLDER/children")
let_go
# shellcheck disable=SC2086  # a list of numbers
kill $children 2>/dev/null || :
wait_until flock -n "$DIR" true

mount_dir "$DIR" "$WORK/second"
fill_documents "$DIR" 5000
start_writer rebuild-fts 1
reach indexing || fail 'rebuild-fts was done at once'
assert_busy "$WORK/second" "$WORKER" chromafs
go_on
end_writer 0
put "$WORK/second/clean" 1
unmount "$WORK/second"
unmount
assert_sound "$DIR"
fulltext_is_sound "$DIR"
