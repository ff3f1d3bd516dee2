# Sourced by the parts of the benchmark that write to controls, after lib.sh: the time of a worker and of programs that it is held against, and its memory.
# shellcheck shell=sh
# shellcheck disable=SC2154  # work, mnt and daemon: lib.sh

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
