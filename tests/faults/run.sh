#!/bin/sh
# usage: tests/faults/run.sh PROGRAM
# Kills operations, and makes their calls fail. FULL=1: at every call there is; FAULTS: options of the program; else a sample, another one each day.
set -eu
cd "$(dirname "$0")/../.."
. scripts/count.sh

CHROMAFS_FIXTURES=$(absolute "${CHROMAFS_FIXTURES:-build/fixtures}")
log=$(mktemp)
trap 'rm -f "$log"' EXIT

if [ -n "${FAULTS-}" ]; then
    options=$FAULTS
elif [ "${FULL-}" = 1 ]; then
    options=--all
else
    options=--sample=40
fi

start_result
status=0
# shellcheck disable=SC2086  # options are words
"$1" --seed="$(date +%Y%j)" $options "$CHROMAFS_FIXTURES" >"$log" 2>&1 || status=$?
grep -v '^[0-9]* passed, [0-9]* failed$' "$log" || :
add_counts "$log" || failed=$((failed + 1))
[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
finish
