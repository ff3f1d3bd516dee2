#!/bin/sh
# limit: 600
# Values of the wrong storage class, and JSON that is none, huge or deep: shown as what they are, or as an error of that collection.
# With FULL=1 also each value alone.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

ALLOWED="/(info.json|config/[a-z_]*|wal_gap|max_seq_id)'?: ($(errno_text EILSEQ)|$(errno_text EIO)|Argument list too long|File too large)"

# bad WHAT: goes on, to find all of them, and fails in the end
bad() {
    note "BAD: $1"
    echo "$1" >>"$WORK/bad"
}

VALUES="NULL
-1
9223372036854775807
9e999
''
x'ff00ff'
CAST(x'ff00' AS TEXT)
printf('%.*c', 3000000, 'v')"

# fresh_database: under the mount, as a restore would. cp makes another inode each time.
fresh_database() {
    rm -f "$DIR/chroma.sqlite3"
    cp "$CHROMAFS_FIXTURES/chroma-1.5.9/dir/chroma.sqlite3" "$DIR/chroma.sqlite3"
}

# look_at WHAT: what can't be read is of the collections alone
look_at() {
    (assert_readable_but "$ALLOWED") >why 2>&1 || bad "$1: $(head -n 1 why)"
    assert_alive
    [ ! -s "$WORK/.found" ] || note "$1: $(wc -l <"$WORK/.found") unreadable: $(head -n 1 "$WORK/.found")"
    timeout 60 cat "$MNT/info.json" >shown 2>/dev/null || bad "$1: info.json can't be read"
}

# set_to WHAT TABLE COLUMN CONDITION EXPRESSION: a row that can't take it stays as it is
set_to() {
    fresh_database
    sqlite3 "$DIR/chroma.sqlite3" "PRAGMA foreign_keys=OFF; PRAGMA ignore_check_constraints=ON;
        UPDATE OR IGNORE $2 SET $3 = $5 WHERE $4" 2>/dev/null || return 0
    look_at "$2.$3 is $1"
}

# every_value: an expression with a value for each row, so that one look shows them all
every_value() {
    echo "$VALUES" | awk '{ printf " WHEN %d THEN %s", NR - 1, $0 } BEGIN { printf "CASE rowid %% 8" } END { print " END" }'
}

# set_each TABLE COLUMN CONDITION: to values of every class, side by side; with FULL=1 also one after the other
set_each() {
    set_to 'of every class' "$1" "$2" "$3" "$(every_value)"
    [ "${FULL-}" = 1 ] || return 0
    echo "$VALUES" >values
    while read -r value <&7; do
        set_to "$value" "$1" "$2" "$3" "$value" 7<&-
    done 7<values
}

storage_classes() {
    set_each max_seq_id seq_id 1
    set_each embeddings seq_id 1
    set_each embeddings embedding_id 'id % 2'
    set_each embeddings_queue topic 1
    set_each embeddings_queue id 1
    set_each embeddings_queue vector 1
    set_each embeddings_queue encoding 1
    set_each embeddings_queue metadata 1
    set_each embeddings_queue operation 1
    set_each embeddings_queue_config config_json_str 1
    set_each collections dimension 1
    set_each collections config_json_str "name = 'docs'"
    set_each collections schema_str "name = 'docs'"
    set_each collections database_id "name = 'docs'"
    set_each collection_metadata str_value 1
    set_each collection_metadata int_value 1
    set_each collection_metadata key 1
    set_each segments type 1
    set_each segments scope 1
    set_each segments collection "scope = 'VECTOR'"
    set_each databases name 1
    set_each databases tenant_id 1
}

# json_is WHAT EXPRESSION: as the configuration of one more collection and as the schema of another
json_is() {
    for column in config_json_str schema_str; do
        number=$((number + 1))
        note "json-$number: $column is $1"
        echo "INSERT INTO collections (id, name, database_id, $column) SELECT printf('00000000-0000-4000-8000-%012d', $number),
            'json-$number', database_id, $2 FROM collections WHERE name = 'space_l2';" >>statements
    done
}

# bad_json: all of it side by side; every other collection is as it was
bad_json() {
    number=0
    : >statements
    all_json
    fresh_database
    sql "$(cat statements)"
    assert_eq "$number" "$(find "$MNT/collections" -name 'json-*' | wc -l)" 'collections with bad JSON'
    assert_readable_but "^(cat|find): '?./collections/json-"
    sed -n 's|.*/collections/\(json-[0-9]*\)/config/.*|\1|p' "$WORK/.found" | sort -u >unknown
    note "configurations that can't be read: $(tr '\n' ' ' <unknown)"
    [ -s unknown ] || fail 'every configuration can be read: the test shows nothing'
    while read -r name; do
        [ -n "$(problems "$MNT/collections/$name/info.json")" ] || fail "$name tells of no problem"
    done <unknown
    for name in docs space_l2; do
        assert_eq '' "$(problems "$MNT/collections/$name/info.json")" "problems of $name"
    done
}

all_json() {
    json_is 'no JSON' "'{'"
    json_is 'an array' "'[]'"
    json_is 'a string' "'\"x\"'"
    json_is 'deep arrays' "replace(hex(zeroblob(100000)), '00', '[')"
    json_is 'deep objects' "replace(hex(zeroblob(100000)), '00', '{\"a\":')"
    json_is 'a deep end' "'{\"hnsw\":' || replace(hex(zeroblob(3000)), '00', '[') || replace(hex(zeroblob(3000)), '00', ']') || '}'"
    json_is 'three million keys' "'{' || replace(hex(zeroblob(300000)), '00', '\"a\":1,') || '\"b\":1}'"
    json_is 'huge numbers' "'{\"hnsw\":{\"space\":\"l2\",\"M\":1e999,\"ef_construction\":99999999999999999999}}'"
    json_is 'wrong types' "'{\"hnsw\":{\"space\":[],\"max_neighbors\":\"x\",\"ef_construction\":{},\"ef_search\":null}}'"
    json_is 'negative numbers' "'{\"hnsw\":{\"space\":\"l2\",\"max_neighbors\":-1,\"ef_construction\":-1,\"ef_search\":-1}}'"
    json_is 'a space with a line feed' "'{\"hnsw\":{\"space\":\"l2\\nevil\"}}'"
    json_is 'invalid UTF-8' "CAST(x'7b22ff223a317d' AS TEXT)"
    json_is 'a NUL' "CAST(x'7b7d007b' AS TEXT)"
}

many_metadata() {
    fresh_database
    sql "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 100000)
        INSERT INTO collection_metadata (collection_id, key, str_value)
        SELECT (SELECT id FROM collections WHERE name = 'space_l2'), 'key' || x, printf('%.*c', 1000, 'v') FROM n"
    before=$(rss_kib)
    assert_readable_but "^(cat|find): '?./collections/space_l2/"
    after=$(rss_kib)
    note "a hundred MB of metadata: $(wc -l <"$WORK/.found") unreadable; $before KiB before, $after KiB after"
    [ "$after" -lt $((before + 300000)) ] || has_sanitizer || bad "the daemon grew from $before to $after KiB"
}

mount_fixture chroma-1.5.9
for part in bad_json many_metadata storage_classes; do
    note "$part: $(date +%T)"
    "$part"
done
unmount
[ ! -s "$WORK/bad" ] || fail "$(wc -l <"$WORK/bad") values hide more than what they belong to"
