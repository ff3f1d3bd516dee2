#!/bin/sh
# Random histories of few ids each, interleaved in four collections, and updates of a lone record in a fifth: Chroma says the same of a directory where it applied the log itself, and of one that was committed, also
# after a clean, and after it has gone on with both, which then get more rows and another commit. Parts of the log lie behind what Chroma persisted, or are purged. What
# Chroma's own batches do otherwise is told apart row by row (commit_random_batches.py).
# SEED and HISTORIES can be given; with FULL=1 there are 10,000, of a seed that changes.
# limit: 1800
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

if [ -n "${FULL-}" ]; then
    SEED=${SEED:-$(date +%s)} HISTORIES=${HISTORIES:-10000}
fi
SEED=${SEED:-1} HISTORIES=${HISTORIES:-1500}
note "SEED=$SEED HISTORIES=$HISTORIES"

# operate LINE NAME: with the sentence if it fails
operate() { echo "$1" >"$MNT/$2" || fail "$2: $(cat "$MNT/last_error")"; }

# on WHO COMMAND [ARGUMENT...]: commit_random.py, with the directory and the rows of WHO
on() {
    who=$1 command=$2
    shift 2
    chroma "$SUBJECT" "$CHROMAFS_CHROMA/commit_random.py" "$command" "$WORK/$who" "$WORK/$who.rows" "$SEED" "$@"
}

# answers WHO NAME: of a copy
answers() {
    rm -rf "$WORK/copy"
    cp -a "$WORK/$1" "$WORK/copy"
    chroma "$SUBJECT" "$CHROMAFS_CHROMA/commit_random.py" ask "$WORK/copy" >"$WORK/$2.json"
}

# judge ARGUMENT...
judge() { chroma "$SUBJECT" "$CHROMAFS_CHROMA/commit_random_judge.py" "$WORK/theirs.rows" "$@"; }

committed() {
    operate 1 commit
    sed '/^#/d' "$MNT/commit" | jq -c '.result | [.left, .rejected]' >"$WORK/result"
    assert_eq '[0,0]' "$(cat "$WORK/result")" 'collections left, rows rejected'
}

# both COMMAND...: on both directories, which get the same rows
both() {
    on theirs "$@"
    on ours "$@"
    assert_same_file "$WORK/theirs.rows" "$WORK/ours.rows"
}

mkdir "$WORK/theirs"
on theirs make
on theirs write "$HISTORIES" 1
on theirs apply
on theirs write "$HISTORIES" 2
on theirs apply
on theirs write "$HISTORIES" 3
lines=$(wc -l <"$WORK/theirs.rows")
note "lines: $lines; rows that Chroma has purged: $(on theirs purged)"
cp -a "$WORK/theirs" "$WORK/ours"
cp "$WORK/theirs.rows" "$WORK/ours.rows"
answers theirs theirs

mount_dir "$WORK/ours" "$MNT"
committed
answers ours committed
judge "$WORK/theirs.json" "$WORK/committed.json"
operate 1 clean
unmount
answers ours cleaned
judge "$WORK/theirs.json" "$WORK/cleaned.json"

both apply
both write "$HISTORIES" 4
answers theirs theirs
mount_dir "$WORK/ours" "$MNT"
committed
unmount
answers ours again
judge "$WORK/theirs.json" "$WORK/again.json" "$WORK/committed.json" "$lines"
