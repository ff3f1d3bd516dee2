# Verbs for the tests of a mounted directory. A test starts with
#     #!/bin/sh
#     # What it shows, in a sentence.
#     # shellcheck source=tests/mount/lib.sh
#     . "$CHROMAFS_LIB"
# and runs under tests/mount/run.sh, in a work directory of its own ($WORK, also the current directory). The first command
# that fails ends it. Nothing here changes a fixture: mount_fixture mounts a copy.
# shellcheck shell=sh
set -eu

WORK=$CHROMAFS_TEST_DIR
: "${CHROMAFS:?}" "${CHROMAFS_FIXTURES:?}"
MNT=$WORK/mnt
DIR=
CHROMAFS=$(readlink -f "$CHROMAFS")
WAIT_SECONDS=${WAIT_SECONDS:-60}
# No test touches the user's cache.
XDG_CACHE_HOME=$WORK/.cache
export LC_ALL=C XDG_CACHE_HOME
cd "$WORK"
: >"$WORK/.mounts"

note() { printf '# %s\n' "$*"; }

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

skip() {
    printf 'skipped: %s\n' "$*"
    exit 77
}

need_root() { [ "$(id -u)" -eq 0 ] || skip 'this needs root'; }

# helper NAME ARGUMENT...: runs a program of tests/mount/helpers/, which `make` has built
helper() {
    lib_program=${CHROMAFS_HELPERS:-${CHROMAFS%/*}/tests/mount/helpers}/$1
    shift
    # shellcheck disable=SC2086  # the wrapper is a command and its options
    ${CHROMAFS_WRAPPER-} "$lib_program" "$@"
}

# --- mounting -------------------------------------------------------------

# copy_fixture NAME: copies its directory, with times, to $WORK/NAME; sets DIR
copy_fixture() {
    [ -d "$CHROMAFS_FIXTURES/$1/dir" ] || skip "there is no fixture $1"
    DIR=$WORK/$1
    cp -a "$CHROMAFS_FIXTURES/$1/dir" "$DIR"
}

# mount_fixture [--no-copy] NAME [OPTION...]: mounts (a copy of) it at $MNT and waits until it is up; sets DIR and MNT.
# A copy that an earlier call made is mounted again as it is.
mount_fixture() {
    if [ "$1" = --no-copy ]; then
        shift
        DIR=$CHROMAFS_FIXTURES/$1/dir
        [ -d "$DIR" ] || skip "there is no fixture $1"
    elif [ -d "$WORK/$1" ]; then
        DIR=$WORK/$1
    else
        copy_fixture "$1"
    fi
    shift
    mount_dir "$DIR" "$MNT" "$@"
}

# mount_dir DIR MNT [OPTION...]: the daemon stays a child, so that unmount can tell how it ended. Its output is in MNT.log.
mount_dir() {
    lib_dir=$1 lib_mnt=$2
    shift 2
    mkdir -p "$lib_mnt"
    # shellcheck disable=SC2086  # the wrapper is a command and its options
    ${CHROMAFS_WRAPPER-} "$CHROMAFS" -f "$@" "$lib_dir" "$lib_mnt" >>"$lib_mnt.log" 2>&1 &
    DAEMON=$!
    printf '%s %s\n' "$DAEMON" "$lib_mnt" >>"$WORK/.mounts"
    lib_deadline=$(($(date +%s) + WAIT_SECONDS))
    until mountpoint -q "$lib_mnt"; do
        kill -0 "$DAEMON" 2>/dev/null || lib_mount_failed "$lib_mnt" 'the daemon ended before it was mounted'
        [ "$(date +%s)" -lt "$lib_deadline" ] || lib_mount_failed "$lib_mnt" 'the mount did not come up'
        sleep 0.02
    done
}

lib_mount_failed() {
    forget_daemon "$1"
    cat "$1.log" >&2
    fail "$1: $2"
}

# daemon_of MNT: its pid
daemon_of() {
    sed -n "s|^\([0-9]*\) $1\$|\1|p" "$WORK/.mounts" | tail -n 1
}

# unmount [MNT]: fails unless the daemon then ends with status 0
unmount() {
    lib_mnt=${1:-$MNT}
    lib_pid=$(daemon_of "$lib_mnt")
    kill -0 "$lib_pid" 2>/dev/null || lib_mount_failed "$lib_mnt" 'its daemon has ended already'
    wait_until fusermount3 -u "$lib_mnt"
    forget_daemon "$lib_mnt"
    lib_status=0
    wait "$lib_pid" || lib_status=$?
    [ "$lib_status" -eq 0 ] || lib_mount_failed "$lib_mnt" "the daemon ended with status $lib_status"
}

# kill_daemon [MNT]: as a crash would; the dead mount is removed
kill_daemon() {
    lib_mnt=${1:-$MNT}
    lib_pid=$(daemon_of "$lib_mnt")
    forget_daemon "$lib_mnt"
    kill -KILL "$lib_pid"
    wait "$lib_pid" 2>/dev/null || :
    fusermount3 -uz "$lib_mnt"
}

forget_daemon() {
    sed -i "\|^[0-9]* $1\$|d" "$WORK/.mounts"
}

# A daemon that crashed fails a test that has noticed nothing, too.
unmount_all() {
    lib_exit=$?
    trap - EXIT
    # What a test that failed had open would keep the mount busy.
    exec 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&-
    cd /
    while lib_mnt=$(sed -n '1s/^[0-9]* //p' "$WORK/.mounts") && [ -n "$lib_mnt" ]; do
        unmount "$lib_mnt"
    done
    exit "$lib_exit"
}
trap unmount_all EXIT

# --- waiting, asserting ---------------------------------------------------

# wait_until COMMAND...: until it succeeds, WAIT_SECONDS at most
wait_until() {
    lib_until=$(($(date +%s) + WAIT_SECONDS))
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt "$lib_until" ] || fail "after $WAIT_SECONDS s still not true: $*"
        sleep 0.05
    done
}

# assert_eq EXPECTED ACTUAL [WHAT]
assert_eq() {
    [ "$1" = "$2" ] || fail "${3:-values}: expected '$1', got '$2'"
}

# assert_ok COMMAND... and assert_fails COMMAND...
assert_ok() {
    "$@" || fail "status $?: $*"
}

assert_fails() {
    ! "$@" || fail "succeeded: $*"
}

# assert_contains FILE TEXT
assert_contains() {
    grep -qF -e "$2" "$1" || {
        cat "$1" >&2
        fail "$1 does not contain '$2'"
    }
}

assert_same_file() {
    cmp "$1" "$2" >&2 || fail "$1 and $2 differ"
}

assert_same_tree() {
    diff -r "$1" "$2" >&2 || fail "$1 and $2 differ"
}

# errno_text NAME: what strerror says
errno_text() {
    case $1 in
    EACCES) echo 'Permission denied' ;;
    EBUSY) echo 'Device or resource busy' ;;
    ECANCELED) echo 'Operation canceled' ;;
    EEXIST) echo 'File exists' ;;
    EILSEQ) echo 'Invalid or incomplete multibyte or wide character' ;;
    EINVAL) echo 'Invalid argument' ;;
    EIO) echo 'Input/output error' ;;
    EISDIR) echo 'Is a directory' ;;
    ENOENT) echo 'No such file or directory' ;;
    ENOMEM) echo 'Cannot allocate memory' ;;
    ENOSPC) echo 'No space left on device' ;;
    ENOTDIR) echo 'Not a directory' ;;
    ENOTSUP | EOPNOTSUPP) echo 'Operation not supported' ;;
    EPERM) echo 'Operation not permitted' ;;
    EROFS) echo 'Read-only file system' ;;
    ESTALE) echo 'Stale file handle' ;;
    *) fail "lib.sh does not know $1" ;;
    esac
}

# assert_errno NAME COMMAND...: it must fail, and say so in the words of that errno. For writes to a control the command is
# `put`: dash's echo calls every error an I/O error.
assert_errno() {
    lib_text=$(errno_text "$1")
    lib_name=$1
    shift
    if ("$@") >"$WORK/.out" 2>"$WORK/.err"; then
        fail "succeeded, expected $lib_name: $*"
    fi
    grep -qF -e "$lib_text" "$WORK/.err" || fail "expected $lib_name: $*: $(cat "$WORK/.err")"
}

# put FILE TEXT: one open and one write of a line, with the errno in the message
put() {
    env printf '%s\n' "$2" >"$1"
}

# json FILE FILTER: a value, as jq prints it
json() {
    jq -r -e "$2" "$1" || [ $? -eq 1 ]
}

# as_nobody COMMAND...: a user who owns nothing
as_nobody() {
    need_root
    setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"
}

# --- fixtures and what is known of them -----------------------------------

# fixtures: the names of all of them, one a line
fixtures() {
    (cd "$CHROMAFS_FIXTURES" && for lib_dir in */dir; do [ -d "$lib_dir" ] && echo "${lib_dir%/dir}"; done) | grep . ||
        fail "there is no fixture in $CHROMAFS_FIXTURES"
}

# for_each_fixture FUNCTION: mounts each of them, calls FUNCTION NAME, and unmounts; sets DIR and TRUTH. The copies are removed.
for_each_fixture() {
    fixtures >"$WORK/.fixtures"
    while read -r lib_fixture <&9; do
        # shellcheck disable=SC2034  # for the test
        TRUTH=$CHROMAFS_FIXTURES/$lib_fixture/truth.json
        mount_fixture "$lib_fixture"
        "$1" "$lib_fixture" 9<&-
        unmount
        rm -rf "${WORK:?}/$lib_fixture"
    done 9<"$WORK/.fixtures"
}

# sql DIR STATEMENT: what the sqlite3 program reads, columns separated by tabs
sql() {
    sqlite3 -readonly -batch -separator "$(printf '\t')" "$1/chroma.sqlite3" "$2"
}

# change DIR STATEMENT: what the sqlite3 program writes, as Chroma would: other processes see it at once
change() {
    sqlite3 -batch -cmd '.timeout 20000' "$1/chroma.sqlite3" "$2" >/dev/null
}

has_table() { [ -n "$(sql "$1" "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '$2'")" ]; }

# sql_entries DIR SELECT: with tables c (id, name, tenant, database, dimension), tenancy (tenant, database) and entries, which is c and
# entry (in collections/) and short (in tenants/). Chroma allows no other bytes in a collection's name than letters, digits and
# "._-"; the encoding of all others has a test of its own. Releases before 0.4.15 have no tenants.
sql_entries() {
    if has_table "$1" databases; then
        lib_scopes="SELECT tenant_id AS tenant, name AS database, id AS scope FROM databases" lib_join=database_id
    else
        lib_scopes="SELECT 'default_tenant' AS tenant, 'default_database' AS database, 0 AS scope" lib_join=0
    fi
    sql "$1" "WITH tenancy AS ($lib_scopes),
        c AS (SELECT collections.id, collections.name, tenant, database, dimension FROM collections JOIN tenancy ON tenancy.scope = $lib_join),
        long AS (SELECT *, CASE WHEN tenant = 'default_tenant' AND database = 'default_database' THEN name
            ELSE name || '@' || replace(tenant, '.', '%2E') || '.' || replace(database, '.', '%2E') END AS text FROM c),
        entries AS (SELECT id, name, tenant, database, dimension, CASE WHEN length(text) > 255 THEN '%id-' || id ELSE text END AS entry,
            CASE WHEN length(name) > 255 THEN '%id-' || id ELSE name END AS short FROM long) $2"
}

# entry_of DIR NAME: of a collection of the default database
entry_of() {
    sql_entries "$1" "SELECT entry FROM entries WHERE name = '$2' AND tenant = 'default_tenant' AND database = 'default_database'"
}

# segment_of DIR NAME SCOPE: the id of a segment of such a collection
segment_of() {
    sql_entries "$1" "SELECT segments.id FROM segments JOIN entries ON segments.collection = entries.id
        WHERE entries.name = '$2' AND tenant = 'default_tenant' AND database = 'default_database' AND scope = '$3'"
}

# index_pickle FILE: what Chroma remembers of an index, as JSON: max_seq_id, total_elements_added, labels (label_to_id's keys); Python
# read it when the fixture was made.
index_pickle() {
    lib_segment=${1%/*}
    jq --arg id "${lib_segment##*/}" '.[$id]' "${TRUTH%/*}/pickles.json"
}

# --- the whole tree -------------------------------------------------------

# is_measured MNT: whether nothing that is counted in the background is missing
is_measured() {
    find "$1" -name info.json -exec cat {} + >"$WORK/.infos"
    ! grep -q '"exact": false' "$WORK/.infos" && jq -e -s 'length > 0' <"$WORK/.infos" >/dev/null
}

# wait_measured [MNT]: until every value is there: before that, an mtime is the present time
wait_measured() {
    wait_until is_measured "${1:-$MNT}"
}

# is_settled DIR: whether the second in which anything of it was changed last is over; copying it is a change, too
is_settled() {
    lib_newest=$(find "$1" -printf '%Ts\n%Cs\n' | sort -n | tail -n 1)
    [ "$(date +%s)" -gt "$lib_newest" ]
}

# list_tree [MNT]: path, type, mode, size, mtime, inode, target of everything, one a line
list_tree() {
    (cd "${1:-$MNT}" && find . -printf '%p %y %m %s %T@ %i %l\n' | sort)
}

# mount_settled DIR [MNT] [OPTION...]: mounts and waits until the tree will not change any more by itself
mount_settled() {
    lib_settle_dir=$1 lib_settle_mnt=${2:-$MNT}
    shift
    [ $# -eq 0 ] || shift
    wait_until is_settled "$lib_settle_dir"
    mount_dir "$lib_settle_dir" "$lib_settle_mnt" "$@"
    wait_measured "$lib_settle_mnt"
}

# fingerprint DIR: everything that a writer would change: names, modes, owners, sizes, mtimes, ctimes, contents; not atimes
fingerprint() {
    (
        cd "$1"
        find . -printf '%p %y %m %U %G %s %n %T@ %C@ %i %l\n' | sort
        find . -type f -exec sha256sum {} + | sort
    )
}

# run_program ARGUMENT...: chromafs, in the foreground unless it goes to the background by itself; its output is in $WORK/out and
# $WORK/err, its exit status in $STATUS
run_program() {
    STATUS=0
    # shellcheck disable=SC2086  # the wrapper is a command and its options
    ${CHROMAFS_WRAPPER-} "$CHROMAFS" "$@" >"$WORK/out" 2>"$WORK/err" || STATUS=$?
}

# assert_refused STATUS TEXT ARGUMENT...: chromafs exits with it, mounts nothing, and says why in one line with TEXT on stderr
assert_refused() {
    lib_expected=$1 lib_text=$2
    shift 2
    run_program "$@"
    assert_eq "$lib_expected" "$STATUS" "status of chromafs $*"
    assert_eq 0 "$(wc -c <"$WORK/out")" "bytes on stdout of chromafs $*"
    assert_eq 1 "$(wc -l <"$WORK/err")" "lines on stderr of chromafs $*: $(cat "$WORK/err")"
    assert_contains "$WORK/err" "$lib_text"
}

# daemons_of TEXT: the pids of the chromafs processes with an argument that is TEXT, which may have newlines
daemons_of() {
    lib_text=$(printf '%s' "$1" | tr '\n' '\1')
    find /proc/[0-9]*/exe -maxdepth 0 -printf '%h %l\n' 2>/dev/null | while read -r lib_process lib_exe; do
        [ "$lib_exe" = "$CHROMAFS" ] || continue
        if tr '\0\n' '\n\1' 2>/dev/null <"$lib_process/cmdline" | grep -qxF -e "$lib_text"; then
            echo "${lib_process#/proc/}"
        fi
    done
}

has_no_daemon() { [ -z "$(daemons_of "$1")" ]; }

# end_background MNT: unmounts what a chromafs in the background serves, and waits for its end
end_background() {
    wait_until fusermount3 -u "$1"
    wait_until has_no_daemon "$1"
}

# position_of DIR SEGMENT: the last row of the WAL that was applied to it, or nothing: of the table, where older releases store a blob,
# and for vector segments before 0.5.6 of the pickle
position_of() {
    lib_position=$(sql "$1" "SELECT CASE typeof(seq_id) WHEN 'blob' THEN '0x' || hex(seq_id) ELSE seq_id END FROM max_seq_id WHERE segment_id = '$2'")
    if [ -z "$lib_position" ] && [ -e "$1/$2/index_metadata.pickle" ]; then
        lib_position=$(index_pickle "$1/$2/index_metadata.pickle" | jq -r '.max_seq_id // empty')
    fi
    [ -z "$lib_position" ] || echo "$((lib_position))"
}

# rows_above DIR COLLECTION [SEQ_ID]: how many rows of the WAL belong to it, those above SEQ_ID only
rows_above() {
    sql "$1" "SELECT count(*) FROM embeddings_queue WHERE substr(topic, -36) = '$2' AND seq_id > ${3:--1}"
}

# bytes_in DIR: of all regular files in it
bytes_in() {
    find "$1" -type f -printf '%s\n' | awk '{ n += $1 } END { print n + 0 }'
}
