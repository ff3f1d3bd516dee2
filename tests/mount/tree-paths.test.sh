#!/bin/sh
# On every fixture, the tree has all the paths that its database and its files call for, and no other.
# limit: 600
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

# parameters: of each collection. The Rust releases (1.x) have fewer.
parameters() {
    sql_entries "$DIR" "SELECT entry FROM entries" >all
    case $(jq -r .chroma_version "$TRUTH") in
    1.*) ;;
    *) suffix 'num_threads resize_factor batch_size' <all ;;
    esac
    suffix 'space m ef_construction ef_search sync_threshold' <all
}

# suffix WORDS: the path of each file of config/ for each entry on stdin
suffix() {
    while read -r entry; do
        for word in $1; do echo "collections/$entry/config/$word"; done
    done
}

root_paths() {
    printf '%s\n' . README info.json wal.jsonl config config/fts_tokenizer orphans tenants by-id collections segments
    printf '%s\n' status.json last_error history.jsonl cancel commit clean rebuild-fts clean-orphans backup
    ! has_table "$DIR" embeddings_queue_config || echo config/automatically_purge
}

tenant_paths() {
    sql_entries "$DIR" "SELECT 'tenants/' || replace(tenant, '.', '%2E') FROM tenancy
        UNION SELECT 'tenants/' || replace(tenant, '.', '%2E') || '/' || replace(database, '.', '%2E') FROM tenancy
        UNION SELECT 'tenants/' || replace(tenant, '.', '%2E') || '/' || replace(database, '.', '%2E') || '/' || short FROM entries
        UNION SELECT 'by-id/' || id FROM entries"
    ! has_table "$DIR" tenants || sql "$DIR" "SELECT 'tenants/' || replace(id, '.', '%2E') FROM tenants"
}

collection_paths() {
    parameters
    while read -r entry; do
        c=collections/$entry
        printf '%s\n' "$c" "$c/info.json" "$c/wal.jsonl" "$c/commit" "$c/clean" "$c/rebuild-hnsw" "$c/config" "$c/segments"
    done <all
    sql_entries "$DIR" "SELECT 'collections/' || entry || '/segments/' || segments.id
        FROM entries JOIN segments ON segments.collection = entries.id"
}

# Of a vector segment: what its files tell and what is wrong with them, and those that exist only once it was persisted.
vector_paths() {
    echo "$1/size"
    echo "$1/files"
    echo "$1/check.json"
    (cd "$DIR/$2" && find . -type f -printf "$1/files/%P\n")
    [ ! -s "$DIR/$2/header.bin" ] || echo "$1/dimension"
    if [ -e "$DIR/$2/index_metadata.pickle" ]; then
        echo "$1/labels"
        echo "$1/fragmentation"
    fi
}

segment_paths() {
    sql "$DIR" "SELECT segments.id, scope, seq_id IS NOT NULL FROM segments LEFT JOIN max_seq_id ON segment_id = segments.id" |
        while read -r id scope positioned; do
            s=segments/$id
            printf '%s\n' "$s" "$s/info.json" "$s/type" "$s/scope" "$s/wal_gap" "$s/collection"
            [ ! -d "$DIR/$id" ] || [ "$scope" != VECTOR ] || vector_paths "$s" "$id"
            # Releases before 0.5.6 keep a vector segment's position in its pickle.
            if [ "$positioned" -eq 1 ] || [ -e "$DIR/$id/index_metadata.pickle" ]; then
                echo "$s/max_seq_id"
            fi
        done
}

orphan_paths() {
    sql "$DIR" 'SELECT id FROM segments' >owned
    (cd "$DIR" && find . -mindepth 1 -maxdepth 1 -type d -printf '%f\n') | grep -vxF -f owned | while read -r orphan; do
        printf 'orphans/%s\norphans/%s/info.json\n' "$orphan" "$orphan"
    done
}

check() {
    {
        root_paths
        tenant_paths
        collection_paths
        segment_paths
        orphan_paths
    } | sort -u >"$1.expected"
    (cd "$MNT" && find . -printf '%p\n') | sed 's|^\./||' | sort >"$1.found"
    diff "$1.expected" "$1.found" >&2 || fail "$1: paths that are missing (<) or should not be there (>)"
    grep -q '^orphans/.*/info.json' "$1.found" || fail "$1 has no orphan: this test would not notice a missing one"
}

for_each_fixture check
