#!/bin/sh
# usage: scripts/test.sh
# Installs what is missing and runs all tests (`make check`). Its last line is `N passed, N failed`.
set -u
cd "$(dirname "$0")/.." || exit 1
unset RESULT TEST BUILD D MAKEFLAGS
results=build/results

give_up() {
    echo "$1" >&2
    echo '0 passed, 1 failed'
    exit 1
}

scripts/install-deps.sh build test || give_up 'the packages that the tests need could not be installed'
rm -rf "$results"
make -k -j "$(nproc)" all || give_up 'chromafs could not be built'
make -k check-parts </dev/null
exec scripts/sum.sh "$results/unit" "$results/fuzz-corpus" "$results/faults" "$results/mount" "$results/docs"
