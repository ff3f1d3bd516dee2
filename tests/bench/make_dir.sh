#!/bin/sh
# usage: make_dir.sh records BASE DIR [RECORDS [DIMENSION]]
#        make_dir.sh collections BASE DIR [COLLECTIONS]
#        make_dir.sh log BASE DIR [ROWS [DIMENSION [COLLECTIONS]]]
#        make_dir.sh applied BASE DIR [ROWS [DIMENSION [COLLECTIONS]]]
#        make_dir.sh documents BASE DIR [RECORDS]
#        make_dir.sh pending BASE DIR [ROWS [DIMENSION [both]]]
# Makes a large persist directory in DIR, which must not exist yet, from the tables of BASE (the chroma.sqlite3 of a fixture of Chroma 0.6.3,
# so that Chroma itself accepts it):
#   records      one collection, its index with one deleted element for every ten records, a full-text row for each record,
#                and 1,000 rows of the write-ahead log behind the position of the index
#   collections  many collections that were never written to
#   log          rows of the write-ahead log and nothing else: ADDs with a vector, a document and some metadata, of each collection in turn
#   applied      the same, and both segments have applied all of them: the vectors are in the indexes, and the records in table embeddings (without
#                metadata: what a VACUUM copies besides is small). A collection has 17 rows at least.
#   pending      one collection, as Chroma leaves it before it first saves an index: its rows are in the log, and its records in the tables; with `both`
#                the metadata segment has applied nothing either
#   documents    one collection whose vectors were never saved; each record has a document of some 40 words, and the full-text index is there
set -eu
MAKE_INDEX=${MAKE_INDEX:-$(dirname "$0")/make_index}
MAKE_LOG=${MAKE_LOG:-$(dirname "$0")/make_log}
MAKE_PENDING=${MAKE_PENDING:-$(dirname "$0")/make_pending}

say_sql() { printf '%s\n' "$@"; }

# The fixture's own rows go; the migrations and the default tenant and database stay.
empty_tables() {
    for table in embeddings_queue embedding_metadata embeddings embedding_fulltext_search max_seq_id segment_metadata segments \
        collection_metadata collections; do
        say_sql "DELETE FROM $table;"
    done
    say_sql "DELETE FROM databases WHERE name <> 'default_database';" "DELETE FROM tenants WHERE id <> 'default_tenant';"
}

# id KIND NUMBER in awk: a UUID
awk_ids='function id(kind, n) { return sprintf("%08x-0000-4000-8000-%012x", kind, n) }
function collection(n, name, dimension) {
    printf "INSERT INTO collections(id,name,dimension,database_id,config_json_str) VALUES(\047%s\047,\047%s\047,%s,\047%s\047,NULL);\n",
        id(1, n), name, dimension, "00000000-0000-0000-0000-000000000000"
    printf "INSERT INTO segments VALUES(\047%s\047,\047urn:chroma:segment/vector/hnsw-local-persisted\047,\047VECTOR\047,\047%s\047);\n",
        id(2, n), id(1, n)
    printf "INSERT INTO segments VALUES(\047%s\047,\047urn:chroma:segment/metadata/sqlite\047,\047METADATA\047,\047%s\047);\n",
        id(3, n), id(1, n)
}'

collections_sql() {
    awk -v count="$1" "$awk_ids"' BEGIN { for (n = 1; n <= count; n++) collection(n, sprintf("collection-%05d", n), "NULL") }'
}

records_sql() {
    awk -v elements="$1" -v dimension="$2" -v every="$3" -v log_rows="$4" "$awk_ids"'
    function blob(n) { return sprintf("x\047%016X\047", n) }
    function position(segment, n) { printf "INSERT INTO max_seq_id VALUES(\047%s\047,%s);\n", segment, blob(n) }
    BEGIN {
        collection(1, "records", dimension)
        position(id(2, 1), elements)
        position(id(3, 1), elements + log_rows)
        for (n = 1; n <= elements; n++) {
            if (n % every == 0)
                continue
            printf "INSERT INTO embeddings(id,segment_id,embedding_id,seq_id) VALUES(%d,\047%s\047,\047id-%d\047,%s);\n", n, id(3, 1), n, blob(n)
            printf "INSERT INTO embedding_metadata(id,key,int_value) VALUES(%d,\047page\047,%d);\n", n, n % 100
            printf "INSERT INTO embedding_metadata(id,key,string_value) VALUES(%d,\047chroma:document\047,\047%s\047);\n", n,
                sprintf("record %d says something about matter %d", n, n * 7919 % 1009)
        }
        for (n = 0; n <= log_rows; n++)
            printf "INSERT INTO embeddings_queue(seq_id,operation,topic,id,vector,encoding,metadata) VALUES(%d,1,\047persistent://default/default/%s\047,\047id-1\047,zeroblob(%d),\047FLOAT32\047,NULL);\n",
                elements + n, id(1, 1), 4 * dimension
    }'
    say_sql "INSERT INTO embedding_fulltext_search(rowid,string_value) SELECT id,string_value FROM embedding_metadata WHERE key='chroma:document';"
}

# The metadata is some 200 bytes, as Chroma 0.6.3 writes it: JSON in ASCII.
log_sql() {
    awk -v count="$3" -v dimension="$2" "$awk_ids"' BEGIN { for (n = 1; n <= count; n++) collection(n, sprintf("collection-%05d", n), dimension) }'
    cat <<EOF
WITH RECURSIVE row(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM row WHERE n < $1)
INSERT INTO embeddings_queue(seq_id,created_at,operation,topic,id,vector,encoding,metadata)
SELECT n, datetime(1735689600 + n / 100, 'unixepoch'), 0,
    printf('persistent://default/default/00000001-0000-4000-8000-%012x', (n - 1) % $3 + 1),
    printf('%s-%08d', lower(hex(randomblob(8))), n), randomblob(4 * $2), 'FLOAT32',
    printf('{"page": %d, "source": "report-%d.pdf", "score": 0.%d, "chroma:document": "Record %d says that \\u201cmatter %d\\u201d was looked at again, and that nothing of what was found speaks against it.\\n"}',
        n % 100, n % 977, abs(random()) % 1000000, n, n * 7919 % 1009)
FROM row;
EOF
}

# Positions at the last row of each collection.
applied_sql() {
    awk -v rows="$1" -v dimension="$2" -v count="$3" "$awk_ids"'
    BEGIN {
        for (n = 1; n <= count; n++) {
            collection(n, sprintf("collection-%05d", n), dimension)
            for (kind = 2; kind <= 3; kind++)
                printf "INSERT INTO max_seq_id VALUES(\047%s\047,x\047%016X\047);\n", id(kind, n), rows - count + n
        }
    }'
}

segment_dirs() { awk -v count="$2" -v dir="$1" "$awk_ids"' BEGIN { for (n = 1; n <= count; n++) print dir "/" id(2, n) }'; }

# Few of the words are frequent, as in a language.
documents_sql() {
    awk -v records="$1" "$awk_ids"'
    function word(  w, i) {
        for (i = 2 + int(rand() * 4); i > 0; i--)
            w = w substr("bcdfghklmnprstvw", 1 + int(rand() * 16), 1) substr("aeiou", 1 + int(rand() * 5), 1)
        return w
    }
    BEGIN {
        srand(1)
        collection(1, "documents", 3)
        for (i = 0; i < 20000; i++)
            words[i] = word()
        for (n = 1; n <= records; n++) {
            document = n
            for (i = 20 + int(rand() * 40); i > 0; i--)
                document = document " " words[int(20000 ^ rand()) - 1]
            printf "INSERT INTO embeddings(id,segment_id,embedding_id,seq_id) VALUES(%d,\047%s\047,\047id-%d\047,x\047%016X\047);\n", n, id(3, 1), n, n
            printf "INSERT INTO embedding_metadata(id,key,string_value) VALUES(%d,\047chroma:document\047,\047%s\047);\n", n, document
        }
        printf "INSERT INTO max_seq_id VALUES(\047%s\047,x\047%016X\047);\n", id(3, 1), records
        printf "INSERT INTO embeddings_queue(seq_id,operation,topic,id,metadata) VALUES(%d,1,\047persistent://default/default/%s\047,\047id-1\047,\047{}\047);\n",
            records, id(1, 1)
    }'
    say_sql "INSERT INTO embedding_fulltext_search(rowid,string_value) SELECT id,string_value FROM embedding_metadata WHERE key='chroma:document';"
}

pending_sql() { awk -v dimension="$1" "$awk_ids"' BEGIN { collection(1, "pending", dimension) }'; }

# apply DIR: runs the SQL of stdin; only speed, the directory need not survive the machine
apply() {
    { say_sql 'PRAGMA journal_mode=OFF;' 'PRAGMA synchronous=OFF;' 'BEGIN;' && empty_tables && cat && say_sql 'COMMIT;' 'VACUUM;'; } |
        sqlite3 -bail "$1/chroma.sqlite3" >/dev/null
}

kind=$1 base=$2 dir=$3
mkdir "$dir"
cp "$base" "$dir/chroma.sqlite3"
case $kind in
collections) collections_sql "${4:-10000}" | apply "$dir" ;;
log) log_sql "${4:-100000}" "${5:-384}" "${6:-1}" | apply "$dir" ;;
records)
    records=${4:-100000} dimension=${5:-384}
    elements=$((records * 11 / 10))
    records_sql "$elements" "$dimension" 11 1000 | apply "$dir"
    mkdir "$dir/00000002-0000-4000-8000-000000000001"
    "$MAKE_INDEX" "$dir/00000002-0000-4000-8000-000000000001" "$elements" "$dimension" 11
    ;;
applied)
    rows=${4:-100000} dimension=${5:-384} count=${6:-1}
    applied_sql "$rows" "$dimension" "$count" | apply "$dir"
    segment_dirs "$dir" "$count" | xargs mkdir
    segment_dirs "$dir" "$count" | xargs -I SEGMENT "$MAKE_INDEX" SEGMENT $((rows / count)) "$dimension" 100000000
    "$MAKE_LOG" "$dir/chroma.sqlite3" "$(segment_dirs "$dir" 1)" "$rows" "$dimension" "$count"
    ;;
pending)
    pending_sql "${5:-384}" | apply "$dir"
    "$MAKE_PENDING" "$dir/chroma.sqlite3" 1 "${4:-20000}" "${5:-384}" ${6+"$6"}
    ;;
documents) documents_sql "${4:-100000}" | apply "$dir" ;;
*) exit 2 ;;
esac
