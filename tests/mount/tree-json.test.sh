#!/bin/sh
# Every info.json is JSON with two blanks a level, its keys in a fixed order, and one newline at its end.
# limit: 600
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

ROOT='["chroma_version","persist_directory","persist_directory_size","system_database_path","system_database_size","collections","wal_entries","orphan_directories","free_pages","page_size","automatically_purge","exact","problems"]'
COLLECTION='["id","name","tenant","database","metadata","dimension","configuration","records","wal_entries","exact","metadata_segment","vector_segment","problems"]'
METADATA='["id","type","scope","max_seq_id","wal_gap"]'
VECTOR='["id","type","scope","path","size","max_seq_id","index","wal_gap","labels","ids_without_vector","fragmentation"]'
INDEX='["state","max_seq_id","total_labels","total_elements_added","elements","max_elements","dimension","m","ef_construction"]'
LABELS='["total","active","deleted","allocated","orphan","orphan_total"]'
ORPHAN='["directory","size","files","labels","elements","since","removable","reason"]'
PROBLEM='["code","where","sentence","command"]'

# keys EXPECTED FILTER FILE...: of an object in each file, unless it is null
keys() {
    expected=$1 filter=$2
    shift 2
    jq -c "$filter | if . == null then empty else keys_unsorted end" "$@" | sort -u >found
    assert_eq "$expected" "$(cat found)" "keys of $filter"
}

# check_forms: of all files in the list
check_forms() {
    python3 - all metadata_keys <<'END'
import json, re, sys

def keys(value):
    if isinstance(value, dict):
        for key in value:
            yield key
            yield from keys(value[key])
    elif isinstance(value, list):
        for element in value:
            yield from keys(element)

names = {line.rstrip("\n") for line in open(sys.argv[2], encoding="utf-8")}
for path in open(sys.argv[1], encoding="utf-8").read().splitlines():
    text = open(path, encoding="utf-8", newline="").read()
    value = json.loads(text)
    if text != json.dumps(value, indent=2, ensure_ascii="\\u" in text) + "\n":
        sys.exit(path + " is not laid out with two blanks a level and one newline at its end:\n" + text)
    wrong = [key for key in keys(value) if not re.fullmatch("[a-z0-9_]+", key) and key not in names]
    if wrong:
        sys.exit("%s: keys that are not snake_case: %s" % (path, wrong))
END
}

check_keys() {
    keys "$ROOT" . "$MNT/info.json"
    keys "$PROBLEM" '.problems[]' "$MNT/info.json"
    keys "$COLLECTION" . "$MNT"/collections/*/info.json
    keys "$METADATA" .metadata_segment "$MNT"/collections/*/info.json
    keys "$VECTOR" .vector_segment "$MNT"/collections/*/info.json
    keys "$INDEX" .vector_segment.index "$MNT"/collections/*/info.json
    keys "$LABELS" .vector_segment.labels "$MNT"/collections/*/info.json
    keys '["count","first"]' .vector_segment.ids_without_vector "$MNT"/collections/*/info.json
    keys "$ORPHAN" . "$MNT"/orphans/*/info.json
}

check() {
    jq -r '.collections[].metadata // {} | keys[]' "$TRUTH" | sort -u >metadata_keys
    wait_measured
    find "$MNT" -name info.json >all
    check_forms || fail "$1"
    find "$MNT" -name info.json -exec jq . {} + >normal || fail "$1: jq can't read all"
    check_keys
    # Each problem tells where it is, and that is there.
    jq -r '.problems[].where' "$MNT/info.json" | while read -r where; do [ -e "$MNT/$where" ] || fail "there is no $where"; done
    note "$1: $(wc -l <all) files"
}

for_each_fixture check
