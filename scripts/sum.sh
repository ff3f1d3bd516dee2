#!/bin/sh
# usage: scripts/sum.sh FILE...
# Adds up the counts that the parts of `make check` left behind. A part that left none could not run: that is a failure.
set -eu
cd "$(dirname "$0")/.."
. scripts/count.sh
unset RESULT TEST

for file in "$@"; do
    if [ ! -f "$file" ] || ! add_counts "$file"; then
        echo "check-$(basename "$file") could not run" >&2
        failed=$((failed + 1))
    fi
done
finish
