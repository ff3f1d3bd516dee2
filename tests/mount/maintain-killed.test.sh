#!/bin/sh
# chromafs-maintain is ended by signals while an operation runs, is killed, loses its mount, runs twice at once, or meets another operation: the directory is as it was, nothing
# stays mounted, and the next run works.
# limit: 600
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"
# shellcheck source=tests/mount/helpers/maintain.sh
. "${CHROMAFS_LIB%/*}/helpers/maintain.sh"

IGNORE=--ignore=left
ROWS=600000

# start ARGUMENT...: in the background; its pid is in $run. (sh starts what is in the background with SIGINT ignored.)
start() {
    # shellcheck disable=SC2086  # a shell and the script
    env --default-signal=INT,QUIT $MAINTAIN "$@" >started.out 2>started.err &
    run=$!
}

# is_cleaning: in the mount that the run has made, and so far that the history will have it
is_cleaning() {
    own=$(find "$TMPDIR" -maxdepth 2 -path '*/chromafs-maintain.*/mnt')
    [ -n "$own" ] && has_started clean "$own"
}

# assert_old WHAT: nothing runs or is left, and the directory is as it was
assert_old() {
    assert_nothing_left
    wait_until has_no_daemon "$DIR"
    assert_eq "$before" "$(contents_of "$DIR")" "the directory after $1"
    assert_eq clean:canceled "$(operations "$DIR" | tr ' ' '\n' | grep . | tail -n 1)" "the last operation after $1"
}

signals() {
    shells >list
    while read -r shell <&9; do
        for signal in TERM:143 INT:130 HUP:129; do
            MAINTAIN="$shell $WORK/bin/chromafs-maintain"
            start "$IGNORE" --no-commit --no-rebuild-hnsw --no-clean-orphans "$DIR"
            wait_until is_cleaning
            kill -"${signal%:*}" "$run"
            status=0
            wait "$run" || status=$?
            assert_eq "${signal#*:}" "$status" "status after SIG${signal%:*} with $shell: $(cat started.err)"
            assert_old "SIG${signal%:*} with $shell"
        done
    done 9<list
    MAINTAIN=$WORK/bin/chromafs-maintain
}

# The kernel ends all of a terminal's processes, the daemon and the writer, too.
terminal() {
    mkfifo keys
    env --default-signal=INT,QUIT script -qec "chromafs-maintain $IGNORE --no-commit --no-rebuild-hnsw --no-clean-orphans '$DIR'" terminal <keys >/dev/null 2>&1 &
    run=$!
    exec 5>keys
    wait_until is_cleaning
    printf '\003' >&5
    wait "$run" || :
    exec 5>&-
    wait_until has_no_daemon "$DIR"
    assert_old Ctrl-C
}

on_a_mount() {
    mount_dir "$DIR" "$MNT"
    start "$IGNORE" --no-commit --no-rebuild-hnsw --no-clean-orphans "$MNT"
    wait_until is_running clean
    kill "$run"
    wait "$run" || :
    assert_eq null "$(status .running)" 'what runs when the run has ended'
    assert_eq "$before" "$(contents_of "$DIR")" 'the directory after SIGTERM, with a mount'
    mountpoint -q "$MNT" || fail 'it was unmounted'
    # Somebody stops it through the mount: the others don't go on.
    start "$IGNORE" --no-commit --no-rebuild-hnsw "$MNT"
    wait_until is_running clean
    put "$MNT/cancel" 1
    status=0
    wait "$run" || status=$?
    assert_eq 1 "$status" 'status after cancel'
    assert_contains started.err 'clean: clean was cancelled'
    assert_nothing_left
    unmount
}

# Its writer goes on until the operation is over, and keeps both locks; the next run then clears up.
killed() {
    start "$IGNORE" --no-commit --no-rebuild-hnsw --no-clean-orphans "$DIR"
    wait_until is_cleaning
    kill -KILL "$run"
    wait "$run" 2>/dev/null || :
    run_maintain "$DIR"
    assert_eq 75 "$STATUS" 'status while the writer of a killed run works'
    assert_contains err 'another chromafs-maintain works on'
    # shellcheck disable=SC2317  # it is called by its name
    recover() { run_maintain "$IGNORE" --no-commit --no-rebuild-hnsw --no-clean --no-clean-orphans "$DIR" && [ "$STATUS" -eq 0 ]; }
    wait_until recover
    assert_nothing_left
    wait_until has_no_daemon "$DIR"
    assert_eq clean:done "$(operations "$DIR" | tr ' ' '\n' | grep . | tail -n 1)" 'the operation of a killed run'
    assert_sound "$DIR"
    for delay in 0 0.05 0.1 0.2 0.3 0.5; do
        start -n "$DIR"
        sleep "$delay"
        kill -KILL "$run" 2>/dev/null || :
        wait "$run" 2>/dev/null || :
    done
    # What a program that it had started still holds is for a later run.
    # shellcheck disable=SC2317
    is_tidy() { recover && (assert_nothing_left); }
    wait_until is_tidy
    wait_until has_no_daemon "$DIR"
    prepare
}

# The daemon dies: it is told, and the directory is as it was.
daemon_killed() {
    start "$IGNORE" --no-commit --no-rebuild-hnsw --no-clean-orphans "$DIR"
    wait_until is_cleaning
    # shellcheck disable=SC2046  # numbers
    kill -KILL $(daemons_of "$DIR")
    status=0
    wait "$run" || status=$?
    assert_eq 1 "$status" "status after the death of the daemon: $(cat started.err)"
    assert_contains started.err 'clean: '
    assert_nothing_left
    assert_eq "$before" "$(contents_of "$DIR")" 'the directory after the death of the daemon'
}

# It is stopped, so that it is there as long as it must be.
two_at_once() {
    start "$IGNORE" --no-commit --no-rebuild-hnsw --no-clean-orphans "$DIR"
    wait_until is_cleaning
    kill -STOP "$run"
    ln -sfn "$DIR" link
    mount_dir "$DIR" "$MNT"
    # By another path, and by a mount.
    for path in "$DIR" link/ "$MNT"; do
        run_maintain "$path"
        assert_eq 75 "$STATUS" "status of a second one on $path"
        assert_eq 1 "$(wc -l <err)" "lines on stderr: $(cat err)"
        assert_contains err 'another chromafs-maintain works on'
    done
    kill -CONT "$run"
    wait "$run" || fail "status $? of the first one: $(cat started.err)"
    assert_nothing_left
    # Another user, or another mount: its operation is in the way.
    flock -F "$DIR" sleep 600 &
    holder=$!
    # shellcheck disable=SC2317  # it is called by its name
    is_locked() { ! flock -n "$DIR" true; }
    wait_until is_locked
    for path in "$DIR" "$MNT"; do
        assert_maintain 75 'commit: another operation runs on this directory' "$path"
    done
    kill "$holder"
    wait "$holder" || :
    unmount
    wait_until has_no_daemon "$DIR"
}

prepare() {
    rm -rf "$WORK/chroma-1.5.9"
    copy_fixture chroma-1.5.9
    fill_log "$DIR" "$ROWS"
    before=$(contents_of "$DIR")
}

prepare
for part in ${PARTS:-signals terminal on_a_mount killed daemon_killed two_at_once}; do
    note "$part"
    "$part"
done
prepare
before=$(rows "$DIR")
maintain "$IGNORE" "$DIR"
[ "$(rows "$DIR")" -lt "$before" ] || fail 'nothing was deleted in the end'
assert_sound "$DIR"
