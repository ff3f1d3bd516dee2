# Verbs for the tests of chromafs-maintain and chromafs-erase. They are run as installed: next to chromafs, found in PATH; their temporary files are in $WORK/tmp.
# shellcheck shell=sh
TMPDIR=$WORK/tmp
PATH=$WORK/bin:$PATH
export TMPDIR PATH
mkdir "$WORK/bin" "$WORK/tmp"
for program in chromafs-maintain chromafs-erase; do
    cp "${CHROMAFS_LIB%/tests/mount/lib.sh}/scripts/$program" "$WORK/bin/"
done
printf '#!/bin/sh\nexec %s "%s" "$@"\n' "${CHROMAFS_WRAPPER-}" "$CHROMAFS" >"$WORK/bin/chromafs"
chmod 755 "$WORK/bin" "$WORK/bin/chromafs" "$WORK/bin/chromafs-maintain" "$WORK/bin/chromafs-erase"
# What runs it: one of the shells.
MAINTAIN=$WORK/bin/chromafs-maintain
ERASE=$WORK/bin/chromafs-erase

# run_maintain ARGUMENT...: its output is in $WORK/out and $WORK/err, its exit status in $STATUS
run_maintain() {
    STATUS=0
    # shellcheck disable=SC2086  # a shell and the script
    $MAINTAIN "$@" >"$WORK/out" 2>"$WORK/err" </dev/null || STATUS=$?
}

# maintain ARGUMENT...: succeeds, says nothing, leaves nothing
maintain() {
    run_maintain "$@"
    assert_eq '0 ' "$STATUS $(cat "$WORK/out" "$WORK/err")" "status and output of chromafs-maintain $*"
    assert_nothing_left
}

# assert_maintain STATUS TEXT ARGUMENT...: ends with that status, says TEXT in the one line on stderr and nothing on stdout, and leaves nothing
assert_maintain() {
    expected=$1 text=$2
    shift 2
    run_maintain "$@"
    assert_eq "$expected" "$STATUS" "status of chromafs-maintain $*: $(cat "$WORK/err")"
    assert_eq 1 "$(wc -l <"$WORK/err")" "lines on stderr of chromafs-maintain $*: $(cat "$WORK/err")"
    assert_contains "$WORK/err" "$text"
    assert_eq 0 "$(wc -c <"$WORK/out")" "bytes on stdout of chromafs-maintain $*"
    assert_nothing_left
}

# assert_nothing_left: neither mount nor folder of a run
assert_nothing_left() {
    assert_eq '' "$(find "$TMPDIR" -mindepth 1 -maxdepth 1 -name 'chromafs-*.*')" 'temporary folders'
    ! grep -F "$TMPDIR/chromafs-maintain." /proc/self/mountinfo || fail 'a mount is left'
}

# tear DIR COLLECTION FILE BYTES: that file of its index, of a collection of the default database, ends there, since an hour ago
tear() {
    torn=$1/$(segment_of "$1" "$2" VECTOR)
    truncate -s "$4" "$torn/$3"
    touch -d '-1 hour' "$torn"/* "$torn"
}

# rows DIR: of its log
rows() { sql "$1" 'SELECT count(*) FROM embeddings_queue'; }

# operations DIR: what its history has, each with its status, in one line
operations() { jq -r '"\(.operation):\(.status)"' "$1/.chromafs/history.jsonl" | tr '\n' ' '; }

# shells: what can run it here, one a line
shells() {
    for shell in dash bash 'busybox sh'; do
        ! command -v "${shell%% *}" >/dev/null || echo "$shell"
    done
}

# run_erase ARGUMENT...: chromafs-erase, which is next to them; the same
run_erase() {
    STATUS=0
    # shellcheck disable=SC2086  # a shell and the script
    $ERASE "$@" >"$WORK/out" 2>"$WORK/err" </dev/null || STATUS=$?
}
