#!/bin/sh
# commit on a file system that runs out of room: before it begins, at each file that it makes (the note and the index in the stage, rejected.jsonl, the journal, the trash), and while it
# writes. ENOSPC with its sentence, not a byte of the directory changed, nothing left in the stage; and the same commit works once there is room.
# limit: 120
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"
# shellcheck source=tests/mount/helpers/control_load.sh
. "${CHROMAFS_LIB%/*}/helpers/control_load.sh"
need_root

# free: bytes
free() { echo "$(($(stat -f -c '%f * %S' disk)))"; }

# bytes_of: of all that Chroma has
bytes_of() { (cd "$DIR" && find . -type f -not -path './.chromafs/*' -exec sha256sum {} + | sort); }

# assert_unchanged WHAT
assert_unchanged() {
    bytes_of | diff before - >&2 || fail "changed by $1"
    assert_eq '' "$(find "$DIR/.chromafs/stage" -mindepth 1 2>/dev/null)" "what is staged after $1"
    [ ! -e "$DIR/.chromafs/rejected.jsonl" ] || assert_eq '' "$(sort "$DIR/.chromafs/rejected.jsonl" | uniq -d)" "lines that are there twice after $1"
}

# renew: the directory as it was at first
renew() {
    unmount
    rm -rf "$DIR"
    cp -a original "$DIR"
    mount_dir "$DIR" "$MNT"
}

copy_fixture chroma-0.5.23-nopurge
change "$DIR" "INSERT INTO embeddings_queue (created_at, operation, topic, id, vector, encoding, metadata)
    SELECT '2026-01-01 00:00:00', 0, topic, 'short', x'00000000', 'FLOAT32', '{}' FROM embeddings_queue
    WHERE topic LIKE '%' || (SELECT id FROM collections WHERE name = 'types') LIMIT 1"
mv "$DIR" original
mkdir disk
mount -t tmpfs -o size=64m tmpfs disk || skip 'no tmpfs can be mounted here'
DIR=$WORK/disk/persist
cp -a original "$DIR"
bytes_of >before
mount_dir "$DIR" "$MNT"
control=collections/types/commit

# --- full before it begins ------------------------------------------------

for bytes in 300000 0; do
    rm -f disk/filler
    fallocate -l "$(($(free) - bytes))" disk/filler
    assert_errno ENOSPC put "$MNT/$control" threads=1
    assert_unchanged "a commit with $bytes bytes free"
done
rm disk/filler

# --- no room for one more file --------------------------------------------

# A tmpfs gives no more inodes than it is told to: so each file that the commit makes is once the one for which there is no room.
used=$(($(stat -f -c '%c - %d' disk)))
failed=0 done=0 extra=0
while [ "$done" -eq 0 ]; do
    extra=$((extra + 1))
    [ "$extra" -lt 40 ] || fail 'commit fails with room for 40 files'
    mount -o "remount,nr_inodes=$((used + extra))" disk
    got=0
    put "$MNT/$control" threads=1 2>err || got=$?
    if [ "$got" -eq 0 ]; then
        done=1
    else
        failed=$((failed + 1))
        note "$extra more files: $(cat "$MNT/last_error")"
        assert_contains err "$(errno_text ENOSPC)"
        assert_said "$control: "
        assert_unchanged "a commit with room for $extra more files"
        mount -o remount,nr_inodes=100000 disk
        put "$MNT/$control" threads=1 || fail "with room again: $(cat "$MNT/last_error")"
        assert_eq 1 "$(wc -l <"$DIR/.chromafs/rejected.jsonl")" 'rejected rows'
        assert_sound "$DIR"
        renew
    fi
done
[ "$failed" -ge 7 ] || fail "only $failed files were missed"
last_run "$control" '"\(.result.collections[0].old_directory) \(.result.collections[0].reason)"' >reason
note "with room for $extra more files it is done: $(cat reason)"
mount -o remount,nr_inodes=100000 disk
assert_eq 1 "$(wc -l <"$DIR/.chromafs/rejected.jsonl")" 'rejected rows'
assert_sound "$DIR"

# --- full while it writes -------------------------------------------------

# Whoever else writes there takes all that is left, while the commit is stopped in a phase.
failed=0 reached=0
for phase in 'reading' 'reading the index' 'checking the new index' placing applying committing; do
    renew
    start_writer "$control" threads=1
    ! reach "$phase" || reached=$((reached + 1))
    cat /dev/zero >disk/filler 2>/dev/null || :
    go_on
    got=0
    wait "$WRITER" || got=$?
    if [ "$got" -ne 0 ]; then
        failed=$((failed + 1))
        assert_contains writer.err "$(errno_text ENOSPC)"
        assert_unchanged 'a commit on a disk that filled up'
    fi
    rm disk/filler
    put "$MNT/$control" threads=1 || fail "with room again: $(cat "$MNT/last_error")"
    assert_eq 1 "$(wc -l <"$DIR/.chromafs/rejected.jsonl")" 'rejected rows'
    assert_sound "$DIR"
done
note "filled up in the middle: $reached, failed: $failed"
unmount
umount disk
