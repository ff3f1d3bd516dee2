#!/bin/sh
# usage: scripts/check-unit.sh PROGRAM...
# Runs unit test programs (cmocka) one after another and counts their tests. A test that skipped itself counts as failed
# when CI=true: there, everything that tests need is present.
set -eu
cd "$(dirname "$0")/.."
. scripts/count.sh

CHROMAFS=$(absolute "${CHROMAFS:-build/chromafs}")
CHROMAFS_FIXTURES=$(absolute "${CHROMAFS_FIXTURES:-build/fixtures}")
export CHROMAFS CHROMAFS_FIXTURES
export TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS-}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

number_of() {
    grep -c "^\[ *$1 *\] ." "$log" || :
}

# The list at the end repeats what failed or was skipped, so only what comes before it is counted.
count_tests() {
    sed -i '/^\[==========\] .* run\.$/q' "$log"
    ok=$(number_of OK)
    bad=$(number_of FAILED)
    skipped=$(number_of SKIPPED)
    [ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    [ $((ok + bad + skipped)) -gt 0 ] || bad=1
    [ "${CI-}" != true ] || bad=$((bad + skipped))
    passed=$((passed + ok))
    failed=$((failed + bad))
}

run_program() {
    name=$(basename "$1")
    status=0
    # shellcheck disable=SC2086  # the wrapper is a command and its options
    timeout -k 5 "${TEST_SECONDS:-300}" ${CHROMAFS_WRAPPER-} "$1" >"$log" 2>&1 </dev/null || status=$?
    cp "$log" "$log.all"
    count_tests
    if [ "$bad" -gt 0 ]; then
        cat "$log.all"
        echo "  FAIL    $name: $bad failed, exit status $status; to repeat: $1"
    else
        echo "  ok      $name: $ok$([ "$skipped" -eq 0 ] || echo ", $skipped skipped")"
    fi
    rm -f "$log.all"
}

start_result
for program in "$@"; do
    run_program "$program"
done
finish
