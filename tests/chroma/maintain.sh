#!/bin/sh
# chromafs-maintain beside a live Chroma: refused while that has the directory open, idle or writing, with nothing changed; after its end it works, and Chroma has every
# record that was written, by steps that alternate, and answers what it did before.
# limit: 600
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"
# shellcheck source=tests/mount/helpers/maintain.sh
. "${CHROMAFS_LIB%/*}/helpers/maintain.sh"

PYTHON=$("$CHROMAFS_CHROMA/venvs.sh" --path "$SUBJECT")/bin/python

phase() {
    echo "$1" >"$CONTROL/phase.new"
    mv "$CONTROL/phase.new" "$CONTROL/phase"
}

is_at() {
    kill -0 "$CHROMA" 2>/dev/null || fail "Chroma failed: $(tail -n 15 "$CONTROL/err")"
    [ "$(cat "$CONTROL/at" 2>/dev/null)" = "$1" ]
}

go_on() {
    phase "$1"
    wait_until is_at "$1"
}

# start_chroma NAME: a process that has the directory open, and does nothing yet; sets CONTROL and CHROMA
start_chroma() {
    CONTROL=$WORK/$1
    mkdir "$CONTROL"
    phase idle
    "$PYTHON" "$CHROMAFS_CHROMA/operations_writer.py" "$DIR" "$CONTROL" >"$CONTROL/out" 2>"$CONTROL/err" &
    CHROMA=$!
    wait_until is_at idle
}

end_chroma() {
    phase stop
    wait "$CHROMA" || fail "Chroma failed: $(tail -n 15 "$CONTROL/err")"
}

# check_all DIR: Chroma, in a new process, has everything that was written, by all processes
check_all() {
    for journal in "$WORK"/writer-*/journal; do
        rm -rf "$WORK/checked"
        cp -a "$1" "$WORK/checked"
        echo "$WORK/checked" | chroma "$SUBJECT" "$CHROMAFS_CHROMA/operations_check.py" "$journal"
    done
    assert_sound "$1"
}

# answers FILE: of Chroma, on a copy, but for what maintenance may change: the fixture has collections whose vectors Chroma itself loses
answers() {
    rm -rf "$WORK/asked"
    cp -a "$DIR" "$WORK/asked"
    chroma "$SUBJECT" "$CHROMAFS_CHROMA/answers.py" "$WORK/asked" >"$1"
}

assert_refused_beside() {
    assert_maintain 75 "pid $CHROMA (" "$DIR"
    assert_contains "$WORK/err" 'open for writing: end it first'
}

copy_fixture "chroma-$SUBJECT"
for turn in 1 2; do
    note "turn $turn"
    start_chroma "writer-$turn"
    fingerprint "$DIR" >"$WORK/before"
    assert_refused_beside
    run_maintain -n "$DIR"
    assert_eq '0 ' "$STATUS $(cat "$WORK/err")" 'status and errors of a dry run'
    assert_contains "$WORK/out" "pid $CHROMA ("
    fingerprint "$DIR" | diff "$WORK/before" - >&2 || fail 'changed beside an idle Chroma'
    go_on write-now
    sleep 2
    assert_refused_beside
    go_on write-slowly-now
    sleep 1
    # It waits for writers at most as long as a reader does, and the backup is of one moment.
    run_maintain --backup="$WORK/backup-$turn" "$DIR"
    assert_eq 75 "$STATUS" "status with a backup: $(cat "$WORK/err")"
    assert_sound "$WORK/backup-$turn"
    end_chroma
    answers "$WORK/answers.before"
    log=$(rows "$DIR")
    # In the second turn what the first one has built is torn, in ways that lose no vector.
    if [ "$turn" -eq 2 ]; then
        tear "$DIR" fragmented link_lists.bin 7
        tear "$DIR" docs header.bin 10
    fi
    maintain "$DIR"
    grep -qF '"operation":"rebuild-hnsw","collection":"' "$DIR/.chromafs/history.jsonl" || fail 'no index was made anew'
    [ "$(rows "$DIR")" -lt "$log" ] || fail 'the log is as long as before'
    answers "$WORK/answers.after"
    python3 "$CHROMAFS_CHROMA/maintain.py" "$WORK/answers.before" "$WORK/answers.after"
    check_all "$DIR"
    before=$(contents_of "$DIR")
    maintain "$DIR"
    assert_eq "$before" "$(contents_of "$DIR")" 'the directory after a second run'
done
