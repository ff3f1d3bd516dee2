#!/bin/sh
# usage: tests/bench/wal.sh
#
# Speed and memory of wal.jsonl. What is compared is measured in turns, so that a machine that is busy with something else for a while slows all of
# them. Environment: see run.sh.
# shellcheck disable=SC2016  # backquotes of Markdown
set -eu
cd "$(dirname "$0")/../.."
. tests/bench/lib.sh
rounds=${ROUNDS:-5} logs=${LOGS:-100000x384 20000x1536} large_rows=${LARGE_ROWS:-1000000} collections=${COLLECTIONS:-10000}

# --- mounting -------------------------------------------------------------

# In the background, as users do: it returns when it is mounted. Its pid is then asked for.
mount_now() { "$CHROMAFS" "$1" "$mnt"; }

find_daemon() { pid=$(pgrep -n -f -- "$1 $mnt\$"); }

# Returns when the daemon has let go of its cache.
unmount_now() {
    find_daemon "$1"
    fusermount3 -u "$mnt"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
}

forget() { rm -rf "$work/cache"; }

mount_and_stat() { mount_now "$1" && stat -c %s "$mnt/wal.jsonl"; }

# memory_fs direct|cached SIZE
mount_memory() {
    "$BENCH_PROGRAMS/memory_fs" "$2" "$1" "$work/memory" &
    memory=$!
    until mountpoint -q "$work/memory"; do sleep 0.1; done
}

unmount_memory() { fusermount3 -u "$work/memory" && wait "$memory"; }

# --- measuring ------------------------------------------------------------

# sample NAME COMMAND...: how long it takes, to be one of those of this name
sample() {
    sample_name=$1
    shift
    begun=$(date +%s%N)
    "$@" >/dev/null
    awk -v from="$begun" -v to="$(date +%s%N)" 'BEGIN { print (to - from) / 1e6 }' >>"$work/times/$sample_name"
}

median() { sort -n "$work/times/$1" | awk '{ t[NR] = $1 } END { print (t[int((NR + 1) / 2)] + t[int(NR / 2) + 1]) / 2 }'; }

start_times() { rm -rf "$work/times" && mkdir "$work/times"; }

head_of() { row "$1" "$2" "${3-}" && row '---' '--:' '---'; }

# row_rate WHAT MILLISECONDS [NOTE]: of as many bytes as the log's lines have
row_rate() { row "$1" "$(awk -v ms="$2" -v size="$size" 'BEGIN { printf "%.0f ms, %.0f MiB/s", ms, size / 1048576 / ms * 1000 }')" "${3-}"; }

times_faster() { printf '%s × as fast as %s' "$(ratio "$2" "$1")" "$3"; }

# --- speed: one collection ------------------------------------------------

speed_rounds() {
    for _ in $(seq "$rounds"); do
        sample scan "$BENCH_PROGRAMS/scan" "$work/log/chroma.sqlite3"
        forget
        sample cold_stat mount_and_stat "$work/log"
        sample cold_cat cat "$mnt/wal.jsonl"
        unmount_now "$work/log"
        sample warm_stat mount_and_stat "$work/log"
        sample warm_cat cat "$mnt/wal.jsonl"
        sample again cat "$mnt/wal.jsonl"
        unmount_now "$work/log"
        for way in direct cached; do
            mount_memory "$way" "$size"
            sample "$way" cat "$work/memory/file"
            unmount_memory
        done
        sample select sqlite3 "$work/log/chroma.sqlite3" 'SELECT * FROM embeddings_queue'
        sample select_hex sqlite3 "$work/log/chroma.sqlite3" \
            'SELECT seq_id, created_at, operation, topic, id, hex(vector), encoding, metadata FROM embeddings_queue'
    done
}

# Chroma may change what it opens, so that chops gets a copy.
chops_rounds() {
    [ -x "${CHOPS-}" ] || return 0
    cp -a "$work/log" "$work/for-chops"
    for _ in 1 2 3; do
        sample chops "$CHOPS" wal export "$work/for-chops" -o "$work/exported" -y 2>"$work/chops.log"
    done
    mount_now "$work/log"
    compared='the same bytes'
    cmp -s "$work/exported" "$mnt/wal.jsonl" || compared='other bytes'
    unmount_now "$work/log"
    rm -rf "$work/for-chops" "$work/exported"
}

speed_table() {
    direct=$(median direct) again=$(median again) scan=$(median scan) cold_stat=$(median cold_stat)
    head_of 'what' 'median' ''
    row_rate '`cat wal.jsonl`' "$again" "$(times_faster "$again" "$direct" 'a file in memory')"
    row_rate 'mount, `stat` and `cat`, never measured before' "$(sum "$cold_stat" "$(median cold_cat)")"
    row_rate 'mount, `stat` and `cat`, measured at an earlier mount' "$(sum "$(median warm_stat)" "$(median warm_cat)")"
    row_rate 'a file of that size in the memory of a FUSE program, direct_io' "$direct"
    row_rate 'the same through the page cache' "$(median cached)"
    row_rate "\`sqlite3\`, \`SELECT *\` (vectors up to their first NUL)" "$(median select)" "$(ratio "$(median select)" "$again") × the time of \`cat wal.jsonl\`"
    row_rate "\`sqlite3\`, with \`hex(vector)\`" "$(median select_hex)" "$(ratio "$(median select_hex)" "$again") × the time"
    [ ! -e "$work/times/chops" ] ||
        row_rate '`chops wal export`' "$(median chops)" "$(ratio "$(median chops)" "$again") × the time, $compared"
    row_ms "SQLite's scan of all values" "$scan"
    row_ms 'mount to first `stat`, never measured before' "$cold_stat" "$(ratio "$cold_stat" "$scan") × the time of the scan"
    row_ms 'mount to first `stat`, measured at an earlier mount' "$(median warm_stat)"
}

sum() { awk -v a="$1" -v b="$2" 'BEGIN { print a + b }'; }

# speed ROWS DIMENSION
speed() {
    "$here/make_dir.sh" log "$base" "$work/log" "$1" "$2"
    size=$(mount_and_stat "$work/log")
    unmount_now "$work/log"
    start_times
    speed_rounds
    chops_rounds
    say "$1 rows of $2 dimensions, $((size / 1048576)) MiB of lines, load $(cut -d ' ' -f 1 /proc/loadavg)"
    say
    speed_table
    say
    rm -rf "$work/log"
}

# --- large ----------------------------------------------------------------

peak_of() { awk '$1 == "VmHWM:" { printf "%.0f MiB", $2 / 1024 }' "/proc/$pid/status"; }

cache_size() { find "$work/cache" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%.1f MiB", sum / 1048576 }'; }

large_stats() {
    for _ in $(seq "$rounds"); do
        sample scan "$BENCH_PROGRAMS/scan" "$work/log/chroma.sqlite3"
        forget
        sample cold_stat mount_and_stat "$work/log"
        unmount_now "$work/log"
        sample warm_stat mount_and_stat "$work/log"
        unmount_now "$work/log"
    done
    row_ms 'mount to first `stat`, never measured before' "$(median cold_stat)" "$(ratio "$(median cold_stat)" "$(median scan)") × the time of SQLite's scan"
    row_ms 'mount to first `stat`, measured at an earlier mount' "$(median warm_stat)"
}

large_reads() {
    file=$mnt/wal.jsonl
    for _ in $(seq "$rounds"); do
        sample head head -n 1 "$file"
        sample tail tail -c 1M "$file"
        sample last tail -n 1 "$file"
    done
    row_ms '`head -n 1`' "$(median head)"
    row_ms '`tail -n 1`' "$(median last)"
    row_ms '`tail -c 1M`' "$(median tail)"
    "$BENCH_PROGRAMS/random_reads" "$file" 1000 4096 >"$work/reads"
    read -r middle rare worst <"$work/reads"
    row '1,000 reads of 4 KiB anywhere, each' "$middle ms" "99 % below $rare ms, all below $worst ms"
}

# Each stat follows a commit.
after_inserts() {
    for _ in $(seq "$rounds"); do
        sqlite3 "$work/log/chroma.sqlite3" "INSERT INTO embeddings_queue(operation,topic,id,vector,encoding,metadata)
            SELECT operation,topic,id,vector,encoding,metadata FROM embeddings_queue WHERE seq_id=1"
        sample inserted stat "$mnt/wal.jsonl"
    done
    row_ms '`stat` after an INSERT' "$(median inserted)"
}

large_copies() {
    sample cat cat "$mnt/wal.jsonl"
    row_rate '`cat wal.jsonl`' "$(median cat)"
    row 'peak memory of the program after all that' "$(peak_of)"
    mkdir "$work/copy"
    sample copy rsync -a "$mnt/wal.jsonl" "$work/copy/"
    row_rate '`rsync -a wal.jsonl`' "$(median copy)"
    unmount_now "$work/log"
    mount_now "$work/log"
    sample copy_again rsync -a --stats "$mnt/wal.jsonl" "$work/copy/"
    sent=$(rsync -a --stats "$mnt/wal.jsonl" "$work/copy/" | sed -n 's/^Total transferred file size: \([0-9,]*\) bytes.*/\1/p')
    row_ms 'second `rsync -a wal.jsonl`, mounted again' "$(median copy_again)" "$sent bytes sent"
    rm -rf "$work/copy"
}

large() {
    "$here/make_dir.sh" log "$base" "$work/log" "$large_rows" 384
    size=$(mount_and_stat "$work/log")
    unmount_now "$work/log"
    start_times
    say "$large_rows rows of 384 dimensions, $((size / 1048576)) MiB of lines, load $(cut -d ' ' -f 1 /proc/loadavg)"
    say
    head_of 'what' 'median'
    large_stats
    mount_now "$work/log"
    find_daemon "$work/log"
    large_reads
    after_inserts
    large_copies
    row "the cache's file" "$(cache_size)"
    unmount_now "$work/log"
    say
    rm -rf "$work/log"
}

# --- many collections -----------------------------------------------------

many() {
    "$here/make_dir.sh" log "$base" "$work/log" "$large_rows" 384 "$collections"
    start_times
    forget
    one=$mnt/collections/collection-$(printf '%05d' $((collections / 2)))/wal.jsonl
    say "$large_rows rows of 384 dimensions, of $collections collections in turn, load $(cut -d ' ' -f 1 /proc/loadavg)"
    say
    head_of 'what' 'median'
    sample scan "$BENCH_PROGRAMS/scan" "$work/log/chroma.sqlite3"
    sample cold_stat mount_and_stat "$work/log"
    row_ms 'mount to first `stat`, never measured before' "$(median cold_stat)" "$(ratio "$(median cold_stat)" "$(median scan)") × the time of SQLite's scan"
    sample stat stat "$one"
    row_ms "first \`stat\` of one collection's" "$(median stat)"
    for _ in $(seq "$rounds"); do sample one cat "$one"; done
    row_ms "\`cat\` of one collection's, $((large_rows / collections)) rows" "$(median one)"
    after_inserts
    find_daemon "$work/log"
    row 'peak memory of the program' "$(peak_of)"
    unmount_now "$work/log"
    for _ in $(seq "$rounds"); do
        sample warm_stat mount_and_stat "$work/log"
        unmount_now "$work/log"
    done
    row_ms 'mount to first `stat`, measured at an earlier mount' "$(median warm_stat)"
    rm -rf "$work/log"
}

need sqlite3 rsync pgrep
start_work
for part in ${WAL:-speed large many}; do
    case $part in
    speed) for log in $logs; do speed "${log%x*}" "${log#*x}"; done ;;
    large) large ;;
    many) many ;;
    esac
done
