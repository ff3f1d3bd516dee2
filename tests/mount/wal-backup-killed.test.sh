#!/bin/sh
# chromafs-wal-backup is killed at any time, ended by signals, or run twice at once: complete generations stay as they are, the next run
# clears up, and a lock never stays.
# limit: 300
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal_backup.sh
. "${CHROMAFS_LIB%/*}/helpers/wal_backup.sh"

SLOW=--rsync-option=--bwlimit=300

# start ARGUMENT...: in the background, to dest; its pid is in $run
start() {
    chromafs-wal-backup "$@" >started.out 2>started.err &
    run=$!
}

is_copying() { find "$1" -path '*/2*Z*/.wal.jsonl.*' | grep -q .; }

has_unfinished() { find "$1" -mindepth 1 -maxdepth 1 -name '2*Z*' ! -exec test -e '{}/MANIFEST' \; -print | grep -q .; }

is_mounted_in_tmp() { grep -qF "$TMPDIR/chromafs-wal-backup." /proc/self/mountinfo; }

# end_children PID: kills it, and what it has started but the daemon, as the kernel would for want of memory
end_children() {
    children=$(pgrep -P "$1" rsync) || :
    # shellcheck disable=SC2086  # numbers
    kill -KILL "$1" $children 2>/dev/null || :
    wait "$1" 2>/dev/null || :
}

# backs_up ARGUMENT...: false while another one writes
backs_up() {
    run_backup "$@"
    [ "$STATUS" -ne 75 ]
}

# recover FOLDER ARGUMENT...: the next run makes a generation and leaves nothing
recover() {
    folder=$1
    shift
    wait_until backs_up "$@"
    assert_eq 0 "$STATUS" "status after $how: $(cat err)"
    assert_nothing_left
    assert_fails has_unfinished "$folder"
    for name in $(generations "$folder"); do
        assert_generation "$folder/$name"
    done
    assert_generation "$first"
    assert_eq "$before" "$(logs "$first")" "the first generation after $how"
}

kill_in_the_middle() {
    how='SIGKILL while it copies'
    start "$SLOW" "$DIR" dest
    wait_until is_copying dest
    end_children "$run"
    assert_ok has_unfinished dest
    assert_ok is_mounted_in_tmp
    recover dest "$DIR" dest
}

# Its rsync goes on, and holds the lock until it ends.
kill_the_script_alone() {
    how='SIGKILL of the script alone'
    start "$SLOW" "$DIR" dest
    wait_until is_copying dest
    children=$(pgrep -P "$run" rsync)
    kill -KILL "$run"
    wait "$run" 2>/dev/null || :
    run_backup "$DIR" dest
    assert_eq 75 "$STATUS" 'status while an rsync without its script writes'
    # shellcheck disable=SC2086  # numbers
    kill -KILL $children
    recover dest "$DIR" dest
}

kill_at_any_time() {
    for delay in 0 0.02 0.05 0.1 0.15 0.2 0.25 0.3 0.35 0.4 0.5 0.6 0.7; do
        how="SIGKILL after $delay s"
        add_rows "$DIR" docs 1
        start "$DIR" dest
        sleep "$delay"
        end_children "$run"
        run_backup "$DIR" dest
    done
    recover dest "$DIR" dest
}

end_by_signals() {
    for signal in TERM:143 HUP:129; do
        how=SIG$signal
        start "$SLOW" "$DIR" dest
        wait_until is_copying dest
        kill -"${signal%:*}" "$run"
        status=0
        wait "$run" || status=$?
        assert_eq "${signal#*:}" "$status" "status after $how"
        assert_nothing_left
        assert_fails has_unfinished dest
        assert_eq "$before" "$(logs "$first")" "the first generation after $how"
    done
}

run_two_at_once() {
    start "$SLOW" "$DIR" dest
    wait_until is_copying dest
    run_backup "$DIR" ./dest/
    assert_eq 75 "$STATUS" 'status of the second'
    assert_eq 1 "$(wc -l <err)" "lines on stderr: $(cat err)"
    assert_contains err 'another one'
    # Elsewhere it may go; it does not take the mount of the first, nor for a leftover.
    run_backup -v "$DIR" elsewhere
    assert_eq 0 "$STATUS" "status of one to another folder: $(cat err)"
    assert_eq 1 "$(grep -c "the log is read from $TMPDIR/" out)" 'a mount of its own'
    assert_ok is_mounted_in_tmp
    kill "$run"
    wait "$run" || :
    assert_nothing_left
}

# The same at a remote, where what was begun has its final name.
kill_at_a_remote() {
    # shellcheck disable=SC2016  # another shell's variable
    printf '#!/bin/sh\nshift\nexec sh -c "$*"\n' >shell
    chmod +x shell
    shell=--rsync-option=-e$WORK/shell
    how='SIGKILL while it copies to a remote'
    start "$SLOW" "$shell" "$DIR" "host:$WORK/remote"
    wait_until is_copying remote
    run_backup "$shell" "$DIR" "host:$WORK/remote"
    assert_eq 75 "$STATUS" 'status of the second to a remote'
    end_children "$run"
    recover remote "$shell" "$DIR" "host:$WORK/remote"
    assert_eq 1 "$(generations remote | wc -l)" 'generations at the remote'
    how='SIGTERM while it copies to a remote'
    add_rows "$DIR" docs 3000 600
    start "$SLOW" "$shell" "$DIR" "host:$WORK/remote"
    wait_until is_copying remote
    kill "$run"
    wait "$run" || :
    assert_nothing_left
    recover remote "$shell" "$DIR" "host:$WORK/remote"
}

copy_fixture chroma-1.5.9
back_up "$DIR" dest
first=dest/$GENERATION
before=$(logs "$first")
add_rows "$DIR" types 4000 600
for part in kill_in_the_middle kill_the_script_alone end_by_signals run_two_at_once kill_at_a_remote kill_at_any_time; do
    note "$part"
    "$part"
    # What the next part copies is to be new again.
    find dest -mindepth 1 -maxdepth 1 -type d ! -path "$first" -exec rm -rf {} +
done
