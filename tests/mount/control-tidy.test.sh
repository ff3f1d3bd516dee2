#!/bin/sh
# What an operation that was killed has left is tidied at the next mount, which waits for nothing; not with -o ro, and not while another process writes.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"

leave() {
    echo rest >"$DIR/.chromafs/stage/rest"
    mkdir "$DIR/.chromafs/stage/directory"
    echo rest >"$DIR/.chromafs/stage/directory/file"
}

staged() { find "$DIR/.chromafs/stage" -mindepth 1 | wc -l; }
is_tidy() { [ "$(staged)" -eq 0 ]; }

copy_fixture chroma-1.5.9
mount_dir "$DIR" "$MNT"
put "$MNT/clean" vacuum=0
unmount
runs=$(wc -l <"$DIR/.chromafs/history.jsonl")

leave
fingerprint "$DIR" >before
mount_dir "$DIR" "$MNT" -o ro
cat "$MNT/info.json" >info
sleep 0.3
unmount
fingerprint "$DIR" | diff before - >&2 || fail 'changed with -o ro'

sh -c 'exec sleep 600' 7<>"$DIR/chroma.sqlite3" &
holder=$!
holds() { [ "$(cat "/proc/$holder/comm")" = sleep ]; }
wait_until holds
mount_dir "$DIR" "$MNT"
sleep 0.5
assert_eq 3 "$(staged)" 'what is staged while another process writes'
assert_eq '' "$(cat "$MNT/last_error")" 'last_error'
unmount
kill "$holder"
wait "$holder" || :

mount_dir "$DIR" "$MNT"
put "$MNT/clean" 'dry_run=1'
wait_until is_tidy
assert_eq 1 "$(find "$DIR/.chromafs/trash" -name rest -type f | wc -l)" 'what is in the trash'
assert_eq clean "$(status .last.operation)" 'what ran last, as far as a user sees'
assert_eq "$runs" "$(wc -l <"$MNT/history.jsonl")" 'lines of the history'
unmount
assert_sound "$DIR"
