#!/bin/sh
# A live Chroma adds, updates, deletes, purges, makes and deletes collections under readers of every wal.jsonl, tail -f and rsync: it never
# fails, no reader sees a wrong row, and in the end each wal.jsonl is what Python makes of the table. How long its writes took is told:
# without readers, with the same readers of ordinary files, and with those of the mount.
# limit: 300
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

SECONDS_IN_ALL=${WAL_LIVE_SECONDS:-60}
ROUNDS=5
PHASE_SECONDS=$((SECONDS_IN_ALL / ROUNDS / 3))
[ "$PHASE_SECONDS" -ge 1 ] || PHASE_SECONDS=1

# phase NAME: Chroma's writes belong to it from now on
phase() {
    echo "$1" >"$WORK/phase.new"
    mv "$WORK/phase.new" "$WORK/phase"
}

# until_stopped COMMAND...: over and over
until_stopped() {
    until [ -e "$WORK/stop-readers" ]; do "$@" || :; done
}

# Whole lines only: rows may leave under tail when it is in the middle of one.
follow() {
    timeout 1 tail -n 5 -s 0.1 -f "$1/wal.jsonl" >"$WORK/tail.out" 2>>"$WORK/tail.errors" || :
    head -n "$(wc -l <"$WORK/tail.out")" "$WORK/tail.out" >>"$WORK/tailed"
}

synchronize() {
    copy "$1/wal.jsonl"
    copy --relative "$1"/./by-id/*/wal.jsonl
    sleep 0.2
}

# copy ARGUMENT...: with rsync, which never has to wait long
copy() {
    copy_status=0
    timeout -k 5 30 rsync -aL "$@" "$WORK/rsync/" 2>>"$WORK/rsync.errors" || copy_status=$?
    [ "$copy_status" -ne 124 ] || echo "rsync waits for ever: $*" >>"$WORK/hung"
}

# read_for SECONDS FOLDER
read_for() {
    rm -f "$WORK/stop-readers"
    python3 "$CHROMAFS_CHROMA/wal_readers.py" "$2" "$DIR" "$WORK/stop-readers" >>"$WORK/readers.log" 2>&1 &
    pids=$!
    until_stopped follow "$2" &
    pids="$pids $!"
    until_stopped synchronize "$2" &
    pids="$pids $!"
    sleep "$1"
    touch "$WORK/stop-readers"
    for pid in $pids; do
        wait "$pid" || wrong='a reader saw something wrong'
    done
}

# copy_files: what the readers of ordinary files read
copy_files() {
    rm -rf "$WORK/plain"
    mkdir "$WORK/plain"
    cp -rL "$MNT/by-id" "$WORK/plain.new" 2>/dev/null || :
    mkdir "$WORK/plain/by-id"
    (cd "$WORK/plain.new" && for id in *; do [ ! -s "$id/wal.jsonl" ] || { mkdir "../plain/by-id/$id" && mv "$id/wal.jsonl" "../plain/by-id/$id/"; }; done)
    rm -rf "$WORK/plain.new"
    cat "$MNT/wal.jsonl" >"$WORK/plain/wal.jsonl" 2>/dev/null || :
}

rounds() {
    for round in $(seq "$ROUNDS"); do
        phase "quiet $round"
        sleep "$PHASE_SECONDS"
        phase "between $round"
        copy_files
        phase "mount $round"
        read_for "$PHASE_SECONDS" "$MNT"
        phase "plain $round"
        read_plain "$PHASE_SECONDS"
    done
}

# The files are cut anywhere: what their readers see is no matter.
read_plain() {
    before=$wrong
    read_for "$1" "$WORK/plain" >/dev/null
    wrong=$before
}

# slower THAN: how many times longer the median write took with readers of the mount, in the median of the rounds
slower() {
    awk -v than="$1" '{ median[$1, $2] = $4 } $1 == "mount" { rounds = $2 > rounds ? $2 : rounds }
        END { for (i = 1; i <= rounds; i++) print median["mount", i] / median[than, i] }' "$WORK/writes" |
        sort -n | awk '{ all[NR] = $1 } END { printf "%.2f", (all[int((NR + 1) / 2)] + all[int(NR / 2) + 1]) / 2 }'
}

tell_times() {
    sort "$WORK/writes"
    note "a write takes $(slower quiet) times as long as with nobody, $(slower plain) times as long as with readers of ordinary files"
}

# Errors of tail and rsync: rows that left under them, or collections.
check_tools() {
    jq -c . "$WORK/tailed" >/dev/null || fail 'tail -f shows what is no JSON'
    for tool in tail rsync; do
        note "$tool: $(grep -c . "$WORK/$tool.errors" || :) errors"
        grep -vE "$(errno_text ESTALE)|$(errno_text ENOENT)|vanished|some files|$(errno_text ENOTDIR)|input file size|failed verification|no files remaining" "$WORK/$tool.errors" >"$WORK/$tool.wrong" || :
        [ ! -s "$WORK/$tool.wrong" ] || fail "$tool: $(head -n 5 "$WORK/$tool.wrong")"
    done
}

# Nothing is missing, also for what was copied over and over.
check_end() {
    python3 "$CHROMAFS_CHROMA/wal_compare.py" "$MNT" "$DIR" || fail 'not what Python makes of it'
    rsync -aL "$MNT/wal.jsonl" "$WORK/rsync/"
    cmp "$MNT/wal.jsonl" "$WORK/rsync/wal.jsonl" >&2 || fail 'what rsync copied in the end'
    assert_eq '' "$(rsync -aL --itemize-changes "$MNT/wal.jsonl" "$WORK/rsync/")" 'what rsync copies again'
}

copy_fixture "chroma-$SUBJECT"
mount_dir "$DIR" "$MNT"
mkdir "$WORK/rsync"
: >"$WORK/tail.errors"
: >"$WORK/rsync.errors"
wrong=
phase "start 0"
chroma "$SUBJECT" "$CHROMAFS_CHROMA/wal_writer.py" "$DIR" "$WORK/phase" "$WORK/stop" >"$WORK/writes" &
writer=$!
wait_until test -n "$(find "$MNT/by-id" -mindepth 1 | head -n 1)"
rounds
touch "$WORK/stop"
wait "$writer" || fail "Chroma failed: $(tail -n 5 "$WORK/chroma.log")"
tell_times
grep -v '^WRONG' "$WORK/readers.log" | sort | uniq -c | sort -rn | tail -n 40
[ -z "$wrong" ] || { grep -A 20 -E 'WRONG|Traceback' "$WORK/readers.log" | head -n 60 && fail "$wrong"; }
[ ! -e "$WORK/hung" ] || fail "$(cat "$WORK/hung")"
check_tools
check_end
unmount
mount_dir "$DIR" "$MNT"
check_end
