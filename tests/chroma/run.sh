#!/bin/sh
# usage: tests/chroma/run.sh
#
# Tests against real Chroma releases and the peer tool chops: installs the environments that they need (venvs.sh), builds
# chromafs if CHROMAFS does not name one, and runs every script below with every version or fixture that it is for, as a test
# of its own (fresh-0.4.3, fixture-1.5.9-nopurge ...), under tests/mount/run.sh, whose environment variables apply.
# Without FULL=1 the longest of them take a part of the fixtures, and say which. A test that could not run has failed. Ends with `N passed, N failed`.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd "$here/../.."

VERSIONS='0.4.3 0.4.24 0.5.0 0.5.11 0.5.23 0.6.3 1.0.20 1.5.9'

# One fixture of each generation of the schema: (sysdb, metadb, embeddings_queue) 3-1-1, 4-3-1, 5-3-1, 9-4-2, 9-5-2 and 10-6-2.
GENERATIONS='0.4.3 0.4.24 0.5.0 0.5.23 0.6.3 1.0.20 1.5.9'

fixtures() { (cd tests/fixtures && printf '%s\n' chroma-*.tar.xz) | sed 's/^chroma-//; s/[.]tar[.]xz$//'; }

# some_fixtures OFFSET: one of each generation, and of the rest another one each day; all of them with FULL=1, or if TEST chooses
some_fixtures() {
    if [ -n "${FULL-}" ] || [ "${TEST:-*}" != '*' ]; then
        fixtures
    else
        # shellcheck disable=SC2086  # a list of words
        printf '%s\n' $GENERATIONS
        # shellcheck disable=SC2086  # a list of words
        fixtures | grep -vxF "$(printf '%s\n' $GENERATIONS)" |
            awk -v day="$(($(date +%s) / 86400 + $1))" '{ rest[NR - 1] = $0 } END { if (NR > 0) print rest[day % NR] }'
    fi | tr '\n' ' '
}

# in_full SUBJECT...: what others stand for from day to day
in_full() { [ -z "${FULL-}" ] && [ "${TEST:-*}" = '*' ] || echo "$*"; }

# rotating COUNT SUBJECT...: so many of them, others each day; all of them with FULL=1, or if TEST chooses
rotating() {
    count=$1
    shift
    [ -z "${FULL-}${WHOLE-}" ] && [ "${TEST:-*}" = '*' ] || count=$#
    printf '%s\n' "$@" | awk -v day="$(($(date +%s) / 86400))" -v count="$count" '
    { all[NR - 1] = $0 }
    END { for (i = 0; i < count; i++) print all[(day * count + i) % NR] }' | tr '\n' ' '
}

# script: its subjects
tests() {
    echo "live: $(rotating 1 0.6.3 1.5.9)"
    echo "wal_live: $(rotating 1 1.5.9 0.6.3)"
    echo "operations_live: 0.6.3 1.5.9"
    echo "maintain: 0.6.3 1.5.9"
    # shellcheck disable=SC2086  # lists of words
    echo "erase: $(rotating 2 $VERSIONS)"
    echo "faults: 0.5.23 1.5.9"
    echo "journal: 0.6.3 1.5.9"
    echo "chops: 0.5.23 0.6.3"
    echo "wal_chops: 0.5.23 0.6.3"
    echo "wal: 0.4.3 0.5.11 0.6.3 1.5.9-nopurge"
    echo "migrate: 0.4.24"
    echo "recall: digits $(in_full glove)"
    echo "fresh: $VERSIONS"
    echo "fixture: $(fixtures | tr '\n' ' ')"
    echo "hnsw_same: 0.6.3 1.5.9"
    echo "hnsw_load: $(some_fixtures 0)"
    echo "operations: $(some_fixtures 2)"
    echo "commit_metadata: 0.4.24 0.5.23 1.0.20 1.5.9 $(in_full 0.4.3 0.5.0 0.5.11 0.6.3)"
    echo "commit_live: 0.4.24 0.6.3 1.5.9"
    echo "commit_busy: 0.4.24 0.6.3 1.5.9"
    echo "commit_random: 0.4.3 0.4.24 0.5.23 0.6.3 1.0.20 1.5.9"
    echo "commit_upgrade: 1.5.9"
    echo "commit_emptied: 0.4.24 0.6.3 1.5.9"
    # shellcheck disable=SC2086  # lists of words
    echo "rebuild_options: $(rotating 3 $VERSIONS 0.4.3-0.6.3 0.4.24-1.5.9)"
    echo "commit: $(some_fixtures 4)"
    # shellcheck disable=SC2086  # lists of words
    echo "rebuild_damage: $(rotating 1 $GENERATIONS)"
}

give_up() {
    echo "$1" >&2
    echo '0 passed, 1 failed'
    exit 1
}

# Each test is a link to its script, which knows its subject by the name of the link.
make_links() {
    tests | while IFS=': ' read -r script subjects; do
        for subject in $subjects; do
            ln -s "$here/$script.sh" "$1/$script-$subject.test.sh"
        done
    done
}

# tell_share: the rest is left to FULL=1
tell_share() {
    for script in hnsw_load operations commit; do
        subjects=$(tests | sed -n "s/^$script: //p")
        echo "share of $script: $(echo "$subjects" | wc -w) of $(fixtures | wc -l) fixtures: $subjects"
    done
    echo "share of journal: $KILLS of $ALL_KILLS kills"
    echo "share of recall: $([ -n "${FULL-}" ] && echo 2 || echo 1) of 2 sets of vectors"
    for script in live wal_live erase rebuild_options rebuild_damage; do
        subjects=$(tests | sed -n "s/^$script: //p")
        all=$(WHOLE=1 tests | sed -n "s/^$script: //p" | wc -w)
        echo "share of $script: $(echo "$subjects" | wc -w) of $all subjects: $subjects"
    done
    echo "share of commit_metadata: $(tests | sed -n "s/^commit_metadata: //p" | wc -w) of $(echo "$VERSIONS" | wc -w) releases"
}

ALL_KILLS=30 # by each release
ALL_VECTORS=400000
if [ -n "${FULL-}" ]; then
    KILLS=${KILLS:-$ALL_KILLS} RECALL_VECTORS=$ALL_VECTORS
else
    KILLS=${KILLS:-20} RECALL_VECTORS=50000
fi
export KILLS RECALL_VECTORS
links=$(mktemp -d)
trap 'rm -rf "$links"' EXIT
trap 'exit 1' HUP INT TERM
make_links "$links"
[ "${TEST:-*}" != '*' ] || tell_share
"$here/venvs.sh" || give_up 'the environments of the Chroma releases could not be made'
[ -n "${CHROMAFS-}" ] || make -s all build/tests/faults/faults build/tests/bench/hnsw_recall build/tests/chroma/hnsw_build build/tests/chroma/commit_metadata fixtures ||
    give_up 'chromafs could not be built'
status=0
CI=true JOBS=${JOBS:-2} CHROMAFS_CHROMA=$here LOGS=${LOGS:-build/results/chroma-logs} \
    REPEAT=${REPEAT:-tests/chroma/run.sh} tests/mount/run.sh "$links" || status=$?
exit "$status"
