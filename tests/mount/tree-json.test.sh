#!/bin/sh
# Every info.json is JSON with two blanks a level, its keys in a fixed order, and one newline at its end.
# limit: 600
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

# What each object is called here, and its keys.
sort >expected-keys <<'END'
collection ["id","name","tenant","database","metadata","dimension","configuration","records","wal_entries","exact","metadata_segment","vector_segment","problems"]
ids_without_vector ["count","first"]
index ["state","max_seq_id","total_labels","total_elements_added","elements","max_elements","dimension","m","ef_construction"]
labels ["total","active","deleted","allocated","orphan","orphan_total"]
metadata_segment ["id","type","scope","max_seq_id","wal_gap"]
orphan ["directory","size","files","labels","elements","since","removable","reason"]
problem ["code","where","sentence","command"]
root ["chroma_version","persist_directory","persist_directory_size","system_database_path","system_database_size","collections","wal_entries","wal","orphan_directories","free_pages","page_size","automatically_purge","exact","problems"]
vector_segment ["id","type","scope","path","size","max_seq_id","index","wal_gap","labels","ids_without_vector","fragmentation"]
END

# check_keys FILE...: of all objects that are there; at least one of each kind is
check_keys() {
    jq -r 'def keys_of(name): if . == null then empty else "\(name) \(keys_unsorted | tojson)" end;
        (input_filename | split("/")[-3]) as $parent |
        if $parent == "collections" then
            keys_of("collection"), (.metadata_segment | keys_of("metadata_segment")), (.problems[] | keys_of("problem")),
            (.vector_segment | keys_of("vector_segment"),
                (.index? | keys_of("index")), (.labels? | keys_of("labels")), (.ids_without_vector? | keys_of("ids_without_vector")))
        elif $parent == "orphans" then keys_of("orphan")
        elif $parent == "segments" then empty
        else keys_of("root"), (.problems[] | keys_of("problem"))
        end' "$@" | sort -u >keys
    diff expected-keys keys >&2 || fail "$fixture: keys: expected (<), found (>)"
}

# jq writes what it reads in the same layout, but knows no more digits of a number than a double has, and has its own ways to write one:
# so numbers are compared with their values only.
same_layout() {
    sed -E 's/^( *("([^"\\]|\\.)*": )?)-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?(,?)$/\1NUMBER\7/' "$1"
}

# check_form FILE...
check_form() {
    cat "$@" >all
    jq . "$@" >normal || fail "jq can't read all"
    same_layout all >layout
    same_layout normal | diff layout - >&2 || fail 'found (<) is not laid out as JSON with two blanks a level and one newline at its end (>)'
}

# check_snake_case FILE...: but for those in a collection's metadata, which its user chose
check_snake_case() {
    jq '.collections[].metadata // {} | keys[]' "$TRUTH" | sort -u >metadata-keys
    jq '.. | objects | keys_unsorted[]' "$@" | sort -u >all-keys
    ! grep -vxE '"[a-z0-9_]+"' all-keys | grep -vxF -f metadata-keys >&2 || fail "$fixture: keys that are not snake_case"
}

check() {
    wait_measured
    set -- "$1" "$MNT/info.json" "$MNT"/collections/*/info.json "$MNT"/segments/*/info.json "$MNT"/orphans/*/info.json
    fixture=$1
    shift
    assert_eq "$(find "$MNT" -name info.json | wc -l)" $# "$fixture: files"
    check_form "$@"
    check_keys "$@"
    check_snake_case "$@"
    # Each problem tells where it is, and that is there.
    jq -r '.problems[].where' "$MNT/info.json" | while read -r where; do [ -e "$MNT/$where" ] || fail "$fixture: there is no $where"; done
}

for_each_fixture check
