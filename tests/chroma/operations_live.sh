#!/bin/sh
# Operations beside a live Chroma: it is found, idle or not, of another user, in other namespaces; one that starts in the middle waits and then
# works; with force=1 nothing that it writes is lost; and backups that are made while it writes are whole, which real Chroma says of each.
# FULL=1 makes more backups.
# limit: 600
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"
need_root

PYTHON=$("$CHROMAFS_CHROMA/venvs.sh" --path "$SUBJECT")/bin/python
BACKUPS=6
[ "${FULL-}" != 1 ] || BACKUPS=50

# --- a live Chroma --------------------------------------------------------

phase() {
    echo "$1" >"$CONTROL/phase.new"
    mv "$CONTROL/phase.new" "$CONTROL/phase"
}

is_at() {
    ! has_failed || fail "Chroma failed: $(tail -n 15 "$CONTROL/err")"
    [ "$(cat "$CONTROL/at" 2>/dev/null)" = "$1" ]
}

has_failed() { ! kill -0 "$CHROMA" 2>/dev/null; }

# go_on PHASE: and waits until it is there
go_on() {
    phase "$1"
    wait_until is_at "$1"
}

write_a_little() {
    go_on write-a-little
    sleep 1
    go_on idle-again
}

# start_chroma NAME PHASE [COMMAND...]: with it in front of Python's; sets CONTROL, and CHROMA to a pid
start_chroma() {
    CONTROL=$WORK/$1
    mkdir -m 1777 "$CONTROL"
    phase "$2"
    first=$2
    shift 2
    "$@" "$PYTHON" "$CHROMAFS_CHROMA/operations_writer.py" "$DIR" "$CONTROL" >"$CONTROL/out" 2>"$CONTROL/err" &
    CHROMA=$!
    wait_until is_at "$first"
}

end_chroma() {
    phase stop
    wait "$CHROMA" || fail "Chroma failed: $(tail -n 15 "$CONTROL/err")"
}

# check_all CONTROL DIR: Chroma, in a new process, has everything that was written
check_all() {
    rm -rf "$WORK/checked"
    cp -a "$2" "$WORK/checked"
    echo "$WORK/checked" | chroma "$SUBJECT" "$CHROMAFS_CHROMA/operations_check.py" "$1/journal"
    assert_sound "$2"
}

# result CONTROL FILTER: of its last run
result() { grep -v '^#' "$MNT/$1" | jq -r ".result | $2"; }

# --- it is found ----------------------------------------------------------

# assert_found WHAT [PID COMMAND]
assert_found() {
    fingerprint "$DIR" >"$WORK/before"
    for control in clean rebuild-fts clean-orphans; do
        assert_status 1 bash -c "echo 1 > '$MNT/$control'"
        assert_contains "$WORK/err" "$(errno_text EBUSY)"
        assert_said "$control: "
        assert_said 'open for writing'
        [ $# -eq 1 ] || assert_said "pid $2 ($3)"
    done
    assert_status 0 bash -c "echo dry_run=1 > '$MNT/clean'"
    assert_eq true "$(result clean '.in_use_by != null')" "a dry run beside $1"
    fingerprint "$DIR" | diff "$WORK/before" - >&2 || fail "changed beside $1"
}

find_it() {
    start_chroma first idle
    assert_found 'a process that does nothing' "$CHROMA" "$(cat "/proc/$CHROMA/comm")"
    write_a_little
    assert_found 'a process that has written' "$CHROMA" "$(cat "/proc/$CHROMA/comm")"
    end_chroma
    check_all "$CONTROL" "$DIR"
}

find_others() {
    chown -R 65534:65534 "$DIR"
    # The environment of Python may be in a home that is closed to others.
    start_chroma other idle setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=+dac_read_search --ambient-caps=+dac_read_search
    assert_eq 65534 "$(stat -c %u "/proc/$CHROMA")" 'user of Chroma'
    write_a_little
    assert_found 'a process of another user' "$CHROMA" "$(cat "/proc/$CHROMA/comm")"
    end_chroma
    assert_status 0 bash -c "echo 1 > '$MNT/clean'"
    assert_eq 65534 "$(stat -c %u "$DIR/chroma.sqlite3")" 'owner of the database'
    check_all "$CONTROL" "$DIR"
    chown -R 0:0 "$DIR"

    start_chroma inside idle unshare -mpf --mount-proc --kill-child
    write_a_little
    assert_found 'a process in other namespaces'
    end_chroma
    check_all "$CONTROL" "$DIR"
}

# --- it starts in the middle ----------------------------------------------

is_in_phase() { [ "$(status .running.phase)" = "$1" ]; }

start_in_the_middle() {
    fill_log "$DIR" 600000
    start_chroma middle wait
    start_writer clean 1
    wait_until is_in_phase deleting
    phase write-middle
    end_writer 0
    wait_until is_at write-middle
    sleep 1
    end_chroma
    [ "$(rows_of_log "$DIR")" -lt 100000 ] || fail 'nothing was deleted'
    check_all "$CONTROL" "$DIR"
}

# --- with force=1 ---------------------------------------------------------

rows() { sqlite3 -readonly -cmd '.timeout 20000' "$DIR/chroma.sqlite3" 'SELECT count(*) FROM embeddings_queue'; }

# Else the log is always short.
turn_purge_off() {
    change "$DIR" "UPDATE embeddings_queue_config SET config_json_str = json_set(config_json_str, '$.automatically_purge', json('false'))"
    assert_eq false "$(cat "$MNT/config/automatically_purge")" automatically_purge
}

# force CONTROL: an operation that finds a commit whenever it wants to begin gives up, and says so: then once more.
force() {
    for _ in $(seq 10); do
        if put "$MNT/$1" force=1 2>"$WORK/force.err"; then
            assert_eq true "$(result "$1" '.in_use_by != null')" "$1 force=1: in_use_by"
            return
        fi
        assert_contains "$WORK/force.err" "$(errno_text EBUSY)"
        note "$(cat "$MNT/last_error")"
    done
    fail "$1 force=1: $(cat "$MNT/last_error")"
}

force_beside_a_writer() {
    turn_purge_off
    start_chroma forced write-before
    sleep 2
    phase write-slowly-forced
    deleted=0
    for _ in 1 2 3; do
        rows=$(rows)
        force clean
        note "clean: $rows rows, $(result clean '"\(.rows_deleted) deleted, \(.kept) collections keep theirs"')"
        deleted=$((deleted + $(result clean .rows_deleted)))
        force rebuild-fts
        sleep 1
    done
    [ "$deleted" -gt 0 ] || fail 'clean force=1 has deleted nothing'
    phase write-slowly-after
    sleep 2
    end_chroma
    cat "$CONTROL/out"
    check_all "$CONTROL" "$DIR"
}

# --- backups --------------------------------------------------------------

now() { date +%s.%N; }

check_backups() {
    while read -r backup _; do
        assert_sound "$backup"
        jq -e . "$backup/chromafs-manifest.json" >/dev/null || fail "$backup: no manifest"
    done <"$WORK/backups"
    chroma "$SUBJECT" "$CHROMAFS_CHROMA/operations_check.py" "$CONTROL/journal" <"$WORK/backups" || fail 'a backup is not whole'
}

back_up_under_load() {
    start_chroma loaded write-alone
    sleep 4
    for i in $(seq "$BACKUPS"); do
        phase write-under-backups
        from=$(now)
        put "$MNT/backup" "to=$WORK/backup-$i" || fail "backup: $(cat "$MNT/last_error")"
        echo "$WORK/backup-$i $from $(now)" >>"$WORK/backups"
        note "backup $i: $(result backup '"\(.seconds) s, \(.tries) tries, \(.status)"')"
        assert_eq complete "$(result backup .status)" "status of backup $i"
        phase write-alone
        sleep 0.5
    done
    end_chroma
    cat "$CONTROL/out"
    check_backups
    check_all "$CONTROL" "$DIR"
}

copy_fixture "chroma-$SUBJECT"
chmod 755 "$DIR"
mount_dir "$DIR" "$MNT"
for step in ${STEPS:-find_it find_others start_in_the_middle force_beside_a_writer back_up_under_load}; do
    note "$step"
    "$step"
done
