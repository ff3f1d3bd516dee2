#!/bin/sh
# What can't be mounted is refused with one line that says why and status 1, with nothing mounted and nothing written.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

# refused WHAT TEXT [COMMAND...]: mounting $DIR, by way of the command
refused() {
    what=$1 text=$2
    shift 2
    before=$(directory_state 2>&1 || :)
    status=0
    # shellcheck disable=SC2086  # the wrapper is a command and its options
    "$@" timeout 60 ${CHROMAFS_WRAPPER-} "$CHROMAFS" "$DIR" "$MNT" >out 2>err </dev/null || status=$?
    note "$what: $(cat err)"
    assert_eq 1 "$status" "$what: exit status"
    assert_eq 1 "$(wc -l <err)" "$what: lines on stderr"
    assert_eq 0 "$(wc -c <out)" "$what: bytes on stdout"
    assert_contains err "$text"
    assert_fails mountpoint -q "$MNT"
    assert_eq "$before" "$(directory_state 2>&1 || :)" "$what: the directory before and after"
}

# another: $DIR becomes a fresh copy
another() {
    rm -rf "$WORK/chroma-1.5.9"
    copy_fixture chroma-1.5.9
    database=$DIR/chroma.sqlite3
}

no_directory() {
    DIR=$WORK/nowhere
    refused 'no such directory' "$(errno_text ENOENT)"
    : >"$WORK/file"
    DIR=$WORK/file
    refused 'a file' 'not a directory'
    mkfifo "$WORK/fifo"
    DIR=$WORK/fifo
    refused 'a FIFO' 'not a directory'
    mkdir "$WORK/nothing"
    DIR=$WORK/nothing
    refused 'an empty directory' chroma.sqlite3
}

no_database() {
    another
    rm "$database"
    refused 'no database' chroma.sqlite3
    mkdir "$database"
    refused 'a directory instead of a database' chroma.sqlite3
    rmdir "$database"
    mkfifo "$database"
    refused 'a FIFO instead of a database' chroma.sqlite3
    rm "$database"
    ln -s "$CHROMAFS_FIXTURES/chroma-1.5.9/dir/chroma.sqlite3" "$database"
    refused 'a link instead of a database' chroma.sqlite3
    rm "$database"
    ln -s nowhere "$database"
    refused 'a dangling link instead of a database' chroma.sqlite3
}

bad_database() {
    another
    size=$(stat -c %s "$database")
    for bytes in $((size / 2)) 4096 100 99 15 1 0; do
        truncate -s "$bytes" "$database"
        refused "a database cut at $bytes bytes" chroma.sqlite3
    done
    head -c 65536 /dev/zero >"$database"
    refused 'zeroes' chroma.sqlite3
    seq 20000 >"$database"
    refused 'text' chroma.sqlite3
    rm "$database"
    sqlite3 "$database" 'CREATE TABLE other (x)'
    refused "somebody else's database" 'no Chroma directory'
}

wal_mode() {
    another
    sqlite3 "$database" 'PRAGMA journal_mode=wal' >wal
    assert_eq wal "$(cat wal)"
    refused 'WAL mode' WAL
    another
    head -c 4152 /dev/urandom >"$database-wal"
    refused 'a file -wal' chroma.sqlite3-wal
}

# chromafs as another user may not be found or executed: then there is nothing to see.
unreadable_directory() {
    [ "$(id -u)" -eq 0 ] || return 0
    as_nobody test -x "$CHROMAFS" || return 0
    another
    chmod 700 "$DIR"
    refused 'a directory of somebody else' "$(errno_text EACCES)" as_nobody
    chmod 755 "$DIR"
    chmod 600 "$database"
    refused 'a database of somebody else' "$(errno_text EACCES)" as_nobody
}

mkdir "$MNT"
no_directory
no_database
bad_database
wal_mode
unreadable_directory
