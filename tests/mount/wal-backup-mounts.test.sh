#!/bin/sh
# Which mount chromafs-wal-backup reads: one that is there if it leaves nothing out, else one of its own; and as which user.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal_backup.sh
. "${CHROMAFS_LIB%/*}/helpers/wal_backup.sh"

# assert_reads MOUNT ARGUMENT...: 'private' or a mount point
assert_reads() {
    expected=$1
    shift
    run_backup -v "$@"
    assert_eq 0 "$STATUS" "status of chromafs-wal-backup $*: $(cat err)"
    actual=$(sed -n 's/^the log is read from //p' out)
    case $actual in
    "$TMPDIR"/*) actual=private ;;
    esac
    assert_eq "$expected" "$actual" "what chromafs-wal-backup $* reads"
    assert_nothing_left
    last=$(generations dest | tail -n 1)
    assert_generation "dest/$last" ${2+"$WORK/reference"}
}

copy_fixture chroma-1.5.9
mount_dir "$DIR" "$WORK/once"
mkdir reference
cp -a once/wal.jsonl once/collections reference/
unmount "$WORK/once"

note 'none is there'
assert_reads private "$DIR" dest

note 'one that is there, by its directory and by its mount point'
for options in '' '-o ro'; do
    # shellcheck disable=SC2086  # an option and its value
    mount_dir "$DIR" "$MNT" $options
    assert_reads "$MNT" "$DIR" dest
    assert_reads "$MNT" "$MNT/" dest
    mountpoint -q "$MNT" || fail 'it was unmounted'
    unmount
done

note 'one that leaves collections out, and one that hides'
mount_dir "$DIR" "$MNT" -o skip=types
assert_reads private "$DIR" dest
mount_dir "$DIR" "$WORK/whole"
assert_reads private "$DIR" dest
unmount "$WORK/whole"
unmount
mount_dir "$DIR" "$MNT" -o privacy
assert_reads private "$DIR" dest
assert_backup_fails 1 privacy "$MNT" dest
unmount

note 'one whose daemon is dead'
mount_dir "$DIR" "$MNT"
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null || :
assert_reads private "$DIR" dest
run_backup "$MNT" dest
assert_eq 1 "$STATUS" 'status for a dead mount'
forget_daemon "$MNT"
fusermount3 -uz "$MNT"

note 'one of a directory that another has taken the place of'
mount_dir "$DIR" "$MNT"
mv "$DIR" moved
cp -a moved "$DIR"
purge "$DIR" types
run_backup -v "$DIR" dest
assert_contains out "read from $TMPDIR/"
assert_eq 0 "$(stat -c %s "dest/$(generations dest | tail -n 1)/collections/types/wal.jsonl")" 'the log of the directory that is there now'
unmount

note 'as a user, who does not see the mount of another'
if [ "$(id -u)" -eq 0 ] && as_nobody test -w /dev/fuse; then
    mkdir user user/dest user/tmp
    cp -a moved user/chroma
    chown -R 65534:65534 user
    chmod 755 user
    mount_dir "$WORK/user/chroma" "$MNT"
    as_nobody env TMPDIR="$WORK/user/tmp" XDG_CACHE_HOME="$WORK/user" chromafs-wal-backup -v user/chroma user/dest >out 2>err || fail "as a user: $(cat err)"
    assert_contains out "read from $WORK/user/tmp/"
    assert_generation "user/dest/$(generations user/dest)"
    assert_eq '' "$(find user/tmp -mindepth 1 -name 'chromafs-wal-backup.*')" 'temporary folders of the user'
    unmount
    chmod 700 user/chroma
    chown -R 0:0 user/chroma
    STATUS=0
    as_nobody env TMPDIR="$WORK/user/tmp" XDG_CACHE_HOME="$WORK/user" chromafs-wal-backup user/chroma user/dest >out 2>err || STATUS=$?
    assert_eq 1 "$STATUS" 'status for a directory that may not be read'
    assert_contains err "$(errno_text EACCES)"
fi
