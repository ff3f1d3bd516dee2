#!/bin/sh
# Random rows of the log, applied to the metadata segments by Chroma and by us: the tables are the same, apart from ids. In directories of that release, and in one
# of 0.4.24 that it has upgraded.
# limit: 600
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"
commit=${CHROMAFS%/*}/tests/chroma/commit_metadata
judge=$CHROMAFS_CHROMA/commit_metadata.py

# same DIR: the rows that it has are applied by both, and Chroma goes on with either
same() {
    rm -rf "$WORK/theirs"
    cp -a "$1" "$WORK/theirs"
    chroma "$SUBJECT" "$judge" apply "$WORK/theirs"
    "$commit" "$1"
    python3 "$judge" compare "$WORK/theirs" "$1"
    for dir in "$WORK/theirs" "$1"; do
        python3 "$judge" more "$dir" 9 1
        chroma "$SUBJECT" "$judge" apply "$dir"
    done
    python3 "$judge" compare "$WORK/theirs" "$1"
}

for seed in 1 2 3; do
    chroma "$SUBJECT" "$judge" make "$WORK/ours-$seed" "$seed"
    same "$WORK/ours-$seed"
done

case $SUBJECT in
    0.4.*) ;;
    *)
        chroma 0.4.24 "$judge" make "$WORK/upgraded" 4 1
        chroma "$SUBJECT" "$judge" apply "$WORK/upgraded"
        chroma "$SUBJECT" "$judge" more "$WORK/upgraded" 5
        same "$WORK/upgraded"
        ;;
esac
