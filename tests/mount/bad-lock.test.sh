#!/bin/sh
# limit: 300
# While another process holds the database locked, everything that needs it fails with EBUSY, and nothing else does; a reader that
# waits can be interrupted; when the lock is gone, all is well.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

# interruptible COMMAND...: a background job of a shell ignores SIGINT otherwise
interruptible() {
    exec env --default-signal=INT,QUIT "$@"
}

PATIENT=$WORK/patient

assert_locked() {
    assert_ok timeout 60 ls "$1" >entries
    assert_contains entries collections
    assert_contains "$1/README" chromafs
    # the root's info.json is there to say what is wrong
    timeout 60 cat "$1/info.json" >locked
    assert_problem locked database_unreadable locked
    assert_eq null "$(json locked .collections)" 'collections of a locked database'
    assert_errno EBUSY timeout 60 ls "$1/collections"
    assert_errno EBUSY timeout 60 cat "$1/collections/docs/info.json"
    assert_errno EBUSY timeout 60 cat "$1/config/fts_tokenizer"
    assert_ok timeout 60 df "$1" >/dev/null
}

# in_folder FOLDER COMMAND...: with its own files below $WORK
in_folder() {
    # shellcheck disable=SC2030  # it is meant to be gone afterwards
    (mkdir "$1" && cd "$1" && WORK=$PWD && shift && "$@")
}

# assert_both_locked: at the same time, since each waits for long
assert_both_locked() {
    in_folder first assert_locked "$MNT" &
    first=$!
    in_folder second assert_locked "$PATIENT" &
    second=$!
    wait "$first"
    wait "$second"
}

# Two daemons, so that neither reader waits for the other: the one that is interrupted later ends earlier.
interrupt_waiter() {
    cat "$PATIENT/collections/docs/info.json" >/dev/null 2>&1 &
    patient=$!
    sleep 0.5
    interruptible cat "$MNT/collections/docs/info.json" >/dev/null 2>&1 &
    waiter=$!
    sleep 0.5
    kill -0 "$waiter" || fail 'the reader did not wait'
    kill -"$1" "$waiter"
    status=0
    wait "$waiter" || status=$?
    assert_ok kill -0 "$patient"
    assert_eq "$2" "$status" "status of a reader that got SIG$1"
    wait "$patient" && fail 'the reader that was not interrupted read something'
    return 0
}

copy_fixture chroma-1.5.9
mount_dir "$DIR" "$MNT"
cp "$MNT/info.json" before
sqlite_start
sqlite_do 'BEGIN EXCLUSIVE;'
mount_dir "$DIR" "$PATIENT"
note 'locked under a mount, and before the mount'
assert_both_locked
note 'interrupted'
interrupt_waiter INT 130
interrupt_waiter TERM 143
interrupt_waiter KILL 137
assert_alive
sqlite_do 'ROLLBACK;'
note 'unlocked'
assert_readable_but ''
assert_readable_but '' "$PATIENT"
assert_same_file before "$MNT/info.json"
sqlite_do 'BEGIN IMMEDIATE;'
note 'a writer that only prepares hinders nobody'
assert_readable_but ''
sqlite_do 'ROLLBACK;'
sqlite_stop
unmount "$MNT"
unmount "$PATIENT"
