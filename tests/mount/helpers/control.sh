# Verbs for the tests of controls. Source it after lib.sh:
#     # shellcheck source=tests/mount/helpers/control.sh
#     . "${CHROMAFS_LIB%/*}/helpers/control.sh"
# shellcheck shell=sh

# --- directories ----------------------------------------------------------

# fill_log DIR ROWS: the log gets so many rows that both segments of the collection `emptied` have applied (deletes of ids that never were): as many as
# `clean` can look through and delete, and enough to be seen while it does
fill_log() {
    change "$1" "CREATE TEMP TABLE c AS SELECT id FROM collections WHERE name = 'emptied';
        CREATE TEMP TABLE b AS SELECT max(seq_id) AS s FROM embeddings_queue;
        WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < $2)
        INSERT INTO embeddings_queue (seq_id, created_at, operation, topic, id, vector, encoding, metadata)
            SELECT s + x, '2026-01-01 00:00:00', 3, 'persistent://default/default/' || c.id, 'gone-' || x, NULL, NULL, '{}' FROM n, c, b;
        UPDATE max_seq_id SET seq_id = (SELECT s + $2 FROM b)
            WHERE segment_id IN (SELECT segments.id FROM segments JOIN c ON collection = c.id)"
}

# contents_of DIR: a line that is another one when anything of Chroma's is: rows of the log and positions, all other tables, the files of the indexes
contents_of() {
    {
        sql "$1" 'SELECT count(*), min(seq_id), max(seq_id), sum(seq_id) FROM embeddings_queue'
        sqlite3 -readonly "$1/chroma.sqlite3" ".dump --data-only embeddings embedding_metadata max_seq_id collections segments migrations"
        (cd "$1" && find . -mindepth 2 -type f -not -path './.chromafs/*' -exec sha256sum {} + | sort)
    } | sha256sum
}

assert_sound() {
    assert_eq ok "$(sqlite3 -readonly "$1/chroma.sqlite3" 'PRAGMA integrity_check')" "integrity of $1"
}

rows_of_log() { sql "$1" 'SELECT count(*) FROM embeddings_queue'; }

# --- what the mount says --------------------------------------------------

# status FILTER [MNT]: a value of status.json
status() { jq -r "$1" "${2:-$MNT}/status.json"; }

is_running() { [ "$(status .running.operation "${2:-$MNT}")" = "$1" ]; }

# has_started OPERATION [MNT]: so far that the history will have it, however it ends
has_started() {
    is_running "$@" || return 1
    case $(status .running.phase "${2:-$MNT}") in null | preparing) return 1 ;; esac
}

# assert_said TEXT [MNT]: last_error is one line, which has it
assert_said() {
    assert_eq 1 "$(wc -l <"${2:-$MNT}/last_error")" 'lines of last_error'
    assert_contains "${2:-$MNT}/last_error" "$1"
}

# assert_status EXPECTED COMMAND...: its exit status; what it says on stderr is in $WORK/err
assert_status() {
    expected=$1
    shift
    got=0
    "$@" >"$WORK/out" 2>"$WORK/err" || got=$?
    assert_eq "$expected" "$got" "status of $*: $(cat "$WORK/err")"
}

# --- writers --------------------------------------------------------------

# start_writer CONTROL LINE: bash's own echo, in a process of its own: $WRITER; what it says is in $WORK/writer.err. (sh starts what is in the
# background with SIGINT ignored.)
start_writer() {
    # shellcheck disable=SC2016  # bash expands it
    env --default-signal=INT,QUIT bash -c 'echo "$2" > "$1"' writer "$MNT/$1" "$2" 2>"$WORK/writer.err" &
    WRITER=$!
}

# end_writer STATUS [TEXT]: waits for it
end_writer() {
    writer_status=0
    wait "$WRITER" || writer_status=$?
    assert_eq "$1" "$writer_status" "status of the writer: $(cat "$WORK/writer.err")"
    [ $# -lt 2 ] || assert_contains "$WORK/writer.err" "$2"
}
