# Verbs for the tests of wal.jsonl. Source it after lib.sh:
#     # shellcheck source=tests/mount/helpers/wal.sh
#     . "${CHROMAFS_LIB%/*}/helpers/wal.sh"
# What a wal.jsonl must be is rendered by SQLite's own functions, which share nothing with the program. That works for rows
# in plain ASCII; the bytes of all others are compared with Python's (tests/fixtures/wal.sha256, tests/chroma/).
# shellcheck shell=sh

# ask DIR STATEMENT: what the sqlite3 program reads. (damage.sh has another sql.)
ask() { sqlite3 -readonly -batch "$1/chroma.sqlite3" "$2"; }

# --- rows -----------------------------------------------------------------

# id_of DIR NAME: the id of a collection of the default database
id_of() { ask "$1" "SELECT id FROM collections WHERE name = '$2' ORDER BY database_id LIMIT 1"; }

topic_of() { echo "persistent://default/default/$1"; }

# add_rows DIR ID FIRST LAST [METADATA]: rows of that collection with these seq_ids, in one commit. Every fourth one is a delete. METADATA
# is an expression in x, the seq_id.
add_rows() { change "$1" "$(add_rows_sql "$2" "$3" "$4" "${5-}")"; }

add_rows_sql() {
    echo "WITH RECURSIVE n(x) AS (SELECT $2 UNION ALL SELECT x + 1 FROM n WHERE x < $3)
        INSERT INTO embeddings_queue (seq_id, created_at, operation, topic, id, vector, encoding, metadata)
        SELECT x, datetime(1700000000 + x, 'unixepoch'), x & 3, '$(topic_of "$1")', 'id-' || x,
            CASE x & 3 WHEN 3 THEN NULL ELSE CAST(printf('%0*d', 4 * (x % 7 + 1), abs(x)) AS BLOB) END,
            CASE x & 3 WHEN 3 THEN NULL ELSE 'FLOAT32' END,
            CASE x & 3 WHEN 3 THEN NULL ELSE ${4:-json_object('n', x, 'text', 'it''s \"' || x || '\"' || char(9) || '/')} END FROM n;"
}

# take_rows DIR CONDITION: they leave, as by a purge
take_rows() { change "$1" "DELETE FROM embeddings_queue WHERE $2"; }

# --- what must be shown ---------------------------------------------------

# hex_value: the number of a hexadecimal digit of h
hex_value() { echo "(instr('0123456789ABCDEF', substr(h, $1, 1)) - 1)"; }

# base64_value: the character of six bits
base64_value() { echo "substr('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', 1 + ($1), 1)"; }

# Three hexadecimal digits are two characters of base64; the last ones are padding.
BASE64_SQL="(WITH RECURSIVE b(h, i, text) AS (
    SELECT hex(vector) || substr('0000', 1, (6 - length(hex(vector)) % 6) % 6), 1, ''
    UNION ALL SELECT h, i + 3, text || $(base64_value "$(hex_value i) * 4 + $(hex_value 'i + 1') / 4")
        || $(base64_value "$(hex_value 'i + 1') % 4 * 16 + $(hex_value 'i + 2')") FROM b WHERE i < length(h))
    SELECT substr(text, 1, length(text) - (3 - length(vector) % 3) % 3) || substr('==', 1, (3 - length(vector) % 3) % 3)
        FROM b ORDER BY i DESC LIMIT 1)"

LINE_SQL="'{\"seq_id\": ' || seq_id || ', \"created_at\": ' || json_quote(created_at) || ', \"operation\": ' || operation
    || ', \"topic\": ' || json_quote(topic) || ', \"id\": ' || json_quote(id) || ', \"vector\": '
    || CASE WHEN vector IS NULL THEN 'null' ELSE '\"' || $BASE64_SQL || '\"' END
    || ', \"encoding\": ' || json_quote(encoding) || ', \"metadata\": ' || json_quote(CAST(metadata AS TEXT)) || '}'"

# wal_lines DIR [CONDITION]: the lines that the rows make
wal_lines() { ask "$1" "SELECT $LINE_SQL FROM embeddings_queue WHERE ${2:-1} ORDER BY seq_id"; }

of_collection() { echo "topic = '$(topic_of "$1")'"; }

# wal_of ID: the file of that collection
wal_of() { echo "$MNT/by-id/$1/wal.jsonl"; }

# assert_wal FILE DIR [CONDITION]: it is exactly the lines of these rows, and has the size that stat says
assert_wal() {
    wal_lines "$2" "${3:-1}" >"$WORK/.expected"
    assert_eq "$(stat -c %s "$WORK/.expected")" "$(stat -L -c %s "$1")" "size of $1"
    cat "$1" >"$WORK/.shown" || fail "$1 can't be read: $(jq -c .problems "$MNT/info.json")"
    cmp "$WORK/.expected" "$WORK/.shown" >&2 || fail "$1 is not what the table has"
}

# assert_wals DIR ID...: the root's and those of these collections
assert_wals() {
    wals_dir=$1
    shift
    assert_wal "$MNT/wal.jsonl" "$wals_dir"
    for wals_id; do
        assert_wal "$(wal_of "$wals_id")" "$wals_dir" "$(of_collection "$wals_id")"
    done
}

# --- descriptors ----------------------------------------------------------

size_of_fd() { stat -L -c %s "/proc/self/fd/$1"; }

# assert_held LINES GONE FD: the open file is LINES, of which every line that is in the file GONE, too, gives ESTALE, and every other
# one can be read. It is opened once more: what was read before may still be there.
assert_held() {
    helper wal_held "$1" "$2" <"/proc/self/fd/$3" >&2 || fail 'what is open is not the generation that was opened'
}

# --- the daemon -----------------------------------------------------------

# cache_file: of the one directory that was mounted
cache_file() { find "$XDG_CACHE_HOME/chromafs" -type f; }

# peak_kib: the most memory that the daemon of $MNT ever had
peak_kib() { sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$(daemon_of "$MNT")/status"; }

# run_times: of each thread of the daemon of $MNT: how long it ran, its number
run_times() {
    for run_task in "/proc/$(daemon_of "$MNT")"/task/*; do
        read -r run_ns _ <"$run_task/schedstat" && echo "${run_task##*/} $run_ns"
    done
}

# measuring_thread DIR ID: the thread that does the work when a collection gets many rows
measuring_thread() {
    cat "$MNT/wal.jsonl" >/dev/null
    run_times | sort >"$WORK/.run.before"
    measuring_next=$(ask "$1" 'SELECT coalesce(max(seq_id), 0) + 1 FROM embeddings_queue')
    add_rows "$1" "$2" "$measuring_next" $((measuring_next + 60000)) "'{}'"
    stat "$MNT/wal.jsonl" >/dev/null
    run_times | sort >"$WORK/.run.after"
    join "$WORK/.run.before" "$WORK/.run.after" | awk '{ print $3 - $2, $1 }' | sort -n | tail -n 1 | cut -d ' ' -f 2
}

# freeze THREAD and thaw: nothing else of the daemon stops
freeze() {
    rm -f "$WORK/.thaw" "$WORK/.frozen"
    mkfifo "$WORK/.thaw"
    helper wal_freeze "$1" <"$WORK/.thaw" >"$WORK/.frozen" 8>&- &
    FREEZER=$!
    exec 8>"$WORK/.thaw"
    wait_until grep -q frozen "$WORK/.frozen"
}

thaw() {
    echo >&8
    exec 8>&-
    wait "$FREEZER" || fail 'the thread was not frozen all the time'
}
