#!/bin/sh
# One operation at a time: another control is refused at once, the same one waits, another mount of the directory is refused; and so is everything while
# another process has the database open for writing, which is named.
# limit: 240
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"

copy_fixture chroma-1.5.9
fill_log "$DIR" 400000
mount_dir "$DIR" "$MNT"
mount_dir "$DIR" "$WORK/second"

# --- beside an operation --------------------------------------------------

start_writer clean dry_run=1
wait_until is_running clean
for control in clean-orphans collections/types/clean; do
    assert_status 1 bash -c "echo dry_run=1 > '$MNT/$control'"
    assert_contains "$WORK/err" 'Device or resource busy'
    assert_said "$control: clean runs in this mount"
done
assert_errno EBUSY put "$WORK/second/clean" 1
assert_said 'clean: ' "$WORK/second"
# Whatever else the mount has is there meanwhile.
head -n 1 "$MNT/clean" >first
assert_contains first '# clean: '
assert_eq clean "$(jq -r .running.operation "$MNT/status.json")" 'what runs'
assert_eq l2 "$(cat "$MNT/collections/types/config/space")" 'a file that needs the database'
assert_eq clean "$(status .running.operation)" 'what still runs'
# A second writer of the same control waits for the first.
assert_status 0 bash -c "echo dry_run=1 > '$MNT/clean'"
end_writer 0
assert_eq null "$(status .running)" running

# --- ten shells -----------------------------------------------------------

for i in 0 1 2 3 4 5 6 7 8 9; do
    mount=$MNT control=clean
    [ $((i % 2)) -eq 0 ] || mount=$WORK/second
    [ $((i % 3)) -eq 0 ] || control=clean-orphans
    bash -c "echo 1 > '$mount/$control'" 2>"shell.$i" &
    eval "shell_$i=\$!"
done
good=0
for i in 0 1 2 3 4 5 6 7 8 9; do
    eval "pid=\$shell_$i"
    status=0
    # shellcheck disable=SC2154  # eval set it
    wait "$pid" || status=$?
    [ "$status" -ne 0 ] || good=$((good + 1))
    [ "$status" -eq 0 ] || assert_contains "shell.$i" 'Device or resource busy'
done
[ "$good" -gt 0 ] || fail 'none of ten shells came through'
assert_eq "$good" "$(jq -r 'select(.status == "done") | .status' "$MNT/history.jsonl" | wc -l)" 'runs in the history'
assert_sound "$DIR"

# --- beside a process that writes -----------------------------------------

sh -c 'exec sleep 600' 7<>"$DIR/chroma.sqlite3" &
holder=$!
holds() { [ "$(readlink "/proc/$holder/fd/7")" = "$(readlink -f "$DIR")/chroma.sqlite3" ] && [ "$(cat "/proc/$holder/comm")" = sleep ]; }
wait_until holds
before=$(contents_of "$DIR")
for control in clean rebuild-fts clean-orphans; do
    assert_status 1 bash -c "echo 1 > '$MNT/$control'"
    assert_contains "$WORK/err" 'Device or resource busy'
    assert_said "$control: "
    assert_said "$holder"
    assert_said sleep
done
assert_eq "$before" "$(contents_of "$DIR")" 'the directory'
assert_status 0 bash -c "echo dry_run=1 > '$MNT/clean'"
kill "$holder"
wait "$holder" || :
assert_status 0 bash -c "echo 1 > '$MNT/clean'"
# A reader is no writer.
sh -c 'exec sleep 600' 7<"$DIR/chroma.sqlite3" &
holder=$!
wait_until holds
assert_status 0 bash -c "echo 1 > '$MNT/clean'"
kill "$holder"
wait "$holder" || :
unmount "$WORK/second"
unmount
