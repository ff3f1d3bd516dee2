#!/bin/sh
# usage: scripts/fuzz.sh BUILD BUILD/tests/fuzz/fuzz_NAME...
# Runs each libFuzzer target for FUZZ_SECONDS, as many at a time as there are processors (FUZZ_JOBS). The corpus grows in
# BUILD/corpus/NAME, at first from tests/fuzz/seeds/NAME and the fixtures; what crashes is kept in BUILD/crashes/.
set -eu
cd "$(dirname "$0")/.."
. scripts/count.sh

seeds=tests/fuzz/seeds
FUZZ_SECONDS=${FUZZ_SECONDS:-1800}
FUZZ_JOBS=${FUZZ_JOBS:-$(nproc)}

# fixture_files NAME: which files of a persist directory look like the input of the target
fixture_files() {
    case $1 in
    *pickle*) echo 'index_metadata.pickle' ;;
    *hnsw* | *header* | *label* | *link*) echo 'header.bin length.bin link_lists.bin data_level0.bin' ;;
    *vfs* | *db* | *journal* | *catalog* | *wal*) echo 'chroma.sqlite3' ;;
    esac
}

# seed NAME CORPUS: large inputs only slow a fuzzer down
seed() {
    mkdir -p "$2"
    [ ! -d "$seeds/$1" ] || find "$seeds/$1" -type f -exec cp {} "$2" \;
    for file in $(fixture_files "$1"); do
        find "${CHROMAFS_FIXTURES:-$build/fixtures}" -name "$file" -size -1024k | while read -r path; do
            cp "$path" "$2/fixture-$(cksum <"$path" | tr ' ' -)"
        done
    done
}

run_target() {
    name=${1##*/fuzz_}
    corpus=$build/corpus/$name
    seed "$name" "$corpus"
    if "$1" -max_total_time="$FUZZ_SECONDS" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$build/crashes/$name-" "$corpus" >"$build/$name.log" 2>&1 </dev/null; then
        echo "  ok      $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$name.log") runs, $(find "$corpus" -type f | wc -l) inputs kept"
        echo '1 passed, 0 failed' >"$build/$name.count"
    else
        tail -n 60 "$build/$name.log"
        echo "  FAIL    $name: see $build/$name.log and $build/crashes/"
        echo '0 passed, 1 failed' >"$build/$name.count"
    fi
}

if [ "${1-}" = --one ]; then
    build=$2
    run_target "$3"
    exit 0
fi

build=$1
shift
mkdir -p "$build/crashes"
[ $# -eq 0 ] || printf '%s\0' "$@" | xargs -0 -n 1 -P "$FUZZ_JOBS" scripts/fuzz.sh --one "$build"
for target in "$@"; do
    add_counts "$build/${target##*/fuzz_}.count" || failed=$((failed + 1))
done
finish
