#!/bin/sh
# usage: tests/mount/run.sh [FOLDER]
#
# Runs every executable *.test.sh of FOLDER (this one) whose name matches TEST, each in a work directory and with a time
# limit of its own; removes the mounts and ends the processes that it left behind; ends with `N passed, N failed`.
#
# A test exits with 0 (passed), 77 (skipped) or anything else (failed). Lines in its first comment change that:
#   # limit: 300             seconds it may take (120)
#   # skip-allowed: REASON   with CI=true, where a skipped test counts as failed, this one may be skipped
# Whatever a sanitizer writes about a program that the test started fails the test.
#
# Environment: CHROMAFS (the program), CHROMAFS_FIXTURES (unpacked fixtures; read-only), CHROMAFS_WRAPPER (what to start
# the daemon with), TEST (a glob), LEAVE_OUT (globs of tests not to run), HALF=N (only half of them; with the next number the other half), JOBS (tests at a time; one a processor), FULL=1 (what takes long, too), KEEP=1 (keep the work directories), REPEAT (how a user runs
# this), RESULT (a file for the last line), LOGS (a folder for the tests' output).
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
folder=$(CDPATH='' cd -- "${1:-$here}" 2>/dev/null && pwd) || folder=
cd "$here/../.."
. scripts/count.sh

# --- one test -------------------------------------------------------------

# header NAME TEST: the value of `# NAME: value` in its first comment
header() {
    sed -n "/^#/!q; s/^# $1: *//p" "$2" | head -n 1
}

# processes_of DIR: the pids of those that were started by the test with this work directory, known by their environment
processes_of() {
    for file in /proc/[0-9]*/environ; do
        if tr '\0' '\n' 2>/dev/null <"$file" | grep -qxF "CHROMAFS_TEST_DIR=$1"; then
            pid=${file#/proc/}
            echo "${pid%/environ}"
        fi
    done 2>/dev/null
}

mounts_below() {
    # mountinfo writes a blank as \040
    awk -v dir="$1/" '{ gsub(/\\040/, " ", $5); if (index($5, dir) == 1) print $5 }' /proc/self/mountinfo | sort -r
}

# end_processes DIR: first kindly
end_processes() {
    for signal in TERM KILL; do
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            pids=$(processes_of "$1")
            [ -n "$pids" ] || return 0
            # shellcheck disable=SC2086  # a list of numbers
            kill -"$signal" $pids 2>/dev/null || :
            sleep 0.2
        done
    done
}

# tidy DIR: true if the test left nothing behind. A mount whose daemon hangs is detached, so that nothing waits for it.
tidy() {
    clean=0
    mounts=$(mounts_below "$1")
    pids=$(processes_of "$1")
    if [ -n "$mounts$pids" ]; then
        clean=1
        echo "left behind: mounts: $(echo "$mounts" | tr '\n' ' ') processes: $(describe "$pids")"
    fi
    mounts_below "$1" | while read -r mount; do
        fusermount3 -uz "$mount" 2>/dev/null || umount -l "$mount" || :
    done
    end_processes "$1"
    return "$clean"
}

describe() {
    for pid in $1; do
        printf '%s (%s) ' "$pid" "$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" || :)"
    done
}

sanitizer_reports() {
    find "$1/sanitizer" -type f -size +0 -exec cat {} +
}

# The folder for reports is open to all: a daemon may run as another user.
prepare() {
    mkdir "$1" "$1/sanitizer" "$1/work"
    chmod 755 "$1" "$1/work"
    chmod 1777 "$1/sanitizer"
}

# watch DIR SECONDS: says what still runs then, and what the kernel waits for: the time limit ends it without a word
watch() {
    sleep "$2" &
    sleeper=$!
    trap 'kill "$sleeper"; exit' TERM
    wait "$sleeper"
    echo "still running after $2 s:"
    for pid in $(processes_of "$1/work"); do
        printf '%s waits in %s\n' "$(describe "$pid")" "$(cat /proc/"$pid"/task/*/wchan 2>/dev/null)"
    done
}

run_in() {
    limit=$(header limit "$2")
    watch "$1" $((${limit:-120} - 5)) >"$1/watched" 2>/dev/null &
    watcher=$!
    in_status=0
    run_limited "$1" "$2" || in_status=$?
    kill "$watcher" 2>/dev/null || :
    wait "$watcher" 2>/dev/null || :
    case $in_status in
    124 | 137) cat "$1/watched" >>"$1/log" ;;
    esac
    return "$in_status"
}

run_limited() {
    log_path="log_path=$1/sanitizer/report"
    env CHROMAFS_TEST_DIR="$1/work" CHROMAFS_LIB="$here/lib.sh" \
        ASAN_OPTIONS="$log_path:${ASAN_OPTIONS-}" LSAN_OPTIONS="$log_path:${LSAN_OPTIONS-}" \
        UBSAN_OPTIONS="$log_path:print_stacktrace=1:${UBSAN_OPTIONS-}" TSAN_OPTIONS="$log_path:${TSAN_OPTIONS-}" \
        timeout -k 10 "${limit:-120}" "$2" >"$1/log" 2>&1 </dev/null
}

# verdict DIR TEST STATUS: sets $verdict and $why
verdict() {
    reports=$(sanitizer_reports "$1")
    [ -z "$reports" ] || echo "$reports" >>"$1/log"
    case $3 in
    0) verdict=ok why='' ;;
    77) verdict=skip why=$(tail -n 1 "$1/log") ;;
    124 | 137) verdict=FAIL why='the time limit ended it' ;;
    *) verdict=FAIL why="exit status $3" ;;
    esac
    if [ "$verdict" = skip ] && [ "${CI-}" = true ] && [ -z "$(header skip-allowed "$2")" ]; then
        verdict=FAIL why="skipped, which is not allowed with CI=true: $why"
    fi
    [ -z "$reports" ] || verdict=FAIL why="$why a sanitizer reported something"
}

run_one() {
    name=$(basename "$1" .test.sh)
    dir=$CHROMAFS_WORK/$name
    start=$(date +%s)
    prepare "$dir"
    status=0
    run_in "$dir" "$1" || status=$?
    left=0
    tidy "$dir/work" >>"$dir/log" 2>&1 || left=1
    verdict "$dir" "$1" "$status"
    if [ "$left" -eq 1 ] && [ "$verdict" = ok ]; then
        verdict=FAIL why='it left mounts or processes behind'
    fi
    wall=$(($(date +%s) - start))
    times >"$dir/times"
    processor=$(processor_seconds <"$dir/times")
    echo "$wall $processor $name" >"$dir/seconds"
    tell >"$dir/told"
    cat "$dir/told"
    echo "$verdict" >"$dir/verdict"
    cp "$dir/log" "$CHROMAFS_LOGS/$name.log"
    [ "$verdict" = FAIL ] || [ "${KEEP-}" = 1 ] || rm -rf --one-file-system "$dir/work"
}

# processor_seconds: from what `times` printed, of the shell and its children: of what they started only if somebody waited for it
processor_seconds() { tr 'ms' '  ' | awk '{ n += 60 * ($1 + $3) + $2 + $4 } END { printf "%.1f", n }'; }

tell() {
    [ "$verdict" != FAIL ] || sed "s/^/    $name: /" "$dir/log"
    printf '  %-7s %s (%s s, processor %s s)%s\n' "$verdict" "$name" "$wall" "$processor" "${why:+: $why}"
    [ "$verdict" != FAIL ] || printf '          log: %s; to repeat: TEST=%s KEEP=1 %s\n' \
        "$CHROMAFS_LOGS/$name.log" "$name" "${REPEAT:-tests/mount/run.sh}"
}

# --- all of them ----------------------------------------------------------

# is_left_out NAME
is_left_out() {
    set -f
    # shellcheck disable=SC2086  # a list of globs
    set -- "$1" ${LEAVE_OUT-}
    set +f
    name=$1
    shift
    for glob; do
        # shellcheck disable=SC2254  # it is one
        case $name in
        $glob) return 0 ;;
        esac
    done
    return 1
}

# is_other_half NAME: with HALF=N, whether it has its turn at the next number
is_other_half() {
    [ -n "${HALF-}" ] && [ $((($(printf %s "$1" | cksum | cut -d ' ' -f 1) + HALF) % 2)) -ne 0 ]
}

# selected FOLDER: those with the highest time limit first, so that none of them is alone in the end
selected() {
    for test in "$1"/*.test.sh; do
        ! is_left_out "${test##*/}" || continue
        ! is_other_half "${test##*/}" || continue
        # shellcheck disable=SC2254  # TEST is a glob
        case ${test##*/} in
        ${TEST:-*}.test.sh | ${TEST:-*})
            limit=$(header limit "$test")
            [ ! -x "$test" ] || printf '%s %s\n' "${limit:-120}" "$test"
            ;;
        esac
    done | sort -k1,1nr -k2 | cut -d ' ' -f 2- | tr '\n' '\0'
}

count_verdicts() {
    skipped=0
    for file in "$CHROMAFS_WORK"/*/verdict; do
        [ -f "$file" ] || continue
        case $(cat "$file") in
        ok) passed=$((passed + 1)) ;;
        skip) skipped=$((skipped + 1)) ;;
        *) failed=$((failed + 1)) ;;
        esac
    done
    [ "$skipped" -eq 0 ] || echo "$skipped skipped"
}

# tell_slowest: where the time went
tell_slowest() {
    [ "$started" -gt 10 ] || return 0
    cat "$CHROMAFS_WORK"/*/seconds 2>/dev/null | sort -nr >"$CHROMAFS_WORK/seconds"
    awk '{ wall += $1; processor += $2 } END { printf "%d s in %d tests, %d s of processor time; longest:", wall, NR, processor }' "$CHROMAFS_WORK/seconds"
    head -n 10 "$CHROMAFS_WORK/seconds" | awk '{ printf "%s %s %d s (%d)", NR == 1 ? "" : ",", $3, $1, $2 } END { print "" }'
}

# tidy_all: after an interruption tests may still run, and have mounts, through which nothing is removed
tidy_all() {
    for work in "$CHROMAFS_WORK"/*/work; do
        [ ! -d "$work" ] || tidy "$work" || :
    done
}

end_run() {
    tidy_all
    if [ "${KEEP-}" = 1 ]; then
        echo "kept: $CHROMAFS_WORK"
    else
        rm -rf --one-file-system "$CHROMAFS_WORK"
    fi
}

run_all() {
    CHROMAFS=$(absolute "${CHROMAFS:-build/chromafs}")
    CHROMAFS_FIXTURES=$(absolute "${CHROMAFS_FIXTURES:-build/fixtures}")
    CHROMAFS_LOGS=$(absolute "${LOGS:-build/results/mount-logs}")
    CHROMAFS_WORK=$(mktemp -d "${TMPDIR:-/tmp}/chromafs-test.XXXXXX")
    export CHROMAFS CHROMAFS_FIXTURES CHROMAFS_LOGS CHROMAFS_WORK
    trap 'end_run; exit 1' INT TERM HUP
    chmod 755 "$CHROMAFS_WORK"
    rm -rf "$CHROMAFS_LOGS"
    mkdir -p "$CHROMAFS_LOGS"
    selected "$1" >"$CHROMAFS_WORK/list"
    started=$(tr -cd '\0' <"$CHROMAFS_WORK/list" | wc -c)
    xargs -0 -r -n 1 -P "${JOBS:-$(nproc)}" "$here/run.sh" --one <"$CHROMAFS_WORK/list" || :
    [ -z "${LEAVE_OUT-}${HALF-}" ] || echo "share of mounts: $started of $(LEAVE_OUT='' HALF='' selected "$1" | tr -cd '\0' | wc -c) tests"
    count_verdicts
    # A test without a verdict was lost: that is no success.
    failed=$((failed + started - passed - failed - skipped))
    tell_slowest
    end_run
    finish
}

if [ "${1-}" = --one ]; then
    run_one "$2"
else
    start_result
    run_all "${folder:?is no folder}"
fi
