# Verbs for the tests of chromafs-wal-backup. It is run as installed: next to chromafs, found in PATH; its temporary files are in $WORK/tmp.
# shellcheck shell=sh
TMPDIR=$WORK/tmp
PATH=$WORK/bin:$PATH
export TMPDIR PATH
mkdir "$WORK/bin" "$WORK/tmp"
cp "${CHROMAFS_LIB%/tests/mount/lib.sh}/scripts/chromafs-wal-backup" "$WORK/bin/"
printf '#!/bin/sh\nexec %s "%s" "$@"\n' "${CHROMAFS_WRAPPER-}" "$CHROMAFS" >"$WORK/bin/chromafs"
chmod 755 "$WORK/bin" "$WORK/bin/chromafs" "$WORK/bin/chromafs-wal-backup"

command -v rsync >/dev/null || skip 'there is no rsync'

# run_backup ARGUMENT...: its output is in $WORK/out and $WORK/err, its exit status in $STATUS
run_backup() {
    STATUS=0
    chromafs-wal-backup "$@" >"$WORK/out" 2>"$WORK/err" </dev/null || STATUS=$?
}

# back_up ARGUMENT...: succeeds, says nothing, leaves nothing, and makes one generation, whose name is in $GENERATION; NAMES is how to list
# the generations of the last argument
back_up() {
    "${NAMES:-generations}" >"$WORK/names.before"
    run_backup "$@"
    assert_eq 0 "$STATUS" "status of chromafs-wal-backup $*: $(cat "$WORK/err")"
    assert_eq '' "$(cat "$WORK/out" "$WORK/err")" "output of chromafs-wal-backup $*"
    "${NAMES:-generations}" >"$WORK/names.after"
    GENERATION=$(comm -13 "$WORK/names.before" "$WORK/names.after")
    assert_eq 1 "$(echo "$GENERATION" | grep -c '^........T......Z$')" "generations that chromafs-wal-backup $* has made"
    assert_nothing_left
}

# assert_backup_fails STATUS TEXT ARGUMENT...: with one line, and leaves nothing
assert_backup_fails() {
    expected=$1 text=$2
    shift 2
    run_backup "$@"
    assert_eq "$expected" "$STATUS" "status of chromafs-wal-backup $*: $(cat "$WORK/err")"
    assert_eq 1 "$(wc -l <"$WORK/err")" "lines on stderr of chromafs-wal-backup $*: $(cat "$WORK/err")"
    assert_contains "$WORK/err" "$text"
    assert_eq 0 "$(wc -c <"$WORK/out")" "bytes on stdout of chromafs-wal-backup $*"
    assert_nothing_left
}

# generations [FOLDER]: the names of those in it, dest if not told, one a line
generations() {
    find "${1:-dest}" -mindepth 1 -maxdepth 1 -type d -name '2*T*Z*' -printf '%f\n' 2>/dev/null | sort
}

# assert_nothing_left: neither mount nor folder nor process of a run
assert_nothing_left() {
    assert_eq '' "$(find "$TMPDIR" -mindepth 1 -maxdepth 1 -name 'chromafs-wal-backup.*')" 'temporary folders'
    ! grep -F "$TMPDIR/chromafs-wal-backup." /proc/self/mountinfo || fail 'a mount is left'
}

# logs TREE: SHA-256 of every log in it
logs() {
    (cd "$1" && find wal.jsonl collections -name wal.jsonl -exec sha256sum {} + | sort -k 2)
}

# assert_generation FOLDER [TREE]: it is whole, what its MANIFEST says, and (now) the logs of the tree
assert_generation() {
    (cd "$1" && sha256sum --quiet --strict -c MANIFEST) >&2 || fail "$1 is not what its MANIFEST says"
    assert_eq "$(cd "$1" && find . -type f ! -name MANIFEST | wc -l)" "$(grep -vc '^#' "$1/MANIFEST")" "files in $1"
    assert_eq "$(cd "$1" && sed 's/^.* //' MANIFEST | grep 'info\.json$')" info.json "info.json in $1"
    find "$1" -name wal.jsonl -size +0 -exec tail -q -c 1 {} + | tr -d '\n' >"$WORK/ends"
    assert_eq 0 "$(wc -c <"$WORK/ends")" "logs of $1 that do not end with a newline"
    [ $# -lt 2 ] || assert_eq "$(logs "$2")" "$(logs "$1")" "logs in $1"
}

# same_inode FILE FILE
same_inode() {
    [ "$(stat -c %i "$1")" = "$(stat -c %i "$2")" ]
}

# add_rows DIR NAME COUNT [BYTES]: to the log, for the collection of that name, with vectors of random bytes
add_rows() {
    change "$1" "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $3)
        INSERT INTO embeddings_queue (operation, topic, id, vector, encoding, metadata)
        SELECT 0, 'persistent://default/default/' || id, 'added-' || i, randomblob(${4:-16}), 'FLOAT32', NULL FROM n, collections WHERE name = '$2'"
}

# purge DIR NAME: all rows of that collection leave the log
purge() {
    change "$1" "DELETE FROM embeddings_queue WHERE substr(topic, -36) = (SELECT id FROM collections WHERE name = '$2')"
}
