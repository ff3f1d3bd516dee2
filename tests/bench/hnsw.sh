#!/bin/sh
# usage: tests/bench/hnsw.sh
#
# Part of run.sh: builds indexes of random vectors (l2, M 16, ef_construction 100) with our engine, with the hnswlib of Debian's libhnswlib-dev compiled for
# this processor, and with the chroma-hnswlib that Chroma 0.6.3 has. The programs take turns; the fastest of the rounds counts.
# The second of two speeds is in processor time, all threads together: what a busy machine does to it is less.
# Without a C++ compiler and hnswlib, or without that Chroma (tests/chroma/venvs.sh 0.6.3), the peer is left out.
set -eu
cd "$(dirname "$0")/../.."
. tests/bench/lib.sh
need awk
python=$(tests/chroma/venvs.sh --path 0.6.3)/bin/python # before the cache is another one
start_work

ROUNDS=${ROUNDS:-2}
INDEXES=${INDEXES:-20000x384 100000x128}
peer=
if ${CXX:-g++} -O3 -march=native -DNDEBUG -std=c++17 -pthread -o "$work/hnsw_peer" tests/bench/hnsw_peer.cc 2>"$work/peer.log"; then
    peer=$work/hnsw_peer
else
    say "hnswlib is left out: $(head -n 1 "$work/peer.log")" >&2
fi
"$python" -c 'import hnswlib' 2>/dev/null || {
    say 'chroma-hnswlib is left out: tests/chroma/venvs.sh 0.6.3 installs it' >&2
    python=
}

# best FILE: of several lines the fastest
best() { sort -rn "$1" | head -n 1; }

# show NAME FILE OURS PROCESSOR: a row of the table; nothing for a program that is not there
show() {
    [ -s "$2" ] || return 0
    # shellcheck disable=SC2046  # four numbers
    set -- "$1" "$3" "$4" $(best "$2")
    printf '| %s | %s, %s | %s, %s | %s %% | %s |\n' "$1" "$4" "$7" "$(ratio "$2" "$4")" "$(ratio "$3" "$7")" \
        "$(awk -v r="$5" 'BEGIN { printf "%.1f", 100 * r }')" "$6"
}

# compare COUNT DIMENSION THREADS
compare() {
    rm -f "$work"/result.*
    for _ in $(seq "$ROUNDS"); do
        "$BENCH_PROGRAMS/hnsw_speed" run "$work/vectors" "$3" >>"$work/result.ours"
        [ -z "$peer" ] || "$peer" "$work/vectors" "$3" >>"$work/result.native"
        [ -z "$python" ] || "$python" tests/bench/hnsw_wheel.py "$work/vectors" "$3" >>"$work/result.wheel"
        "$BENCH_PROGRAMS/hnsw_speed" run "$work/vectors" "$3" exact >>"$work/result.exact"
    done
    ours=$(best "$work/result.ours" | cut -d ' ' -f 1)
    processor=$(best "$work/result.ours" | cut -d ' ' -f 4)
    what="$1 × $2, threads: $3"
    show "$what: chromafs" "$work/result.ours" "$ours" "$processor"
    show "$what: hnswlib, native" "$work/result.native" "$ours" "$processor"
    show "$what: chroma-hnswlib 0.7.6" "$work/result.wheel" "$ours" "$processor"
    show "$what: chromafs, hnswlib's order of summation" "$work/result.exact" "$ours" "$processor"
}

say '| index | inserts a second, of the clock and of the processor | times as fast chromafs is | recall@10, ef 50 | peak memory / index |'
say '|---|---:|---:|---:|---:|'
for index in $INDEXES; do
    mkdir -p "$work/vectors"
    "$BENCH_PROGRAMS/hnsw_speed" make "$work/vectors" "${index%x*}" "${index#*x}"
    for threads in 1 2; do
        compare "${index%x*}" "${index#*x}" "$threads"
    done
done
