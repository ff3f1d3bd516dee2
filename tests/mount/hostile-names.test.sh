#!/bin/sh
# limit: 300
# Names and ids that no Chroma lets through, or that look like something else: each collection has exactly one entry, which no other
# one has and which stays below collections/, and everything can be read.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

number=0
: >statements
: >expected

# id_of NUMBER: a UUID
id_of() {
    printf '00000000-0000-4000-8000-%012d' "$1"
}

# collection NAME_SQL [DATABASE_SQL [ID_SQL]]: one more, with two segments, once `made` is called; sets $id
collection() {
    number=$((number + 1))
    id=$(id_of "$number")
    sql_id=${3:-"'$id'"}
    add "INSERT INTO collections (id, name, database_id) VALUES ($sql_id, $1, ${2:-(SELECT id FROM databases WHERE name = 'default_database')});
        INSERT INTO segments (id, type, scope, collection) VALUES
            ('$(id_of $((number + 500)))', 'urn:chroma:segment/vector/hnsw-local-persisted', 'VECTOR', $sql_id),
            ('$(id_of $((number + 900)))', 'urn:chroma:segment/metadata/sqlite', 'METADATA', $sql_id);"
}

# database TENANT_SQL NAME_SQL: sets $database to its id, as SQL
database() {
    number=$((number + 1))
    database="'$(id_of "$number")'"
    add "INSERT OR IGNORE INTO tenants (id) VALUES ($1); INSERT INTO databases (id, name, tenant_id) VALUES ($database, $2, $1);"
}

add() { echo "$1" >>statements; }

# has ENTRY [ID]: it will be there, and be that collection
has() {
    printf '%s %s\n' "${2:-$id}" "$1" >>expected
}

# made: all at once, and each is where it should be
made() {
    sql "$(cat statements)"
    : >statements
    while IFS= read -r line; do
        made_id=${line%% *} made_entry=${line#* }
        assert_eq "$made_id" "$(json "$MNT/collections/$made_entry/info.json" .id)" "id of collections/$made_entry"
        target=$(readlink "$MNT/by-id/$made_id") || fail "no by-id/$made_id"
        assert_eq "../collections/$made_entry" "$target" "by-id/$made_id"
    done <expected
    : >expected
}

text_of() {
    printf '%*s' "$2" '' | tr ' ' "$1"
}

names() {
    collection "'a/b'" && has 'a%2Fb'
    collection "'../../etc'" && has '%2E.%2F..%2Fetc'
    collection "'.hidden'" && has '%2Ehidden'
    collection "'..'" && has '%2E.'
    collection "'.'" && has '%2E'
    collection "'100%'" && has '100%25'
    collection "'a%2Fb'" && has 'a%252Fb'
    collection "'a@b.c'" && has 'a%40b.c'
    collection "'docs@acme.dbx'" && has 'docs%40acme.dbx'
    collection "'line' || char(10) || 'feed'" && has 'line%0Afeed'
    collection "char(27) || '[31m'" && has '%1B[31m'
    collection "char(127)" && has '%7F'
    collection "' blank '" && has ' blank '
    collection "'-rf'" && has '-rf'
    collection "'a*?[\"''\$\`\\'" && has "a*?[\"'\$\`\\"
    collection "CAST(x'ff61fe' AS TEXT)" && has '%FFa%FE'
    collection "CAST(x'c0af' AS TEXT)" && has '%C0%AF'
    collection "CAST(x'eda080' AS TEXT)" && has '%ED%A0%80'
    collection "CAST(x'610062' AS TEXT)" && has 'a%00b'
    collection "CAST(x'00' AS TEXT)" && has '%00'
    collection "'$(text_of x 255)'" && has "$(text_of x 255)"
    collection "'$(text_of x 256)'" && has "%id-$id"
    collection "'$(text_of y 512)'" && has "%id-$id"
    collection "'$(text_of . 100)'" && has "%2E$(text_of . 99)"
    collection "'$(text_of % 100)'" && has "%id-$id"
    collection "''" && has "%id-$id"
    collection "'%id-$(id_of 1)'" && has "%25id-$(id_of 1)"
    collection "printf('%.*c', 1000000, 'z')" && has "%id-$id"
    collection "'Ünïcödé 日本'" && has 'Ünïcödé 日本'
    made
}

# Names that are no text, and names that are told apart by nothing but their class.
classes() {
    collection "x'62696e'" && collection 12345 && has 12345
    collection "x'312e35'"
    collection "'1.5'"
    made
    timeout 60 ls "$MNT/collections" >listing
    assert_contains listing 1.5
}

scopes() {
    database "'acme2'" "'dbx'"
    collection "'same'" "$database" && has 'same@acme2.dbx'
    database "'acme2'" "'dby'"
    collection "'same'" "$database" && has 'same@acme2.dby'
    collection "'same'" && has same
    database "'a.b'" "'c'"
    collection "'same'" "$database" && has 'same@a%2Eb.c'
    database "'a'" "'b.c'"
    collection "'same'" "$database" && has 'same@a.b%2Ec'
    database "'a@x'" "'b/..'"
    collection "'same'" "$database" && has 'same@a%40x.b%2F%2E%2E'
    database "'..'" "'..'"
    collection "'same'" "$database" && has 'same@%2E%2E.%2E%2E'
    database "''" "''"
    collection "'same'" "$database" && has "%id-$id"
    database "printf('%.*c', 5000, 't')" "printf('%.*c', 5000, 'd')"
    collection "'same'" "$database" && has "%id-$id"
    collection "'lost'" "'no such database'"
    made
    assert_eq lost "$(json "$MNT/by-id/$id/info.json" .name)" 'a collection whose database is not there'
    assert_readable_but ''
}

# assert_links: every link below the mount leads to something below it
assert_links() {
    find "$MNT" -type l -printf '%p\n' >links
    find "$MNT" -xtype l >dangling
    [ ! -s dangling ] || fail "dangling: $(head -n 3 dangling)"
    find "$MNT" -type l -exec realpath {} + | grep -v -e "^$MNT/collections/" -e "^$MNT/segments/" >leading-out || :
    [ ! -s leading-out ] || fail "leading out: $(head -n 3 leading-out)"
}

# Ids that are no UUIDs. They are no paths: a directory of that name is not touched.
ids() {
    collection "'bad-id-1'" '' "'../../etc'"
    collection "'bad-id-2'" '' "''"
    collection "'bad-id-3'" '' "'a/b'"
    collection "'bad-id-4'" '' "printf('%.*c', 5000, 'i')"
    collection "'bad-id-5'" '' "CAST(x'ff00fe' AS TEXT)"
    collection "'bad-id-6'" '' "upper('$(id_of 999999)')"
    collection "'bad-id-7'" '' 42
    collection "'bad-id-9'" '' "x'0102'"
    made
    assert_problem "$MNT/collections/bad-id-1/info.json" bad_id
    assert_eq ../../etc "$(json "$MNT/collections/bad-id-1/info.json" .id)"
    assert_problem "$MNT/collections/bad-id-3/info.json" bad_id
    assert_readable_but ''
    assert_links
}

# A segment with such an id has no place in segments/, and nothing outside is opened for it.
segment_ids() {
    collection "'bad-segment'"
    made
    for segment in ../../../../etc . .. '' a/b outside "$WORK/outside"; do
        sql "UPDATE segments SET id = '$segment' WHERE collection = '$id' AND scope = 'VECTOR'"
        assert_problem "$MNT/collections/bad-segment/info.json" bad_id
        assert_eq null "$(json "$MNT/collections/bad-segment/info.json" .vector_segment.path)" "path with the id '$segment'"
        assert_eq 1 "$(find "$MNT/collections/bad-segment/segments" -mindepth 1 | wc -l)" "segments with the id '$segment'"
        assert_readable_but ''
    done
    sql "UPDATE segments SET id = printf('%.*c', 5000, 's') WHERE collection = '$id' AND scope = 'VECTOR'"
    assert_readable_but ''
    assert_links
}

# SQLite lets a primary key of type TEXT be NULL, as often as one likes.
same_ids() {
    sql "INSERT INTO collections (id, name, database_id) SELECT NULL, 'bad-id-8', id FROM databases"
    assert_readable_but ''
}

# No two directories below one have the same name, and there are as many as collections.
assert_distinct() {
    ls "$MNT/collections" >listing
    assert_eq '' "$(find "$MNT" -printf '%P\0' | sort -z | uniq -z -d | tr '\0' '\n')" 'names that are there twice'
    assert_eq "$(json "$MNT/info.json" .collections)" "$(find "$MNT/collections" -mindepth 1 -maxdepth 1 -printf . | wc -c)" 'collections'
    find "$MNT" >/dev/null 2>stderr || fail "$(cat stderr)"
}

mkdir outside
mount_fixture chroma-1.5.9
for part in names classes scopes ids segment_ids same_ids; do
    note "$part"
    "$part"
    assert_distinct
    assert_alive
done
note "$(json "$MNT/info.json" .collections) collections of $(sql_value 'SELECT count(*) FROM collections')"
assert_eq "$(json "$MNT/collections/docs@acme.dbx/info.json" .tenant)" acme 'tenant of docs@acme.dbx'
assert_eq "$(json "$MNT/collections/docs%40acme.dbx/info.json" .tenant)" default_tenant 'tenant of docs%40acme.dbx'
unmount
