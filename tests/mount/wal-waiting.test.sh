#!/bin/sh
# A stat of a wal.jsonl waits until the log is measured, and nobody else does: fifty of them keep nobody from listing and reading. Ctrl-C
# ends one that waits, a resized terminal does not, and the mount can end under them. The thread that measures is stopped for this, so
# that nothing depends on how fast it is.
# skip-allowed: one may not be allowed to trace a process
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal.sh
. "${CHROMAFS_LIB%/*}/helpers/wal.sh"

# start FILE...: a process that waits for each; $waiters lists them, what they say is in said.PID
start() {
    waiters=
    for path; do
        number=$((number + 1))
        : >"said.$number"
        # not through helper, whose process would be a shell's
        # shellcheck disable=SC2086  # the wrapper is a command and its options
        ${CHROMAFS_WRAPPER-} "${CHROMAFS_HELPERS:-${CHROMAFS%/*}/tests/mount/helpers}/wal_wait" "$path" >"said.$number" 2>&1 8>&- &
        waiters="$waiters $!"
        wait_until grep -q waiting "said.$number"
    done
}

ended() { ! kill -0 "$1" 2>/dev/null; }

# hold: from now on the newest row is not measured
hold() {
    freeze "$thread"
    next=$(($(sql "$DIR" 'SELECT max(seq_id) FROM embeddings_queue') + 1))
    add_rows "$DIR" "$A" "$next" "$next" "'{}'"
}

# waits PID: it has not ended, and does nothing
waits() { kill -0 "$1" && grep -q '^State:.[SD]' "/proc/$1/status"; }

# Everything else goes on, however long that lasts.
check_others() {
    timeout 20 ls -R "$MNT" >listed || fail 'ls -R waits'
    assert_contains listed wal.jsonl
    timeout 20 cat "$MNT/README" "$MNT/collections/space_l2/config/space" "$MNT"/segments/*/labels >/dev/null || fail 'cat waits'
    timeout 20 stat -f "$MNT" >/dev/null || fail 'statfs waits'
    timeout 20 cat "$MNT/info.json" >info.json || fail 'info.json waits'
    timeout 20 cat "$MNT/collections/space_l2/info.json" >/dev/null || fail 'info.json of a collection waits'
}

# bytes_of FILE: as many as are read; wc alone would ask stat
bytes_of() {
    cat "$1" >bytes
    wc -c <bytes
}

fifty_stats() {
    hold
    # shellcheck disable=SC2046  # paths without blanks
    start $(for _ in $(seq 10); do echo "$MNT/wal.jsonl" "$(wal_of "$A")" "$(wal_of "$B")" "$MNT/wal.jsonl" "$(wal_of "$A")"; done)
    check_others
    for pid in $waiters; do waits "$pid" || fail 'a stat did not wait'; done
    thaw
    for pid in $waiters; do wait "$pid" || fail 'a stat failed'; done
    assert_eq 20 "$(cat said.* | grep -c "^size $(bytes_of "$MNT/wal.jsonl") after 0")" 'stats of the root'
    assert_eq 20 "$(cat said.* | grep -c "^size $(bytes_of "$(wal_of "$A")") after 0")" 'stats of A'
    rm said.*
}

# What is open tells its old size rather than to wait for ever: the row is not there until it is measured.
open_file() {
    exec 5<"$MNT/wal.jsonl"
    size=$(size_of_fd 5)
    hold
    assert_eq "$size" "$(timeout 20 stat -L -c %s /proc/self/fd/5)" 'size of an open file while it is not measured'
    helper wal_pread 0 100 <&5 >/dev/null || fail 'an open file can not be read'
    thaw
    wait_until sh -c "[ \"\$(stat -L -c %s /proc/self/fd/5)\" -gt $size ]" 5<&5
    exec 5<&-
}

signals() {
    hold
    start "$(wal_of "$B")"
    waiter=${waiters# }
    wait_until waits "$waiter"
    kill -WINCH "$waiter"
    kill -USR1 "$waiter"
    sleep 0.3
    waits "$waiter" || fail 'a resized terminal ended a stat'
    kill -INT "$waiter"
    wait_until ended "$waiter"
    status=0
    wait "$waiter" || status=$?
    assert_eq 130 "$status" 'status after Ctrl-C'
    start "$(wal_of "$B")"
    waiter=${waiters# }
    kill -WINCH "$waiter"
    sleep 0.1
    thaw
    wait "$waiter" || fail 'a stat failed because of a signal'
    grep -q "^size [0-9]* after 1" said.* || fail 'no signal came'
    rm said.*
}

# end_under HOW...: those that wait fail, none hangs, the daemon ends
end_under() {
    hold
    start "$MNT/wal.jsonl" "$(wal_of "$A")" "$(wal_of "$B")"
    "$@"
    thaw
    for pid in $waiters; do
        wait_until ended "$pid"
        wait "$pid" || :
    done
    status=0
    wait "$daemon" || status=$?
    assert_eq 0 "$status" "status of the daemon after $*"
    forget_daemon "$MNT"
}

remount() {
    mount_dir "$DIR" "$MNT"
    daemon=$DAEMON
    thread=$(measuring_thread "$DIR" "$A")
}

number=0
copy_fixture chroma-1.5.9
A=$(id_of "$DIR" space_l2) B=$(id_of "$DIR" types)
remount
helper wal_freeze "$thread" </dev/null >/dev/null 2>err || skip "no process may be traced here: $(cat err)"
fifty_stats
open_file
signals
note 'ended by a signal'
end_under kill -TERM "$daemon"
note 'a lazy unmount'
remount
end_under fusermount3 -uz "$MNT"
