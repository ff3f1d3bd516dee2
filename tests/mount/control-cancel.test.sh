#!/bin/sh
# What ends an operation, and what does not: `cancel`, signals that end the writer, the end of the daemon; a resized terminal and Ctrl-Z do not.
# Whatever ended it, the directory is as it was.
# limit: 400
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"

ROWS=1000000

begin() {
    start_writer clean "${1-1}"
    wait_until has_started clean
}

is_idle() { [ "$(status .running)" = null ]; }

# assert_old WHAT: nothing runs, and all is as it was
assert_old() {
    assert_eq null "$(status .running)" "running after $1"
    assert_eq "$before" "$(contents_of "$DIR")" "the directory after $1"
}

# assert_canceled WHAT
assert_canceled() {
    assert_eq 'canceled ECANCELED' "$(status '.last.status + " " + .last.errno')" "the outcome after $1"
    assert_old "$1"
}

copy_fixture chroma-1.5.9
fill_log "$DIR" "$ROWS"
before=$(contents_of "$DIR")
mount_dir "$DIR" "$MNT"

# --- from another shell ---------------------------------------------------

assert_status 0 bash -c "echo 1 > '$MNT/cancel'"
begin
assert_status 0 bash -c "echo 1 > '$MNT/cancel'"
assert_eq null "$(status .running)" 'what runs when cancel has returned'
end_writer 1 'write error: Operation canceled'
assert_canceled cancel
assert_said 'clean: '

begin
assert_status 0 bash -c "echo dry_run=1 > '$MNT/cancel'"
assert_eq clean "$(status .running.operation)" 'what a dry run of cancel stopped'
assert_errno EINVAL put "$MNT/cancel" '# a comment'
assert_errno EINVAL put "$MNT/cancel" 'other=1'
put "$MNT/cancel" 1
end_writer 1

# --- Python's second try at close is the same failure ---------------------

python3 -c "
with open('$MNT/clean', 'w') as f:
    f.write('1\n')" 2>python.err &
WRITER=$!
wait_until has_started clean
runs=$(wc -l <"$MNT/history.jsonl")
put "$MNT/cancel" 1
status=0
wait "$WRITER" || status=$?
assert_eq 1 "$status" 'status of Python'
assert_contains python.err 'OSError: [Errno 125] Operation canceled'
assert_eq "$((runs + 1))" "$(wc -l <"$MNT/history.jsonl")" 'runs of a write that Python sent twice'
assert_canceled "Python's second try"

# --- signals of the writer ------------------------------------------------

for signal in INT TERM HUP KILL; do
    begin
    kill -"$signal" "$WRITER"
    writer_status=0
    wait "$WRITER" || writer_status=$?
    [ "$writer_status" -ne 0 ] || fail "the writer survived SIG$signal"
    wait_until is_idle
    assert_canceled "SIG$signal"
done

# Of a terminal: its user types Ctrl-C, and bash runs the echo itself.
mkfifo keys
env --default-signal=INT,QUIT script -qec "bash -c 'echo 1 > \"$MNT/clean\"'" terminal <keys >/dev/null 2>&1 &
SCRIPT=$!
exec 5>keys
wait_until has_started clean
printf '\003' >&5
wait "$SCRIPT" || :
exec 5>&-
wait_until is_idle
assert_canceled Ctrl-C

begin dry_run=1
for signal in WINCH CHLD TSTP CONT STOP CONT WINCH; do kill -"$signal" "$WRITER"; done
end_writer 0
assert_eq "done" "$(status .last.status)" 'the outcome in a resized terminal, stopped and continued'
assert_old 'a resized terminal'

# --- the daemon -----------------------------------------------------------

begin
kill -TERM "$(daemon_of "$MNT")"
end_writer 1
wait "$(daemon_of "$MNT")" || fail 'the daemon ended with an error'
forget_daemon "$MNT"
! findmnt -n "$MNT" || fail 'still mounted'
assert_eq "$before" "$(contents_of "$DIR")" 'the directory after SIGTERM'
assert_eq canceled "$(tail -n 1 "$DIR/.chromafs/history.jsonl" | jq -r .status)" 'the history after SIGTERM'

mount_dir "$DIR" "$MNT"
begin
worker=$(pgrep -P "$(daemon_of "$MNT")")
kill_daemon "$MNT"
has_ended() { ! kill -0 "$worker" 2>/dev/null; }
wait_until has_ended
end_writer 1
assert_eq "$before" "$(contents_of "$DIR")" 'the directory after kill -9 of the daemon'

# The worker alone: the writer learns of it.
mount_dir "$DIR" "$MNT"
begin
kill -KILL "$(pgrep -P "$(daemon_of "$MNT")")"
end_writer 1 'Input/output error'
assert_said 'signal 9'
assert_eq 'clean 1 false failed EIO' "$(status '.last | [.operation, .options, .dry_run, .status, .errno] | map(tostring) | join(" ")')" 'the outcome of a worker that was killed'
status .last.sentence | grep -q 'signal 9' || fail 'the sentence of a worker that was killed'
assert_eq "$(status .last.sentence)" "$(grep -v '^#' "$MNT/clean" | jq -r .sentence)" 'what the control says of it'
assert_old 'kill -9 of the worker'

assert_sound "$DIR"
begin
end_writer 0
assert_eq "done" "$(status .last.status)" 'the outcome in the end'
unmount
[ "$(rows_of_log "$DIR")" -lt "$ROWS" ] || fail 'nothing was deleted'
assert_sound "$DIR"
