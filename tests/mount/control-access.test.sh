#!/bin/sh
# Who may write to controls, and where nobody may: modes, -o ro, a format that is too new, other users, -o privacy.
# limit: 60
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"

ROOT_CONTROLS='cancel commit clean rebuild-fts clean-orphans backup config/automatically_purge'
COLLECTION_CONTROLS='clean rebuild-hnsw config/ef_search config/sync_threshold'

controls() {
    for control in $ROOT_CONTROLS; do echo "$control"; done
    for control in $COLLECTION_CONTROLS; do echo "collections/types/$control"; done
}

# assert_modes MODE: of controls, and of nothing else
assert_modes() {
    controls | while read -r control; do assert_eq "$1" "$(stat -c %a "$MNT/$control")" "mode of $control"; done
    assert_eq '' "$(find "$MNT" -type f -perm /0222 | sed 's|.*/||' | sort -u | grep -vxF -f writable)" 'writable files that are no controls'
    assert_eq "$(stat -c '%u %g' "$DIR/chroma.sqlite3")" "$(stat -c '%u %g' "$MNT/clean")" 'owner and group of clean'
}

controls | sed 's|.*/||' | sort -u >writable
printf '%s\n' num_threads resize_factor batch_size >>writable

copy_fixture chroma-1.5.9
mount_dir "$DIR" "$MNT"
assert_modes 644
unmount
chmod 640 "$DIR/chroma.sqlite3"
mount_dir "$DIR" "$MNT"
assert_modes 640
unmount
chmod 644 "$DIR/chroma.sqlite3"

# --- read-only ------------------------------------------------------------

fingerprint "$DIR" >before
check_read_only() {
    assert_modes 444
    controls | while read -r control; do
        assert_errno EROFS put "$MNT/$control" 1
        assert_errno EROFS truncate -s 0 "$MNT/$control"
        assert_errno EROFS touch "$MNT/$control"
    done
    assert_status 1 bash -c "echo 1 > '$MNT/clean'"
    assert_contains "$WORK/err" 'Read-only file system'
    assert_status 2 dash -c "echo 1 > '$MNT/clean'"
    assert_contains "$WORK/err" 'Read-only file system'
}
mount_dir "$DIR" "$MNT" -o ro
check_read_only
unmount
fingerprint "$DIR" | diff before - >&2 || fail 'the directory was changed with -o ro'

cp -a "$DIR" newer
DIR=$WORK/newer
change "$DIR" "INSERT INTO migrations SELECT dir, 99, '00099-future.sqlite.sql', sql, hash FROM migrations WHERE dir = 'sysdb' LIMIT 1"
mount_dir "$DIR" "$MNT"
check_read_only
unmount

# --- -o privacy -----------------------------------------------------------

DIR=$WORK/chroma-1.5.9
mount_dir "$DIR" "$MNT" -o privacy
[ ! -e "$MNT/history.jsonl" ] || fail 'there is a history'
put "$MNT/collections/c1/clean" vacuum=0
put "$MNT/clean" 'skip=c2 vacuum=0'
assert_errno EINVAL put "$MNT/clean" skip=types
assert_eq "***: $(errno_text EINVAL)" "$(cat "$MNT/last_error")" last_error
assert_eq '["***","done","***"]' "$(status '[.last.options, .last.status, .last.result] | tojson')" 'the outcome'
assert_eq '***' "$(grep -v '^#' "$MNT/clean" | jq -r .result)" 'what a control says'
# Of a line that another version, or a stranger, has added to the history: nothing that is not known to tell nothing.
printf '{"operation":"clean","collection":{"id":"x","name":"secret"},"started":"2999-01-01T00:00:00Z","status":"done","note":"secret","trash_error":"secret"}\n' >>"$DIR/.chromafs/history.jsonl"
assert_eq '["done","***","***","***"]' "$(status '[.last.status, .last.collection, .last.note, .last.trash_error] | tojson')" 'what a stranger wrote'
! grep -r secret "$MNT/status.json" "$MNT/clean" "$MNT/collections" || fail 'a stranger can show what he likes'
sed -i '$d' "$DIR/.chromafs/history.jsonl"
unmount

# --- other users ----------------------------------------------------------

need_root
chmod 755 "$WORK" "$DIR"
mount_dir "$DIR" "$MNT" -o allow_other
controls | while read -r control; do
    assert_errno EACCES as_nobody sh -c "echo 1 > '$MNT/$control'"
    assert_errno EACCES as_nobody truncate -s 0 "$MNT/$control"
done
as_nobody cat "$MNT/clean" >/dev/null || fail 'nobody can not read a control'
unmount
chown -R 65534:65534 "$DIR"
mount_dir "$DIR" "$MNT" -o allow_other
as_nobody bash -c "echo 1 > '$MNT/clean'" || fail 'the owner may not clean'
bash -c "echo 1 > '$MNT/clean'" || fail 'root may not clean'
assert_eq 65534 "$(stat -c %u "$DIR/chroma.sqlite3")" 'owner of the database'
assert_eq 65534 "$(stat -c %u "$DIR/.chromafs/history.jsonl")" 'owner of the history'
# Only its owner may look into .chromafs, and into its history here.
assert_eq 400 "$(stat -c %a "$MNT/history.jsonl")" 'mode of the history'
assert_errno EACCES setpriv --reuid=1 --clear-groups cat "$MNT/history.jsonl"
as_nobody cat "$MNT/history.jsonl" >history || fail 'the owner can not read the history'
cmp history "$DIR/.chromafs/history.jsonl"
# A file that is the owner's, but handed out open: the mode says nothing, the user does.
bash -c "exec 3>'$MNT/clean'; setpriv --reuid=1 --clear-groups bash -c 'echo 1 >&3'" 2>err && fail 'a stranger may write to what root has opened'
assert_contains err 'Permission denied'
unmount

# --- the mask of who mounted is not that of what is made ------------------

rm -rf "$DIR/.chromafs"
(umask 0777 && exec "$CHROMAFS" -f "$DIR" "$MNT") >"$MNT.log" 2>&1 &
masked=$!
wait_until mountpoint -q "$MNT"
put "$MNT/clean" 1
assert_eq 600 "$(stat -c %a "$DIR/.chromafs/history.jsonl")" 'mode of the history'
wait_until fusermount3 -u "$MNT"
wait "$masked"

# --- a backup is made as the one who asks for it --------------------------

mkdir theirs ours
chown 65534:65534 theirs
mount_dir "$DIR" "$MNT" -o allow_other
as_nobody bash -c "echo to=$WORK/theirs/copy > '$MNT/backup'" || fail "no backup: $(cat "$MNT/last_error")"
assert_eq 65534 "$(stat -c %u theirs/copy/chroma.sqlite3)" 'owner of the copy'
assert_errno EACCES as_nobody bash -c "echo to=$WORK/ours/copy > '$MNT/backup'"
[ ! -e ours/copy ] || fail 'a copy where its user may not write'
unmount
