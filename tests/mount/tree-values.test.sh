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

all_infos() {
    for info in "$MNT"/collections/*/info.json; do cat "$info"; done >infos
}

check_collections() {
    jq -S '[.collections[] | {id, name, tenant, database, metadata, records: .count}] | sort_by(.id)' "$TRUTH" >expected
    jq -s -S 'map({id, name, tenant, database, metadata, records}) | sort_by(.id)' infos >found
    same 'collections'
}

# Records for which Chroma answers no vector. Those before 0.5.1 also forget some that the log still has, in memory.
check_vectorless() {
    case $(jq -r .chroma_version "$TRUTH") in
    0.4.* | 0.5.0) return 0 ;;
    esac
    jq -r '.collections[] | [.id, ([.records[] | select(.embedding == null)] | length)] | @tsv' "$TRUTH" | sort >expected
    jq -r '[.id, .vector_segment.ids_without_vector.count] | @tsv' infos | sort >found
    same 'ids_without_vector'
}

check_dimensions() {
    sql_entries "$DIR" "SELECT id, ifnull(dimension, 'null') FROM entries ORDER BY id" >expected
    jq -r '[.id, .dimension // "null"] | @tsv' infos | sort >found
    same 'dimensions in the database'
}

# The parameters of the collections that were made in 1.x, as it tells them; a collection that an older release made keeps its own.
check_configurations() {
    case $(jq -r .chroma_version "$TRUTH")/$FIXTURE in
    1.*/*upgraded*) return 0 ;;
    1.*) ;;
    *) return 0 ;;
    esac
    jq -r '.collections[] | .configuration.hnsw as $c | [.id, $c.space, $c.max_neighbors, $c.ef_construction, $c.ef_search,
        $c.sync_threshold] | @tsv' "$TRUTH" | sort >expected
    jq -r '.configuration as $c | [.id, $c.space, $c.m, $c.ef_construction, $c.ef_search, $c.sync_threshold] | @tsv' infos | sort >found
    same 'configurations'
}

check_spaces() {
    for pair in space_l2=l2 space.cosine=cosine space-ip=ip empty-cosine=cosine; do
        assert_eq "${pair#*=}" "$(cat "$MNT/collections/${pair%=*}/config/space")" "$FIXTURE: space of ${pair%=*}"
    done
}

# Every file of config/ is the value in info.json, on a line.
check_parameters() {
    (cd "$MNT/collections" && grep -rH . --exclude=info.json .) | jq -R -s '[split("\n")[] | select(. != "") |
        capture("^./(?<entry>[^/]*)/config/(?<name>[^:]*):(?<text>.*)$") |
        {entry, name, value: (.text as $t | try ($t | tonumber) catch $t)}] | sort_by(.entry, .name)' >found
    for info in "$MNT"/collections/*/info.json; do
        entry=${info%/info.json}
        jq --arg entry "${entry##*/}" '.configuration | to_entries[] | select(.key != "source" and .value != null) |
            {entry: $entry, name: .key, value}' "$info"
    done | jq -s 'sort_by(.entry, .name)' >expected
    same 'the files of config/'
}

check_entries() {
    sql_entries "$DIR" "SELECT id, entry FROM entries" | while read -r id entry; do
        printf '%s\t%s\n' "$entry" "$(rows_above "$DIR" "$id")"
    done | sort >expected
    for info in "$MNT"/collections/*/info.json; do
        entry=${info%/info.json}
        printf '%s\t%s\n' "${entry##*/}" "$(jq .wal_entries "$info")"
    done | sort >found
    same 'wal_entries'
}

# expected_segment ID COLLECTION TYPE SCOPE
expected_segment() {
    position=$(position_of "$DIR" "$1")
    printf '%s\t' "$1" "$2" "$3" "$4" "$position"
    printf '%s\t' "$(rows_above "$DIR" "$2" "$position")"
    [ "$4" != VECTOR ] || [ ! -d "$DIR/$1" ] || bytes_in "$DIR/$1" | tr -d '\n'
    echo
}

found_segment() {
    printf '%s\t' "${1##*/}" "$(jq -r .collection "$1/info.json")" "$(cat "$1/type")" "$(cat "$1/scope")" "$([ ! -e "$1/max_seq_id" ] || cat "$1/max_seq_id")" \
        "$(cat "$1/wal_gap")"
    [ ! -e "$1/size" ] || tr -d '\n' <"$1/size"
    echo
}

check_segments() {
    sql "$DIR" 'SELECT id, collection, type, scope FROM segments ORDER BY id' | while read -r id collection type scope; do
        expected_segment "$id" "$collection" "$type" "$scope"
    done >expected
    for segment in "$MNT"/segments/*; do found_segment "$segment"; done >found
    same 'segments'
}

# What a segment's info.json says is what its files say, and what the collection's says.
check_segment_infos() {
    for info in "$MNT"/collections/*/info.json; do
        jq -S -c '.id as $c | .metadata_segment, .vector_segment | . + {collection: $c}' "$info"
    done | sort >expected
    for info in "$MNT"/segments/*/info.json; do jq -S -c . "$info"; done | sort >found
    same 'info.json of the segments'
    # As JSON from the files, and the same of info.json; what has no file is null there.
    (cd "$MNT/segments" && grep -rH . --include=type --include=scope --include=max_seq_id --include=wal_gap --include=size \
        --include=dimension --include=fragmentation .) | jq -R -s '[split("\n")[] | select(. != "") |
        capture("^./(?<id>[^/]*)/(?<name>[^:]*):(?<text>.*)$") | {id, name, value: (.text as $t | try ($t | tonumber) catch $t)}] |
        sort_by(.id, .name)' >expected
    jq -s '[.[] | .id as $id | {type, scope, wal_gap, size, fragmentation, max_seq_id: (.max_seq_id // .index.max_seq_id),
        dimension: .index.dimension} | to_entries[] | select(.value != null) | {id: $id, name: .key, value}] | sort_by(.id, .name)' \
        "$MNT"/segments/*/info.json >found
    same 'files and info.json of the segments'
}

check_root() {
    {
        sql "$DIR" 'SELECT count(*) FROM collections'
        sql "$DIR" 'SELECT count(*) FROM embeddings_queue'
        sql "$DIR" 'PRAGMA freelist_count'
        sql "$DIR" 'PRAGMA page_size'
        stat -c %s "$DIR/chroma.sqlite3"
        bytes_in "$DIR"
        echo "$DIR"
        echo "$DIR/chroma.sqlite3"
        ls "$MNT/orphans"
    } >expected
    jq -r '.collections, .wal_entries, .free_pages, .page_size, .system_database_size, .persist_directory_size, .persist_directory,
        .system_database_path, .orphan_directories[]' "$MNT/info.json" >found
    same 'info.json'
    version=$(jq -r .chroma_version "$TRUTH")
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
    all_infos
    check_collections
    check_vectorless
    check_dimensions
    check_configurations
    check_spaces
    check_parameters
    check_entries
    check_segments
    check_segment_infos
    check_root
    check_root_config
}

for_each_fixture check
