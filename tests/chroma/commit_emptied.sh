#!/bin/sh
# A log that was emptied hands out numbers below the positions again, and Chroma passes over the rows that get them (FORMAT R1). Commit does so, too: no record loses its vector to a row that was never
# applied. What comes above the positions counts.
# limit: 300
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

answers() {
    rm -rf "$WORK/answers-copy"
    cp -a "$DIR" "$WORK/answers-copy"
    rm -rf "$WORK/answers-copy/.chromafs"
    chroma "$SUBJECT" "$CHROMAFS_CHROMA/answers.py" "$WORK/answers-copy" | jq -S . >"$1"
}

DIR=$WORK/dir
mkdir "$DIR"
chroma "$SUBJECT" "$CHROMAFS_CHROMA/commit_emptied.py" fill "$DIR"
chroma "$SUBJECT" "$CHROMAFS_CHROMA/commit_emptied.py" write "$DIR"
answers "$WORK/before.json"
mount_dir "$DIR" "$MNT"
echo 1 >"$MNT/commit" || fail "commit: $(cat "$MNT/last_error")"
unmount
answers "$WORK/committed.json"
diff "$WORK/before.json" "$WORK/committed.json" >&2 || fail 'commit has changed what Chroma answers'
mount_dir "$DIR" "$MNT"
echo 1 >"$MNT/clean" || fail "clean: $(cat "$MNT/last_error")"
unmount
answers "$WORK/cleaned.json"
diff "$WORK/before.json" "$WORK/cleaned.json" >&2 || fail 'clean has changed what Chroma answers'
