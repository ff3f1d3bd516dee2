#!/bin/sh
# Directories that operations left when they were killed or their calls failed: Chroma answers what it answers before the operation or after it,
# whether it comes next or chromafs does, and goes on.
# limit: 1800
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

# The scenarios on directories of that version: see tests/faults/scenario.c.
case $SUBJECT in
    1.*) scenarios='*-rust' ;;
    *) scenarios='*-python' ;;
esac

# tidy DIR: as the next mount does
tidy() {
    mount_dir "$1" "$MNT"
    unmount
}

# judge SCENARIO NAME: that the directories in $WORK/NAME are as they must be
judge() {
    rm -rf "$WORK/references"
    mkdir "$WORK/references"
    cp -a "$1/old" "$1/new" "$WORK/references/"
    case $1 in
    */orphans-*) add= ;; # before it a new record inherits what lies about
    *) add=--add ;;
    esac
    chroma "$SUBJECT" "$CHROMAFS_CHROMA/left.py" "$WORK/references" "$WORK/$2" $add >"$WORK/judged"
    note "$(basename "$1"), $2: $(cat "$WORK/judged")"
    rm -rf "${WORK:?}/$2"
}

if [ -n "${FULL-}" ]; then
    choice='--sites --sample=60 --leave-count=100'
else
    choice='--sample=60 --leave-count=6'
fi
mkdir "$WORK/left"
# shellcheck disable=SC2086  # options are words
"${CHROMAFS%/*}/tests/faults/faults" --jobs=1 --seed="$(date +%Y%j)" --scenario="$scenarios" --leave="$WORK/left" $choice "$CHROMAFS_FIXTURES" \
    >"$WORK/faults.log" ||
    fail "$(cat "$WORK/faults.log")"
for scenario in "$WORK/left"/*; do
    mkdir "$WORK/chroma-first" "$WORK/chromafs-first"
    for dir in "$scenario"/[0-9]*[0-9]; do
        cp -a "$dir" "$WORK/chroma-first/"
        cp -a "$dir" "$WORK/chromafs-first/"
        tidy "$WORK/chromafs-first/$(basename "$dir")"
    done
    judge "$scenario" chroma-first
    judge "$scenario" chromafs-first
done
