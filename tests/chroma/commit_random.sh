#!/bin/sh
# Random histories of few ids each, interleaved in four collections: Chroma says the same of a directory where it applied the log itself, and of one that was committed, also
# after a clean. Parts of the log lie behind what Chroma persisted, or purged. What its own batches do otherwise is told apart row by row (commit_random_batches.py).
# SEED and HISTORIES can be given; with FULL=1 there are 10,000, of a seed that changes.
# limit: 1800
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

judge=$CHROMAFS_CHROMA/commit_random.py
DIR=$WORK/ours

# operate LINE NAME: with the sentence if it fails
operate() { echo "$1" >"$MNT/$2" || fail "$2: $(cat "$MNT/last_error")"; }

random() { chroma "$SUBJECT" "$judge" "$@"; }

# answers DIR FILE: of a copy
answers() {
    rm -rf "$WORK/copy"
    cp -a "$1" "$WORK/copy"
    random ask "$WORK/copy" >"$2"
}

write() { random write "$DIR" "$WORK/rows" "$SEED" "$HISTORIES" "$1"; }

if [ -n "${FULL-}" ]; then
    SEED=${SEED:-$(date +%s)} HISTORIES=${HISTORIES:-10000}
fi
SEED=${SEED:-1} HISTORIES=${HISTORIES:-600}
note "SEED=$SEED HISTORIES=$HISTORIES"
mkdir "$DIR"
random make "$DIR" "$WORK/rows" "$SEED"
write 1
random apply "$DIR" "$WORK/rows" "$SEED"
write 2
random apply "$DIR" "$WORK/rows" "$SEED"
write 3
note "rows that Chroma has purged: $(random purged "$DIR" "$WORK/rows")"
answers "$DIR" "$WORK/theirs.json"
mount_dir "$DIR" "$MNT"
operate 1 commit
note "$(sed '/^#/d' "$MNT/commit" | jq -c '.result | [.committed, .left, .rejected]')"
assert_eq '[0,0]' "$(sed '/^#/d' "$MNT/commit" | jq -c '.result | [.left, .rejected]')"
answers "$DIR" "$WORK/committed.json"
random judge "$WORK/rows" "$WORK/theirs.json" "$WORK/committed.json"
operate 1 clean
unmount
answers "$DIR" "$WORK/cleaned.json"
random judge "$WORK/rows" "$WORK/theirs.json" "$WORK/cleaned.json"
