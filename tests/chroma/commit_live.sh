#!/bin/sh
# A commit that is forced below a Chroma that writes loses nothing: neither what that process writes afterwards, nor after a restart, nor after the next commit and a clean.
# limit: 120
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

DIR=$WORK/directory
mkdir "$DIR"
(chroma "$SUBJECT" "$CHROMAFS_CHROMA/commit_live.py" write "$DIR" "$WORK/ready" "$WORK/go") &
writer=$!
is_ready() { [ -e "$WORK/ready" ]; }
wait_until is_ready
mount_dir "$DIR" "$MNT"
echo 1 2>/dev/null >"$MNT/commit" && fail 'commit goes on beside Chroma without force=1'
echo force=1 >"$MNT/commit" || fail "$(cat "$MNT/last_error")"
assert_eq '["committed","stays"]' "$(sed '/^#/d' "$MNT/commit" | jq -c '.result.collections[0] | [.status, .old_directory]')" 'the result'
unmount
: >"$WORK/go"
wait "$writer" || fail 'Chroma did not go on'
chroma "$SUBJECT" "$CHROMAFS_CHROMA/commit_live.py" check "$DIR"
mount_dir "$DIR" "$MNT"
echo 1 >"$MNT/commit" || fail "$(cat "$MNT/last_error")"
echo 1 >"$MNT/clean" || fail "$(cat "$MNT/last_error")"
unmount
chroma "$SUBJECT" "$CHROMAFS_CHROMA/commit_live.py" check "$DIR"
assert_eq 1 "$(find "$DIR" -maxdepth 1 -name '*-*-*-*-*' -type d | wc -l)" 'directories of indexes'
