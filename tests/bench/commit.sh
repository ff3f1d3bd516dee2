#!/bin/sh
# usage: tests/bench/commit.sh
#
# Part of run.sh: the control commit, written to as a user does, of logs whose vectors are in no index yet; beside it `chops wal commit`, and what Chroma's own
# replay at the first question after a start costs. They take turns, and the best of the rounds counts; the processor's time is what other work of
# the machine changes least.
# shellcheck disable=SC2016  # backquotes of Markdown
set -eu
cd "$(dirname "$0")/../.."
. tests/bench/lib.sh
. tests/bench/worker.sh
rounds=${ROUNDS:-3} logs=${LOGS:-20000x384 100000x128} large=${LARGE:-1000000x8} more=${MORE:-1000}
base=$CHROMAFS_FIXTURES/chroma-0.5.23/dir/chroma.sqlite3
MAKE_PENDING=$BENCH_PROGRAMS/make_pending
export MAKE_PENDING

# Before the cache is another one.
venv() { tests/chroma/venvs.sh --path "$1"; }
old_python=$(venv 0.5.23)/bin/python new_python=$(venv 1.5.9)/bin/python
CHOPS=${CHOPS:-$(venv chops-0.5.23)/bin/chops}

# --- measuring ------------------------------------------------------------

# start_dir FROM: a directory that nobody has opened yet
start_dir() {
    rm -rf "$work/dir"
    cp -r "$work/$1" "$work/dir"
    find "$work/dir" -type f -exec sync {} +
}

# ours NAME FROM [LINE]
ours() {
    start_dir "$2"
    control "$1" commit "${3:-1}"
    [ "$(jq '.committed' "$work/result")" = 1 ] || {
        cat "$work/result" >&2
        exit 1
    }
}

# ask NAME PYTHON FROM ROWS: left out where there is no such Chroma
ask() {
    [ -x "$2" ] || return 0
    start_dir "$3"
    "$2" tests/bench/first_query.py "$work/dir" "$4" >>"$work/times/$1"
}

# chops FROM
chops() {
    [ -x "$CHOPS" ] || return 0
    start_dir "$1"
    sample "chops" "$CHOPS" wal commit "$work/dir" -y
}

estimated() { jq -r '"estimated \(.memory / 1048576 | floor) MiB, \(.estimated_seconds) s"' "$work/result"; }

# row_asked WHAT NAME NAME-AFTER
row_asked() {
    [ -s "$work/times/$2" ] || return 0
    row_best "$1" "$2" "$([ -z "${3-}" ] || say "$(ratio "$(best_cpu "$2")" "$(best_cpu "$3")") times what it is after the commit")"
}

show_asked() {
    row_asked "Chroma 0.5.23: first question, the log to be applied" old_before old_after
    row_asked '… after our commit' old_after
    row_asked "Chroma 1.5.9: first question, the log to be applied" new_before new_after
    row_asked '… after our commit' new_after
}

# --- an index that is made --------------------------------------------------

round_of() {
    ours ours pending
    mv "$work/dir" "$work/committed.new"
    rm -rf "$work/committed"
    mv "$work/committed.new" "$work/committed"
    cp "$work/result" "$work/result.ours"
    ours one pending threads=1
    ours both both
    chops pending
    ask old_before "$old_python" pending "$1"
    ask old_after "$old_python" committed "$1"
    ask new_before "$new_python" pending "$1"
    ask new_after "$new_python" committed "$1"
}

# fresh ROWS DIMENSION
fresh() {
    rm -rf "$work/pending" "$work/both" "$work/watched"
    "$here/make_dir.sh" pending "$base" "$work/pending" "$1" "$2"
    "$here/make_dir.sh" pending "$base" "$work/both" "$1" "$2" both
    start_times
    start_dir pending
    watched ours commit 1
    for _ in $(seq "$rounds"); do round_of "$1"; done
    say "$1 rows of $2 dimensions, none of them in an index; the database has $(mib "$(stat -c %s "$work/pending/chroma.sqlite3")"), load $(load)"
    say
    head_of 'what' 'best time'
    cp "$work/result.ours" "$work/result"
    row_best '`echo 1 > commit`' ours "peak memory of the worker $(peak ours); $(estimated)"
    row_best '… with threads=1' one
    row_best '… with the records to be made as well' both
    [ ! -s "$work/times/chops" ] || row_best '`chops wal commit`' chops "$(against chops)"
    show_asked
    say
    append "$1" "$2"
}

# --- an index that grows ----------------------------------------------------

copy_index() { cp -r --reflink=never "$work/grown" "$work/copy" && find "$work/copy" -type f -exec sync {} +; }

append_round() {
    ours append grown
    ask new_before "$new_python" grown "$1"
    sample copy copy_index
    rm -rf "$work/copy"
}

# append ROWS DIMENSION: to the index that was made last
append() {
    rm -rf "$work/grown" "$work/watched"
    mv "$work/committed" "$work/grown"
    "$MAKE_PENDING" "$work/grown/chroma.sqlite3" $(($1 + 1)) "$more" "$2"
    start_times
    start_dir grown
    watched append commit 1
    for _ in $(seq "$rounds"); do append_round $(($1 + more)); done
    say "$more rows more, load $(load)"
    say
    head_of 'what' 'best time'
    row_best '`echo 1 > commit`' append "peak memory of the worker $(peak append); $(estimated)"
    row_best '`cp -r` of the directory and sync' copy
    row_asked 'Chroma 1.5.9: first question, the log to be applied' new_before
    say
}

# --- a large one ------------------------------------------------------------

# once_large ROWS DIMENSION
once_large() {
    rm -rf "$work/dir"
    "$here/make_dir.sh" pending "$base" "$work/dir" "$1" "$2"
    start_times
    rm -rf "$work/watched"
    watching=yes
    control ours commit 1
    watching=
    mv "$work/dir" "$work/committed"
    ask new_after "$new_python" committed "$1"
    say "$1 rows of $2 dimensions, once; load $(load)"
    say
    head_of 'what' 'time'
    row_best '`echo 1 > commit`' ours "peak memory of the worker $(peak ours); $(estimated)"
    row_asked 'Chroma 1.5.9: first question after it' new_after
    say
    rm -rf "$work/dir" "$work/committed"
}

need sqlite3 jq
start_work
for part in ${COMMIT:-fresh large}; do
    case $part in
    fresh) for log in $logs; do fresh "${log%x*}" "${log#*x}"; done ;;
    large) once_large "${large%x*}" "${large#*x}" ;;
    esac
done
