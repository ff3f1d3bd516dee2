#!/bin/sh
# On a file system without room each control says so before its first change; one that fills up in the middle of an operation leaves the old state; and a
# backup leaves nothing where there is no room for it.
# limit: 90
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"
# shellcheck source=tests/mount/helpers/control_load.sh
. "${CHROMAFS_LIB%/*}/helpers/control_load.sh"
need_root

# free FOLDER: bytes
free() { echo "$(($(stat -f -c '%f * %S' "$1")))"; }

# leave_free FOLDER BYTES: a filler takes the rest
leave_free() {
    rm -f "$1/filler"
    fallocate -l "$(($(free "$1") - $2))" "$1/filler"
}

# fill FOLDER: while someone else writes there
fill() {
    fallocate -l "$(($(free "$1") / 2))" "$1/filler" 2>/dev/null || :
    ! cat /dev/zero >>"$1/filler" 2>/dev/null || fail "$1 is never full"
}

# assert_unchanged WHAT
assert_unchanged() {
    chroma_state "$DIR" | diff "$WORK/before" - >&2 || fail "changed by $1"
    assert_eq "$touched" "$(database_ctime "$DIR")" "ctime of the database after $1"
}

remember() {
    chroma_state "$DIR" >"$WORK/before"
    touched=$(database_ctime "$DIR")
}

# --- nearly full, and full ------------------------------------------------

assert_all_refused() {
    for control in clean rebuild-fts clean-orphans collections/emptied/clean; do
        assert_errno ENOSPC put "$MNT/$control" 1
        assert_said "$control: "
        assert_said 'bytes free'
        assert_unchanged "$control with $1 bytes free"
    done
}

copy_fixture chroma-1.5.9
fill_log "$DIR" 80000
fill_documents "$DIR" 10000
fill_orphans "$DIR" 2000 3
mkdir disk target
mount -t tmpfs -o size=200m tmpfs disk || skip 'no tmpfs can be mounted here'
mv "$DIR" disk/persist
DIR=$WORK/disk/persist
mount_dir "$DIR" "$MNT"
remember
for bytes in 300000 0; do
    leave_free disk "$bytes"
    assert_all_refused "$bytes"
done
purge=$(cat "$MNT/config/automatically_purge")
assert_errno ENOSPC put "$MNT/config/automatically_purge" "$([ "$purge" = true ] && echo false || echo true)"
assert_unchanged 'config/automatically_purge'
assert_eq "$purge" "$(cat "$MNT/config/automatically_purge")" automatically_purge

# --- what only reads ------------------------------------------------------

put "$MNT/backup" "to=$WORK/backup" || fail "backup of a full disk: $(cat "$MNT/last_error")"
assert_unchanged 'a backup of a full disk'
assert_sound backup
assert_eq "$(records_of "$DIR")" "$(records_of backup)" 'records of the backup'
rm -r backup
assert_errno ENOSPC put "$MNT/backup" "to=$WORK/disk/backup"
assert_eq '' "$(find disk -mindepth 1 -maxdepth 1 -not -name filler -not -name persist)" 'the full disk after a backup to it'

mount -t tmpfs -o size=4m tmpfs target
blocks=$(free target)
assert_errno ENOSPC put "$MNT/backup" "to=$WORK/target/backup"
assert_said 'bytes free'
assert_eq '' "$(ls -A target)" 'what a backup without room leaves'
assert_eq "$blocks" "$(free target)" 'free bytes after it'
umount target

# --- it fills up in the middle --------------------------------------------

fill_up_under_backup() {
    rm disk/filler
    head -c 100M /dev/zero >"$DIR/large"
    mount -t tmpfs -o size=$(($(bytes_in "$DIR") / 1048576 + 12))m tmpfs target
    start_writer backup "to=$WORK/target/backup"
    until [ -n "$(ls -A target)" ]; do kill -0 "$WRITER" 2>/dev/null || break; done
    fill target
    end_writer 1 "$(errno_text ENOSPC)"
    assert_eq filler "$(ls -A target)" 'what a backup leaves on a target that fills up'
    rm "$DIR/large"
    umount target
}

# fill_up CONTROL PHASE: what is free at first is little more than what it asks for; $ended is how the writer did
fill_up() {
    leave_free disk $(($(stat -c %s "$DIR/chroma.sqlite3") * 2 + 30000000))
    logical_state "$DIR" >logical
    start_writer "$1" 1
    reach "$2" || note "$1 was done before it was $2"
    fill disk
    go_on
    ended=0
    wait "$WRITER" || ended=$?
    note "$1, full while $2: $ended, $(last_run "$1" '.sentence // .result.vacuum.reason')"
    assert_sound "$DIR"
}

# assert_failed CONTROL: with the old state
assert_failed() {
    assert_contains writer.err "$(errno_text ENOSPC)"
    logical_state "$DIR" | diff logical - >&2 || fail "changed by $1 on a disk that filled up"
}

fill_up_under_backup
remember
rm -f disk/filler
records=$(records_of "$DIR") log=$(rows_of_log "$DIR")
fill_up clean deleting
if [ "$ended" -ne 0 ]; then
    assert_failed clean
else
    note 'it had all its room already'
fi
for phase in dropping indexing; do
    fill_up rebuild-fts "$phase"
    [ "$ended" -eq 0 ] || assert_failed rebuild-fts
done
fill_up clean-orphans copying
[ "$ended" -eq 0 ] || assert_failed clean-orphans

# --- room for the journal only --------------------------------------------

remember
size=$(stat -c %s "$DIR/chroma.sqlite3")
if [ "$(rows_of_log "$DIR")" -eq "$log" ]; then
    leave_free disk $((size * 3 / 2 + 2000000))
    assert_errno ENOSPC put "$MNT/clean" 1
    assert_said 'vacuum=0'
    assert_unchanged clean
    put "$MNT/clean" vacuum=0
    [ "$(rows_of_log "$DIR")" -lt 1000 ] || fail 'clean vacuum=0 has deleted nothing'
    assert_eq "$size" "$(stat -c %s "$DIR/chroma.sqlite3")" 'size without VACUUM'
    assert_eq "$records" "$(records_of "$DIR")" 'records after vacuum=0'
fi

# The VACUUM alone is no failure of a clean.
fill_log "$DIR" 80000
fill_up clean vacuum
assert_eq 0 "$ended" 'a clean whose VACUUM had no room'
[ "$(rows_of_log "$DIR")" -lt 1000 ] || fail 'clean has deleted nothing'

rm disk/filler
for control in rebuild-fts clean-orphans clean; do put "$MNT/$control" 1 || fail "$control with room: $(cat "$MNT/last_error")"; done
assert_sound "$DIR"
fulltext_is_sound "$DIR"
assert_eq '' "$(find "$DIR/.chromafs/stage" -mindepth 1)" 'what is staged in the end'
unmount
umount disk
