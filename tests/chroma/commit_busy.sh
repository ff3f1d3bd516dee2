#!/bin/sh
# Commits and cleans that are forced again and again below a Chroma that writes all the time lose nothing, and what they leave lying is tidied when it has ended.
# limit: 180
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

DIR=$WORK/directory
mkdir "$DIR"
(chroma "$SUBJECT" "$CHROMAFS_CHROMA/commit_busy.py" write "$DIR" "$WORK/model.json" 12) &
writer=$!
has_written() { [ "$(sql "$DIR" 'SELECT count(*) FROM embeddings_queue')" -gt 20 ]; }
wait_until has_written
mount_dir "$DIR" "$MNT"
commits=0
while [ ! -e "$WORK/model.json" ] && kill -0 "$writer"; do
    # A writer that gives nobody else a turn may have one refused.
    ! echo force=1 2>/dev/null >"$MNT/commit" || commits=$((commits + 1))
    [ $((commits % 4)) -ne 3 ] || echo force=1 2>/dev/null >"$MNT/clean" || :
done
wait "$writer" || fail 'Chroma did not go on'
note "$commits commits"
[ "$commits" -ge 3 ] || fail "$commits commits: $(cat "$MNT/last_error")"
unmount
cp -a "$DIR" "$WORK/copy"
chroma "$SUBJECT" "$CHROMAFS_CHROMA/commit_busy.py" check "$WORK/copy" "$WORK/model.json"
mount_dir "$DIR" "$MNT"
echo 1 >"$MNT/commit" || fail "$(cat "$MNT/last_error")"
echo 1 >"$MNT/clean" || fail "$(cat "$MNT/last_error")"
unmount
chroma "$SUBJECT" "$CHROMAFS_CHROMA/commit_busy.py" check "$DIR" "$WORK/model.json"
assert_eq 3 "$(find "$DIR" -maxdepth 1 -name '*-*-*-*-*' -type d | wc -l)" 'directories of indexes'
assert_eq 0 "$(find "$DIR/.chromafs/stage" -mindepth 1 | wc -l)" 'what is staged'
