#!/bin/sh
# Times are in UTC wherever the daemon runs: in no file, name or mtime does its time zone show.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

# In a zone without a name, half an hour off: one that a program can't take for another by rounding.
LOCAL='<+0530>-5:30'
WEST='<-0930>9:30'

# texts MNT: every file but status.json and those of one mount alone, with its times
texts() { (cd "$1" && find . -type f ! -name status.json -printf '%p %Ts\n' -exec sha256sum {} + | sort); }

copy_fixture chroma-1.5.9
wait_until is_settled "$DIR"
TZ=UTC mount_dir "$DIR" "$MNT" -o ro
TZ=$LOCAL mount_dir "$DIR" "$WORK/east" -o ro
wait_measured
wait_measured "$WORK/east"
texts "$MNT" >here
texts "$WORK/east" | diff here - >&2 || fail 'the tree of another time zone is another one'
unmount "$WORK/east"
unmount

# assert_now WHAT TIME: RFC 3339 in UTC, between the beginning and now
assert_now() {
    echo "$2" | grep -qxE '[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z' || fail "$1 is no time: $2"
    at=$(date -u -d "$2" +%s)
    if [ "$at" -lt "$begun" ] || [ "$at" -gt "$(date +%s)" ]; then fail "$1 is not the present time: $2"; fi
}

for zone in "$LOCAL" "$WEST"; do
    TZ=$zone mount_dir "$DIR" "$MNT"
    begun=$(date +%s)
    mkdir "$DIR/22222222-2222-4222-8222-222222222222"
    cp "$DIR/$(segment_of "$DIR" space_l2 VECTOR)"/* "$DIR/22222222-2222-4222-8222-222222222222"
    touch -d '2026-01-02 03:04:05 UTC' "$DIR"/2222*/* "$DIR"/2222*
    assert_eq 2026-01-02T03:04:05Z "$(jq -r .since "$MNT/orphans/22222222-2222-4222-8222-222222222222/info.json")" 'since when it is an orphan'
    echo 1 >"$MNT/clean-orphans"
    jq -r '.last | .started, .finished' "$MNT/status.json" >moments
    tail -n 1 "$MNT/history.jsonl" | jq -r '.started, .finished' >>moments
    assert_eq 4 "$(wc -l <moments)" 'times of an operation'
    while read -r moment; do assert_now 'the time of an operation' "$moment"; done <moments
    trash=$(find "$DIR/.chromafs/trash" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | tail -n 1)
    assert_now 'the name in the trash' "$(echo "$trash" | sed -E 's/^(....)(..)(..T..)(..)(..Z).*/\1-\2-\3:\4:\5/')"
    assert_now 'the time in the trash' "$(jq -r .time "$DIR/.chromafs/trash/$trash/trash.json")"
    unmount
done
