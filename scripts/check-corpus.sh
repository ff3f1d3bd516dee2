#!/bin/sh
# usage: scripts/check-corpus.sh BUILD/tests/fuzz/replay_NAME...
# Runs each fuzz target once over tests/fuzz/seeds/NAME, with any compiler; an input that crashed once becomes a seed, and
# is tested for ever.
set -eu
cd "$(dirname "$0")/.."
. scripts/count.sh

seeds=tests/fuzz/seeds
log=$(mktemp)
trap 'rm -f "$log"' EXIT

run_target() {
    name=${1##*/replay_}
    status=0
    counts=
    # shellcheck disable=SC2086  # the wrapper is a command and its options
    ${CHROMAFS_WRAPPER-} "$1" "$seeds/$name" >"$log" 2>&1 </dev/null || status=$?
    if add_counts "$log" && [ "$status" -eq 0 ]; then
        echo "  ok      $name: ${counts% *} seeds"
    else
        cat "$log"
        echo "  FAIL    $name; to repeat: $1 $seeds/$name"
        [ "${counts#* }" -gt 0 ] 2>/dev/null || failed=$((failed + 1))
    fi
}

start_result
for target in "$@"; do
    run_target "$target"
done
finish
