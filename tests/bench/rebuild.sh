#!/bin/sh
# usage: tests/bench/rebuild.sh
#
# Part of run.sh: the control rebuild-hnsw, written to as a user does, of indexes of which three elements in ten are deleted and whose log is empty; beside it
# `chops hnsw rebuild`. They take turns, and the best of the rounds counts; the processor's time is what other work of the machine changes least.
# What each index finds is asked of all with one engine, ours (index_recall), against all live vectors.
# shellcheck disable=SC2016  # backquotes of Markdown
set -eu
cd "$(dirname "$0")/../.."
. tests/bench/lib.sh
. tests/bench/worker.sh
rounds=${ROUNDS:-3} indexes=${INDEXES:-20000x384 100000x128} large=${LARGE:-1000000x8} queries=${QUERIES:-1000} efs=${EFS:-10 50 100}
chops_most=${CHOPS_MOST:-20000}
MAKE_PENDING=$BENCH_PROGRAMS/make_pending
export MAKE_PENDING
target=collections/pending/rebuild-hnsw

# Before the cache is another one.
venv() { tests/chroma/venvs.sh --path "$1"; }
CHOPS=${CHOPS:-$(venv chops-0.6.3)/bin/chops}

# --- a fragmented index -----------------------------------------------------

# What a client's delete() leaves in the log: of three records in ten
deletes_sql() {
    say "INSERT INTO embeddings_queue(seq_id,created_at,operation,topic,id)
        SELECT (SELECT max(seq_id) FROM embeddings_queue) + row_number() OVER (), created_at, 3, topic, id FROM embeddings_queue WHERE seq_id % 10 < 3;"
}

# fragment ROWS DIMENSION: in $work/fragmented
fragment() {
    rm -rf "$work/dir" "$work/fragmented"
    "$here/make_dir.sh" pending "$base" "$work/dir" "$1" "$2"
    control made commit 1
    deletes_sql | sqlite3 -bail "$work/dir/chroma.sqlite3"
    control made commit 1
    control made clean 1
    mv "$work/dir" "$work/fragmented"
}

# segment DIR: the folder of its index
segment() { say "$1/$(sqlite3 -readonly "$1/chroma.sqlite3" "SELECT id FROM segments WHERE scope = 'VECTOR'")"; }

size_of() { find "$1" -type f -printf '%s\n' | awk '{ size += $1 } END { printf "%.0f", size }'; }

# --- measuring ------------------------------------------------------------

# start_dir: a copy that nobody has opened yet
start_dir() {
    rm -rf "$work/dir"
    cp -r "$work/fragmented" "$work/dir"
    find "$work/dir" -type f -exec sync {} +
}

# ours NAME [LINE]
ours() {
    start_dir
    control "$1" "$target" "${2:-1}"
    [ "$(jq '.committed' "$work/result")" = 1 ] || {
        cat "$work/result" >&2
        exit 1
    }
}

# chops: with the copy of the old index that it makes unless told otherwise
chops() {
    start_dir
    sample chops "$CHOPS" hnsw rebuild "$work/dir" -c pending -y
}

# judge NAME DIR
judge() {
    # shellcheck disable=SC2086  # several numbers
    "$BENCH_PROGRAMS/index_recall" "$(segment "$2")" "$queries" $efs >"$work/recall.$1"
    size_of "$(segment "$2")" >"$work/size.$1"
}

round_of() {
    ours one threads=1
    ours ours
    cp "$work/result" "$work/result.ours"
    [ -e "$work/recall.ours" ] || judge ours "$work/dir"
    [ -x "$CHOPS" ] && [ "$1" -le "$chops_most" ] || return 0
    chops
    [ -e "$work/recall.chops" ] || judge chops "$work/dir"
}

# --- showing --------------------------------------------------------------

estimated() {
    jq -r '"estimated \(.memory / 1048576 | floor) MiB, \(.disk / 1048576 | floor) MiB of disk, \(.estimated_seconds) s"' "$work/result.ours"
}

# cells TEXT...: of a table with more than three columns
cells() {
    printf '|'
    printf ' %s |' "$@"
    printf '\n'
}

# row_index WHAT NAME
row_index() {
    [ -s "$work/recall.$2" ] || return 0
    cells "$1" "$(awk '$1 == "elements" { all = $2 } $1 == "live" { print all ", " $2 }' "$work/recall.$2")" "$(mib "$(cat "$work/size.$2")")" \
        "$(awk '$1 == "recall" { found = found sep $3 " %"; sep = ", " } END { print found }' "$work/recall.$2")" \
        "$(awk '$1 == "recall" { missed = missed sep $4; sep = ", "; asked = $5 } END { print missed " of " asked }' "$work/recall.$2")"
}

show_indexes() {
    cells 'index' 'elements, live' 'size' "recall@10, ef $(say "$efs" | sed 's/ /, /g')" 'not found by their own vector'
    cells '---' '--:' '--:' '--:' '--:'
    row_index 'fragmented' fragmented
    row_index 'rebuilt' ours
    row_index '… by chops' chops
    say
}

# --- the parts ------------------------------------------------------------

# rebuild ROWS DIMENSION
rebuild() {
    rm -rf "$work/watched" "$work"/recall.* "$work"/size.*
    start_times
    fragment "$1" "$2"
    judge fragmented "$work/fragmented"
    start_times
    start_dir
    watched ours "$target" 1
    for _ in $(seq "$rounds"); do round_of "$1"; done
    say "$1 rows of $2 dimensions, three in ten of them deleted; load $(load)"
    say
    head_of 'what' 'best time'
    row_best '`echo 1 > rebuild-hnsw`' ours "peak memory of the worker $(peak ours); $(estimated)"
    row_best '… with threads=1' one
    [ ! -s "$work/times/chops" ] || row_best '`chops hnsw rebuild`' chops "$(against chops)"
    say
    show_indexes
}

# once_large ROWS DIMENSION: the links of the old index are random, and are not read
once_large() {
    rm -rf "$work/dir" "$work/watched"
    "$here/make_dir.sh" records "$base" "$work/dir" "$1" "$2"
    start_times
    watching=yes
    control ours collections/records/rebuild-hnsw 1
    watching=
    cp "$work/result" "$work/result.ours"
    say "$1 records of $2 dimensions, once; load $(load)"
    say
    head_of 'what' 'time'
    row_best '`echo 1 > rebuild-hnsw`' ours "peak memory of the worker $(peak ours); $(estimated)"
    say
    rm -rf "$work/dir"
}

need sqlite3 jq
start_work
for part in ${REBUILD:-indexes large}; do
    case $part in
    indexes) for index in $indexes; do rebuild "${index%x*}" "${index#*x}"; done ;;
    large) once_large "${large%x*}" "${large#*x}" ;;
    esac
done
