#!/bin/sh
# On every fixture, what the files say agrees with what the Chroma that wrote it says, and with the database read by sqlite3.
# limit: 600
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

# same WHAT: expected and found are equal
same() {
    [ -s expected ] || fail "$FIXTURE: nothing to compare: $1"
    diff expected found >&2 || fail "$FIXTURE: $1: expected (<), found (>)"
}

# Everything that is compared, read once: `infos` has the collections, `segment-infos` the segments, `truth` what Chroma says, the texts and
# vectors of its records left out.
read_all() {
    jq -c '{entry: (input_filename | split("/")[-2])} + .' "$MNT"/collections/*/info.json >infos
    jq -c '{directory: (input_filename | split("/")[-2])} + .' "$MNT"/segments/*/info.json >segment-infos
    jq -c '.collections |= map(.vectorless = ([.records[] | select(.embedding == null)] | length) | del(.records))' "$TRUTH" >truth
    version=$(jq -r .chroma_version truth)
}

check_collections() {
    jq -S '[.collections[] | {id, name, tenant, database, metadata, records: .count}] | sort_by(.id)' truth >expected
    jq -s -S 'map({id, name, tenant, database, metadata, records}) | sort_by(.id)' infos >found
    same 'collections'
}

# Records for which Chroma answers no vector. Those before 0.5.1 also forget some that the log still has, in memory.
check_vectorless() {
    case $version in
    0.4.* | 0.5.0) return 0 ;;
    esac
    jq -r '.collections[] | [.id, .vectorless] | @tsv' truth | sort >expected
    jq -r '[.id, .vector_segment.ids_without_vector.count] | @tsv' infos | sort >found
    same 'ids_without_vector'
}

# What the tables say of each collection: its dimension, and how many rows of the WAL are its own.
check_tables() {
    sql_entries "$DIR" "SELECT id, entry, ifnull(dimension, 'null'), ifnull(n, 0) FROM entries
        LEFT JOIN (SELECT substr(topic, -36) AS owner, count(*) AS n FROM embeddings_queue GROUP BY 1) ON owner = id" | sort >expected
    jq -r '[.id, .entry, .dimension // "null", .wal_entries] | @tsv' infos | sort >found
    same 'dimensions and wal_entries'
}

# The parameters of the collections that were made in 1.x, as it tells them; a collection that an older release made keeps its own.
check_configurations() {
    case $version/$FIXTURE in
    1.*/*upgraded*) return 0 ;;
    1.*) ;;
    *) return 0 ;;
    esac
    jq -r '.collections[] | .configuration.hnsw as $c | [.id, $c.space, $c.max_neighbors, $c.ef_construction, $c.ef_search,
        $c.sync_threshold] | @tsv' truth | sort >expected
    jq -r '.configuration as $c | [.id, $c.space, $c.m, $c.ef_construction, $c.ef_search, $c.sync_threshold] | @tsv' infos | sort >found
    same 'configurations'
}

check_spaces() {
    printf '%s\n' empty-cosine:cosine space-ip:ip space.cosine:cosine space_l2:l2 >expected
    (cd "$MNT/collections" && grep -H . empty-cosine/config/space space-ip/config/space space.cosine/config/space space_l2/config/space) |
        sed 's|/config/space||' >found
    same 'spaces'
}

# Every file of config/ is the value in info.json, on a line; "default" where that is null.
check_parameters() {
    (cd "$MNT/collections" && grep -rH . --exclude=info.json --exclude=wal.jsonl --exclude=clean --exclude=commit --exclude=rebuild-hnsw .) | jq -R -s '[split("\n")[] | select(. != "") | split("/") as $path |
        ($path[3:] | join("/") | split(":")) as $line | ($line[1:] | join(":")) as $text |
        {entry: $path[1], name: $line[0], value: (try ($text | tonumber) catch $text)}] | sort_by(.entry, .name)' >found
    jq -s 'map(.entry as $entry | .configuration | to_entries[] | select(.key != "source") | .value |= (. // "default") |
        {entry: $entry, name: .key, value}) | sort_by(.entry, .name)' infos >expected
    same 'the files of config/'
}

# places: `('name', size, directory)` of each directory of an index, for SQL; size is the bytes of its files
places() {
    find "$DIR" -mindepth 1 -printf '%P %y %s\n' | awk -v quote="'" '
        { split($1, part, "/") }
        $2 == "d" { size[part[1]] += 0 }
        $2 == "f" && index($1, "/") { size[part[1]] += $3 }
        END { for (name in size) { printf "%s(%s%s%s, %d)", separator, quote, name, quote, size[name]; separator = ", " } }'
}

# pickled: `('name', position)` of the indexes whose pickle has one: vector segments before 0.5.6
pickled() {
    jq -r '[to_entries[] | "(\u0027\(.key)\u0027, \(.value.max_seq_id // "NULL"))"] | join(", ")' "${TRUTH%/*}/pickles.json"
}

# expected_segments: `segment/file:contents`, from the tables. A position is the last row of the WAL that was applied to the segment; of the
# table, where older releases store a blob of its bytes, or else of the pickle.
expected_segments() {
    sql "$DIR" "WITH place (name, size) AS (VALUES $(places)), pickled (name, position) AS (VALUES $(pickled)),
        raw AS (SELECT segment_id, seq_id, hex(seq_id) AS digits FROM max_seq_id),
        digit (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM digit WHERE n < 40),
        stored AS (SELECT segment_id, CASE typeof(seq_id) WHEN 'blob' THEN
            (SELECT sum((instr('0123456789ABCDEF', substr(digits, n, 1)) - 1) << (4 * (length(digits) - n))) FROM digit WHERE n <= length(digits))
            ELSE seq_id END AS position FROM raw),
        segment AS (SELECT id, collection, type, scope, ifnull(stored.position, pickled.position) AS position, size FROM segments
            LEFT JOIN stored ON segment_id = id LEFT JOIN pickled ON pickled.name = id LEFT JOIN place ON place.name = id)
        SELECT id || '/info.json:' || collection FROM segment
        UNION ALL SELECT id || '/type:' || type FROM segment
        UNION ALL SELECT id || '/scope:' || scope FROM segment
        UNION ALL SELECT id || '/max_seq_id:' || position FROM segment WHERE position IS NOT NULL
        UNION ALL SELECT id || '/size:' || size FROM segment WHERE scope = 'VECTOR' AND size IS NOT NULL
        UNION ALL SELECT id || '/wal_gap:' || (SELECT count(*) FROM embeddings_queue
            WHERE substr(topic, -36) = collection AND seq_id > ifnull(position, -1)) FROM segment"
}

check_segments() {
    expected_segments | sort >expected
    {
        jq -r '"\(.directory)/info.json:\(.collection)"' segment-infos
        (cd "$MNT/segments" && grep -rH . --include=type --include=scope --include=max_seq_id --include=size --include=wal_gap .) | sed 's|^\./||'
    } | sort >found
    same 'segments'
}

# What a segment's info.json says is what its files say, and what the collection's says.
check_segment_infos() {
    jq -S -c '.id as $c | .metadata_segment, .vector_segment | . + {collection: $c}' infos | sort >expected
    jq -S -c 'del(.directory)' segment-infos | sort >found
    same 'info.json of the segments'
    jq -e -s 'all(.[]; .id == .directory)' segment-infos >/dev/null || fail "$FIXTURE: ids of segments"
    # As JSON from the files, and the same of info.json; what has no file is null there.
    (cd "$MNT/segments" && grep -rH . --include=type --include=scope --include=max_seq_id --include=wal_gap --include=size \
        --include=dimension --include=fragmentation .) | jq -R -s '[split("\n")[] | select(. != "") | split("/") as $path |
        ($path[2:] | join("/") | split(":")) as $line | ($line[1:] | join(":")) as $text |
        {id: $path[1], name: $line[0], value: (try ($text | tonumber) catch $text)}] | sort_by(.id, .name)' >expected
    jq -s '[.[] | .id as $id | {type, scope, wal_gap, size, fragmentation, max_seq_id: (.max_seq_id // .index.max_seq_id),
        dimension: .index.dimension} | to_entries[] | select(.value != null) | {id: $id, name: .key, value}] | sort_by(.id, .name)' \
        segment-infos >found
    same 'files and info.json of the segments'
}

check_root() {
    {
        sql "$DIR" 'SELECT count(*) FROM collections; SELECT count(*) FROM embeddings_queue; PRAGMA freelist_count; PRAGMA page_size'
        stat -c %s "$DIR/chroma.sqlite3"
        bytes_in "$DIR"
        echo "$DIR"
        echo "$DIR/chroma.sqlite3"
        ls "$MNT/orphans"
    } >expected
    jq -r '.collections, .wal_entries, .free_pages, .page_size, .system_database_size, .persist_directory_size, .persist_directory,
        .system_database_path, .orphan_directories[]' "$MNT/info.json" >found
    same 'info.json'
    jq -r '.chroma_version.min, "'"$version"'", (.chroma_version.max // "999")' "$MNT/info.json" >found
    sort -V found >expected
    same 'the range of versions'
}

check_root_config() {
    sql "$DIR" "SELECT sql FROM sqlite_master WHERE name = 'embedding_fulltext_search'" >fts
    tokenizer=$(sed -n "s/.*tokenize *= *['\"]\([^'\"]*\)['\"].*/\1/p" fts)
    assert_eq "${tokenizer:-unicode61}" "$(cat "$MNT/config/fts_tokenizer")" "$FIXTURE: fts_tokenizer"
    if has_table "$DIR" embeddings_queue_config; then
        purge=$(sql "$DIR" 'SELECT config_json_str FROM embeddings_queue_config' | jq .automatically_purge)
        assert_eq "$purge" "$(cat "$MNT/config/automatically_purge")" "$FIXTURE: automatically_purge"
    else
        purge=null
    fi
    assert_eq "$purge" "$(jq .automatically_purge "$MNT/info.json")" "$FIXTURE: automatically_purge in info.json"
}

check() {
    FIXTURE=$1
    wait_measured
    read_all
    check_collections
    check_vectorless
    check_tables
    check_configurations
    check_spaces
    check_parameters
    check_segments
    check_segment_infos
    check_root
    check_root_config
}

for_each_fixture check
