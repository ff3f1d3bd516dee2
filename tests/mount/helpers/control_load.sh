# Verbs for the tests that disturb operations: directories in which they have work to do, and ways to be there in the middle of it. Source it
# after lib.sh and control.sh:
#     # shellcheck source=tests/mount/helpers/control_load.sh
#     . "${CHROMAFS_LIB%/*}/helpers/control_load.sh"
# shellcheck shell=sh

# --- work -----------------------------------------------------------------

# fill_documents DIR COUNT: records of the collection `types` with documents of 120 bytes, which the full-text index does not know yet
fill_documents() {
    change "$1" "CREATE TEMP TABLE s AS SELECT segments.id AS segment FROM segments JOIN collections ON collection = collections.id
            WHERE name = 'types' AND scope = 'METADATA';
        CREATE TEMP TABLE b AS SELECT max(id) + 1000 AS first FROM embeddings;
        WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < $2)
        INSERT INTO embeddings (id, segment_id, embedding_id, seq_id) SELECT first + x, segment, 'filled-' || (first + x), 1 FROM n, s, b;
        INSERT INTO embedding_metadata (id, key, string_value)
            SELECT id, 'chroma:document', 'filled ' || hex(randomblob(56)) FROM embeddings, b WHERE id > first"
}

# fill_orphans DIR ROWS [DIRECTORIES]: records of a segment that is gone, with metadata, and directories that no segment owns, made long ago
fill_orphans() {
    change "$1" "CREATE TEMP TABLE b AS SELECT max(id) + 5000000 AS first FROM embeddings;
        WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < $2)
        INSERT INTO embeddings (id, segment_id, embedding_id, seq_id)
            SELECT first + x, '0a0a0a0a-0000-4000-8000-000000000001', 'orphan-' || (first + x), 1 FROM n, b;
        INSERT INTO embedding_metadata (id, key, string_value)
            SELECT id, 'chroma:document', 'orphan ' || hex(randomblob(56)) FROM embeddings, b WHERE id > first;
        INSERT INTO embedding_fulltext_search (rowid, string_value)
            SELECT id, string_value FROM embedding_metadata, b WHERE id > first"
    load_from=$1/$(segment_of "$1" types VECTOR)
    for load_i in $(seq "${3:-0}"); do
        load_to=$1/$(printf '0b0b0b0b-0000-4000-8000-%012d' "$load_i")
        cp -a "$load_from" "$load_to"
        find "$load_to" -exec touch -d '2 hours ago' {} +
    done
}

# --- what there is --------------------------------------------------------

# chroma_state DIR: all that is Chroma's, byte by byte, with modes, owners and times; not what .chromafs/ adds
chroma_state() {
    (
        cd "$1" || exit
        find . -mindepth 1 \( -path ./.chromafs -prune \) -o -printf '%p %y %m %U %G %s %T@ %i %l\n' | sort
        find . \( -path ./.chromafs -prune \) -o -type f -exec sha256sum {} + | sort
    )
}

# logical_state DIR: the same of the files, and what the database says: pages that are free have other bytes after a ROLLBACK
logical_state() {
    chroma_state "$1" | grep -v '  *[.]/chroma[.]sqlite3\( \|$\)' | grep -v '^[.]/chroma[.]sqlite3 '
    stat -c '%n %a %u %g %s %i' "$1/chroma.sqlite3"
    sqlite3 -readonly "$1/chroma.sqlite3" .dump | sha256sum
}

# database_ctime DIR: when SQLite's file was touched last
database_ctime() { stat -c %z "$1/chroma.sqlite3"; }

# records_of DIR: what Chroma answers from, of the database: a line that is another one when a record, its metadata, a collection or a position is
records_of() {
    sqlite3 -readonly "$1/chroma.sqlite3" ".dump --data-only embeddings embedding_metadata max_seq_id collections segments tenants databases" | sha256sum
}

# documents_of DIR: what the full-text index has
documents_of() { sql "$1" 'SELECT rowid, string_value FROM embedding_fulltext_search ORDER BY rowid' | sha256sum; }

# fulltext_is_sound DIR: a copy, since the check is an INSERT
fulltext_is_sound() {
    cp "$1/chroma.sqlite3" "$WORK/.fulltext"
    sqlite3 "$WORK/.fulltext" "INSERT INTO embedding_fulltext_search(embedding_fulltext_search) VALUES ('integrity-check')" || fail "full-text index of $1"
    rm "$WORK/.fulltext"
}

# --- in the middle --------------------------------------------------------

# reach PHASE: stops the process ($WORKER) of the operation that $WRITER started as soon as it is there (go_on continues it); false if it
# has ended before
reach() {
    WORKER=
    while kill -0 "$WRITER" 2>/dev/null; do
        [ -n "$WORKER" ] || WORKER=$(cat "/proc/$(daemon_of "$MNT")"/task/*/children 2>/dev/null | tr -d ' ')
        if grep -qF "\"phase\": \"$1\"" "$MNT/status.json"; then
            kill -STOP "$WORKER" 2>/dev/null && return 0
        fi
    done
    return 1
}

go_on() { kill -CONT "$WORKER" 2>/dev/null || :; }

# last_run CONTROL FILTER: of the JSON that the control has of its last run
last_run() { grep -v '^#' "$MNT/$1" | jq -r "$2"; }
