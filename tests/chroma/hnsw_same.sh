#!/bin/sh
# Fed with the same vectors by one thread, the engine makes the graph that the library of that release makes: levels, links in their order, entry point; and, where
# the release lets us see it, also after updates, deletions and further additions.
# limit: 600
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"
build=${CHROMAFS%/*}/tests/chroma/hnsw_build

# fields SPACE-DIMENSION-WHAT: what must be the same. The vectors of cosine are 1 and -1 in one dimension, so all distances are the same but two: the order of equal ones
# is that of a hash table (updates) or of the C++ library's heap (libc++'s, with which 1.x is linked, is another).
fields() {
    all='level deleted vector label'
    [ "${1%%-*}" != cosine ] || all="$all length"
    case $1 in
        cosine-1-changed | cosine-1-rust) echo "$all" ;;
        *) echo "$all links" ;;
    esac
}

# build_like LIBRARY SPACE DIMENSION M EF WHAT: an index of the same steps, beside the segment WHAT
build_like() {
    made=$WORK/made/$2-$3-$4-$5
    "$build" build "$2" "$3" "$4" "$5" "$1" "$made/$6.steps" "$made/$6.ours"
    echo "$made/$6 $made/$6.ours $(fields "$2-$3-$6")" >>"$WORK/pairs"
}

# One process makes all of theirs: importing Chroma takes longer.
cases=
for space in l2 ip cosine; do
    for dimension in 1 19 64 100 385; do
        cases="$cases $space-$dimension-16-100 $space-$dimension-5-40"
    done
done
case $SUBJECT in
    1.*) library=rust kinds=rust script=hnsw_chroma.py ;;
    *) library=python kinds='persisted changed' script=hnsw_module.py ;;
esac
mkdir "$WORK/made"
# shellcheck disable=SC2086  # a list of words
RAYON_NUM_THREADS=1 chroma "$SUBJECT" "$CHROMAFS_CHROMA/$script" "$WORK/made" $cases
for case in $cases; do
    for kind in $kinds; do
        # shellcheck disable=SC2046  # its parts are words
        build_like "$library" $(echo "$case" | tr '-' ' ') "$kind"
    done
done
python3 "$CHROMAFS_CHROMA/hnsw_files.py" "$WORK/pairs" >"$WORK/differences" || fail "$(cat "$WORK/differences")"
note "$(wc -l <"$WORK/pairs") graphs are the same"
