# Sourced by the parts of the benchmark: a folder to work in, mounting, measuring, and rows of a Markdown table.
# shellcheck shell=sh
# shellcheck disable=SC2034  # the parts use what is set here

. scripts/count.sh
CHROMAFS=$(absolute "${CHROMAFS:-build/chromafs}")
CHROMAFS_FIXTURES=$(absolute "${CHROMAFS_FIXTURES:-build/fixtures}")
BENCH_PROGRAMS=$(absolute "${BENCH_PROGRAMS:-build/tests/bench}")
MAKE_INDEX=$BENCH_PROGRAMS/make_index
export MAKE_INDEX
here=$PWD/tests/bench
base=$CHROMAFS_FIXTURES/chroma-0.6.3/dir/chroma.sqlite3

say() { printf '%s\n' "$*"; }

need() {
    for program in "$@"; do
        command -v "$program" >/dev/null || {
            say "make bench needs $program: scripts/install-deps.sh test bench" >&2
            exit 1
        }
    done
}

# --- mounting -------------------------------------------------------------

# mount_dir DIR: at $mnt, as a child whose pid is $daemon
mount_dir() {
    "$CHROMAFS" -f "$1" "$mnt" &
    daemon=$!
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        ! mountpoint -q "$mnt" || return 0
        sleep 0.1
    done
    say "$1 could not be mounted" >&2
    exit 1
}

unmount() {
    ! mountpoint -q "$mnt" || fusermount3 -u "$mnt" || fusermount3 -uz "$mnt"
    [ -z "$daemon" ] || wait "$daemon" || say "the daemon ended with status $?" >&2
    daemon=
}

# start_work: the folder, which goes at the end with all that is mounted in it. The user's cache is left alone.
start_work() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/chromafs-bench.XXXXXX")
    mnt=$work/mnt daemon=
    mkdir "$mnt" "$work/memory"
    export XDG_CACHE_HOME="$work/cache"
    trap end_run EXIT
    trap 'exit 1' INT TERM HUP
}

end_run() {
    cd /
    unmount
    ! mountpoint -q "$work/memory" || fusermount3 -uz "$work/memory"
    rm -rf "$work"
}

# --- measuring ------------------------------------------------------------

# milliseconds RUNS HYPERFINE-ARGUMENT...: median
milliseconds() {
    runs=$1
    shift
    hyperfine --style none --warmup 1 --runs "$runs" --export-json "$work/times.json" "$@" >"$work/hyperfine.log" 2>&1 || {
        cat "$work/hyperfine.log" >&2
        return 1
    }
    jq -r '.results[0].median * 1000' "$work/times.json"
}

# once COMMAND...: milliseconds of a single run
once() {
    start=$(date +%s%N)
    "$@" >/dev/null
    say "$((($(date +%s%N) - start) / 1000000))"
}

# cat_ms PATH...: nothing but one cat, page cache warm
cat_ms() { milliseconds 20 -N "cat $*"; }

# ratio A B
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

row() { printf '| %s | %s | %s |\n' "$1" "$2" "${3-}"; }

# row_ms WHAT MILLISECONDS [NOTE]
row_ms() { row "$1" "$(printf '%.1f ms' "$2")" "${3-}"; }

peak_memory() { awk '$1 == "VmHWM:" { printf "%.0f MB", $2 / 1024 }' "/proc/$daemon/status"; }
