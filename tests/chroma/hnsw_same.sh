#!/bin/sh
# Fed with the same vectors by one thread, the engine makes the graph that the library of that release makes: levels, links in their order, entry point; and, where
# the release lets us see it, also after updates, deletions and further additions.
# limit: 600
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"
build=${CHROMAFS%/*}/tests/chroma/hnsw_build

# same SEGMENT STEPS LIBRARY ONLY...: at M 16 or whatever `m` is
same() {
    "$build" build "$space" "$dimension" "$m" "$ef" "$3" "$2" "$WORK/ours"
    segment=$1
    shift 3
    python3 "$CHROMAFS_CHROMA/hnsw_files.py" "$segment" "$WORK/ours" "$@" >"$WORK/differences" || fail "$segment: $(cat "$WORK/differences")"
    rm -r "$WORK/ours"
}

# fields CASE: what must be the same. The vectors of cosine are 1 and -1 in one dimension, so all distances are the same but two: the order of equal ones is that of a
# hash table (updates) or of the C++ library's heap (libc++'s, with which 1.x is linked, is another).
fields() {
    all='level deleted vector label'
    [ "$space" != cosine ] || all="$all length"
    case $space-$dimension-$1 in
        cosine-1-changed | cosine-1-rust) echo "$all" ;;
        *) echo "$all links" ;;
    esac
}

# shellcheck disable=SC2046  # fields are words
python_case() {
    chroma "$SUBJECT" "$CHROMAFS_CHROMA/hnsw_module.py" "$WORK/$1" "$space" "$dimension" "$m" "$ef"
    same "$WORK/$1/persisted" "$WORK/$1/persisted.steps" python $(fields persisted)
    same "$WORK/$1/changed" "$WORK/$1/changed.steps" python $(fields changed)
}

# shellcheck disable=SC2046  # fields are words
rust_case() {
    mkdir "$WORK/$1"
    segment=$(RAYON_NUM_THREADS=1 chroma "$SUBJECT" "$CHROMAFS_CHROMA/hnsw_chroma.py" "$WORK/$1" "$space" "$dimension" "$m" "$ef")
    same "$segment" "$WORK/$1/steps" rust $(fields rust)
}

cases=0
for space in l2 ip cosine; do
    for dimension in 1 19 64 100 385; do
        for parameters in '16 100' '5 40'; do
            m=${parameters% *} ef=${parameters#* }
            case $SUBJECT in
                1.*) rust_case "$space-$dimension-$m" ;;
                *) python_case "$space-$dimension-$m" ;;
            esac
            cases=$((cases + 1))
        done
    done
done
note "$cases graphs are the same"
