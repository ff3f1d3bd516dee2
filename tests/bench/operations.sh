#!/bin/sh
# usage: tests/bench/operations.sh
#
# Speed and memory of the controls, written to as a user does, against programs that do the same without looking. They take turns, and each one's best
# time counts, since writing to disks is what other work of the machine disturbs most; beside it stands the time of the processor, which that hardly
# changes. Environment: see run.sh.
# shellcheck disable=SC2016  # backquotes of Markdown
set -eu
cd "$(dirname "$0")/../.."
. tests/bench/lib.sh
rounds=${ROUNDS:-5} logs=${LOGS:-100000x32 1000000x32 100000x384} documents=${DOCUMENTS:-10000 100000} collections=${COLLECTIONS:-10000}
MAKE_LOG=$BENCH_PROGRAMS/make_log
export MAKE_LOG
topic=persistent://default/default/00000001-0000-4000-8000-000000000001

# --- measuring ------------------------------------------------------------

start_times() { rm -rf "$work/times" && mkdir "$work/times"; }

now() { date +%s%N; }

# note NAME BEGUN PROCESSOR_MS
note() { awk -v from="$2" -v to="$(now)" -v cpu="$3" 'BEGIN { print (to - from) / 1e6, cpu }' >>"$work/times/$1"; }

# sample NAME COMMAND...: of a program and its children
sample() {
    sample_name=$1
    shift
    begun=$(now)
    # The last line of `times` is of the children: 0m1.25s 0m0.50s
    used=$( ("$@" >"$work/output" 2>&1 && times) | awk -F '[ms ]+' 'END { print ($1 * 60 + $2 + $3 * 60 + $4) * 1000 }')
    [ "$used" != 0 ] || [ ! -s "$work/output" ] || cat "$work/output" >&2
    note "$sample_name" "$begun" "$used"
}

best() { sort -n "$work/times/$1" | awk 'NR == 1 { print $1 }'; }

best_cpu() { awk 'NR == 1 || $2 < least { least = $2 } END { print least + 0 }' "$work/times/$1"; }

# greatest NAME COLUMN
greatest() { awk -v column="$2" '$column > most { most = $column } END { print most + 0 }' "$work/watched/$1"; }

# --- the worker -----------------------------------------------------------

# Of each process that the program starts: the most memory it had so far, in KiB, and the bytes it has read
watch_worker() {
    while [ -e "$work/watching" ]; do
        cat "/proc/$daemon/task/"*/children 2>/dev/null | tr ' ' '\n' | while read -r worker; do
            cat "/proc/$worker/status" "/proc/$worker/io" 2>/dev/null |
                awk '$1 == "VmHWM:" { memory = $2 } $1 == "rchar:" && memory != "" { print memory, $2 }'
        done
        sleep 0.02
    done >>"$work/watched/$1"
}

watching=

# In milliseconds: the clock ticks of children that are gone
children_cpu() { awk -v tick="$(getconf CLK_TCK)" '{ print ($16 + $17) * 1000 / tick }' "/proc/$daemon/stat"; }

start_watching() {
    mkdir -p "$work/watched"
    : >"$work/watching"
    watch_worker "$1" &
    watcher=$!
}

end_watching() {
    rm "$work/watching"
    wait "$watcher"
}

# watched NAME CONTROL LINE: looking costs time, so that the run does not count
watched() {
    mv "$work/times" "$work/times.kept"
    mkdir "$work/times"
    watching=yes
    control "$@"
    watching=
    rm -r "$work/times"
    mv "$work/times.kept" "$work/times"
}

# control NAME CONTROL LINE: one run of it, mounted for it alone
control() {
    mount_dir "$work/dir"
    cat "$mnt/wal.jsonl" >/dev/null # the program has measured the log
    [ -z "$watching" ] || start_watching "$1"
    begun=$(now)
    echo "$3" >"$mnt/$2" || {
        cat "$mnt/last_error" >&2
        exit 1
    }
    note "$1" "$begun" 0
    [ -z "$watching" ] || end_watching
    sleep 0.1 # the worker is waited for behind the answer
    sed -i "\$s/ .*/ $(children_cpu)/" "$work/times/$1"
    tail -n 1 "$mnt/history.jsonl" | jq '.result' >"$work/result"
    unmount
    rm -rf "$work/dir/.chromafs"
}

# --- tables ---------------------------------------------------------------

head_of() { row "$1" "$2" "${3-}" && row '---' '--:' '---'; }

# row_best WHAT NAME [NOTE]
row_best() { row "$1" "$(printf '%.0f ms' "$(best "$2")")" "processor $(printf '%.0f ms' "$(best_cpu "$2")")${3:+; $3}"; }

# against NAME: how long ours took in comparison
against() {
    say "ours takes $(ratio "$(best ours)" "$(best "$1")") × as long; of the processor $(ratio "$(best_cpu ours)" "$(best_cpu "$1")") ×"
}

peak() { awk -v kib="$(greatest "$1" 1)" 'BEGIN { printf "%.0f MiB", kib / 1024 }'; }

# How often the database could have been read with what was
scans() { awk -v bytes="$(greatest "$1" 2)" -v size="$2" 'BEGIN { printf "%.1f", bytes / size }'; }

load() { cut -d ' ' -f 1 /proc/loadavg; }

mib() { say "$((($1 + 524288) / 1048576)) MiB"; }

# --- clean ----------------------------------------------------------------

restore() {
    cp "$1/chroma.sqlite3" "$work/dir/"
    sync "$work/dir/chroma.sqlite3"
}

clean_round() {
    restore "$work/log"
    control ours clean 1
    [ "$(jq '.rows_deleted' "$work/result")" = "$(($1 - 1))" ] || {
        cat "$work/result" >&2
        exit 1
    }
    restore "$work/log"
    sample sqlite3 sqlite3 "$work/dir/chroma.sqlite3" "DELETE FROM embeddings_queue WHERE topic = '$topic' AND seq_id < $1; VACUUM"
    restore "$work/log"
    sample sqlite3_leaving sqlite3 "$work/dir/chroma.sqlite3" \
        "PRAGMA secure_delete=OFF; DELETE FROM embeddings_queue WHERE topic = '$topic' AND seq_id < $1; VACUUM"
    [ -x "${CHOPS-}" ] || return 0
    restore "$work/log"
    sample chops "$CHOPS" wal clean "$work/dir" -y
}

# clean ROWS DIMENSION
clean() {
    "$here/make_dir.sh" applied "$base" "$work/log" "$1" "$2"
    cp -r "$work/log" "$work/dir"
    start_times
    rm -rf "$work/watched"
    watched ours clean 1
    for _ in $(seq "$rounds"); do clean_round "$1"; done
    say "$1 rows of $2 dimensions, all but the last one go; the database has $(mib "$(stat -c %s "$work/log/chroma.sqlite3")"), load $(load)"
    say
    head_of 'what' 'best time'
    row_best '`echo 1 > clean`' ours "peak memory of the worker $(peak ours)"
    row_best '`sqlite3`, the same DELETE and VACUUM' sqlite3 "$(against sqlite3)"
    row_best '… with secure_delete off' sqlite3_leaving "$(against sqlite3_leaving)"
    [ ! -e "$work/times/chops" ] || row_best '`chops wal clean`' chops "$(against chops)"
    say
    rm -rf "$work/log" "$work/dir"
}

cleans() { for log in $logs; do clean "${log%x*}" "${log#*x}"; done; }

# --- many collections -----------------------------------------------------

# one_of_many COLLECTIONS
one_of_many() {
    "$here/make_dir.sh" applied "$base" "$work/log$1" $((collections * 20)) 32 "$1"
    size=$(stat -c %s "$work/log$1/chroma.sqlite3")
    mv "$work/log$1" "$work/dir"
    mkdir "$work/log$1"
    cp "$work/dir/chroma.sqlite3" "$work/log$1/"
    watched "of$1" clean 1
    for _ in $(seq "$rounds"); do
        restore "$work/log$1"
        control "of$1" clean 1
    done
    row_best "$((collections * 20)) rows of $1 collections" "of$1" \
        "peak memory of the worker $(peak "of$1"); read $(scans "of$1" "$size") × as much as the database has; $(jq '.kept' "$work/result") collections kept theirs"
    rm -rf "$work/log$1" "$work/dir"
}

many() {
    start_times
    rm -rf "$work/watched"
    head_of '`echo 1 > clean`' 'best time'
    one_of_many 1
    one_of_many $((collections / 10))
    one_of_many "$collections"
    say
}

# --- rebuild-fts ----------------------------------------------------------

bare_fts="BEGIN; DROP TABLE embedding_fulltext_search; CREATE VIRTUAL TABLE embedding_fulltext_search USING fts5(string_value, tokenize='trigram');
    INSERT INTO embedding_fulltext_search(rowid, string_value) SELECT id, string_value FROM embedding_metadata WHERE key = 'chroma:document';"

fts_round() {
    restore "$work/documents"
    control ours rebuild-fts 1
    restore "$work/documents"
    sample sqlite3 sqlite3 "$work/dir/chroma.sqlite3" "$bare_fts COMMIT"
    restore "$work/documents"
    sample sqlite3_checked sqlite3 "$work/dir/chroma.sqlite3" \
        "$bare_fts INSERT INTO embedding_fulltext_search(embedding_fulltext_search) VALUES('integrity-check'); COMMIT"
    [ -x "${CHOPS-}" ] || return 0
    restore "$work/documents"
    sample chops "$CHOPS" fts rebuild "$work/dir" -y
}

# fts DOCUMENTS
fts() {
    "$here/make_dir.sh" documents "$base" "$work/documents" "$1"
    cp -r "$work/documents" "$work/dir"
    start_times
    rm -rf "$work/watched"
    watched ours rebuild-fts 1
    for _ in $(seq "$rounds"); do fts_round; done
    bytes=$(sqlite3 "$work/dir/chroma.sqlite3" "SELECT sum(length(string_value)) FROM embedding_metadata WHERE key = 'chroma:document'")
    say "$1 documents of together $(mib "$bytes"), load $(load)"
    say
    head_of 'what' 'best time'
    row_best '`echo 1 > rebuild-fts`' ours "peak memory of the worker $(peak ours)"
    row_best '`sqlite3`: DROP, CREATE, INSERT … SELECT' sqlite3 "$(against sqlite3)"
    row_best "… and FTS5's integrity check before the COMMIT" sqlite3_checked "$(against sqlite3_checked)"
    [ ! -e "$work/times/chops" ] || row_best '`chops fts rebuild`' chops "$(against chops)"
    say
    rm -rf "$work/documents" "$work/dir"
}

# --- backup ---------------------------------------------------------------

sync_all() { find "$1" -exec sync {} +; }

copy_and_sync() { cp -r "$@" "$work/dir" "$work/copy" && sync_all "$work/copy"; }

# What a careful operator would do besides.
copy_and_look() {
    copy_and_sync --reflink=never && find "$work/copy" -type f -exec sha256sum {} + &&
        sqlite3 "$work/copy/chroma.sqlite3" 'PRAGMA integrity_check'
}

backup_round() {
    control ours backup "to=$work/copy"
    rm -rf "$work/copy"
    for way in auto never; do
        sample "$way" copy_and_sync --reflink="$way"
        rm -rf "$work/copy"
    done
    sample checked copy_and_look
    rm -rf "$work/copy"
}

# backup ROWS DIMENSION
backup() {
    "$here/make_dir.sh" applied "$base" "$work/dir" "$1" "$2"
    sync_all "$work/dir"
    start_times
    rm -rf "$work/watched"
    watched ours backup "to=$work/copy"
    rm -rf "$work/copy"
    for _ in $(seq "$rounds"); do backup_round; done
    size=$(du -sb "$work/dir" | cut -f 1)
    say "A directory of $(mib "$size"), $1 rows of $2 dimensions on $(stat -f -c %T "$work"), load $(load)"
    say
    head_of 'what' 'best time'
    row_best '`echo to=… > backup`' ours "peak memory of the worker $(peak ours)"
    row_best '`cp -r` and sync' auto "$(against auto)"
    row_best '`cp -r --reflink=never` and sync' never "$(against never)"
    row_best '… and `sha256sum` of each file and `PRAGMA integrity_check`' checked "$(against checked)"
    say
    rm -rf "$work/dir"
}

need sqlite3 jq
start_work
for part in ${OPERATIONS:-clean many fts backup}; do
    case $part in
    clean) cleans ;;
    many) many ;;
    fts) for count in $documents; do fts "$count"; done ;;
    backup) for log in $logs; do backup "${log%x*}" "${log#*x}"; done ;;
    esac
done
