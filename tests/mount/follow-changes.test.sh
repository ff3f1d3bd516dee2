#!/bin/sh
# What is written to the directory shows at the next stat: names, values, sizes, and a newer mtime.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

is_gone() { [ ! -e "$1" ]; }

mtime_of() { stat -c %.9Y "$1"; }
seconds_of() { stat -c %Y "$1"; }

# old DIR: all that is in it was written long ago
old() {
    find "$1" -exec touch -h -d '2024-01-02 03:04:05' {} +
}

is_newer() { [ "$(seconds_of "$1")" -gt "$2" ]; }

# changed FILE COMMAND...: the mtime of FILE moves at once, and in seconds, which is all that rsync compares, once the second of the
# change is over
changed() {
    moving=$1
    shift
    was=$(mtime_of "$moving")
    "$@"
    [ "$(mtime_of "$moving")" != "$was" ] || fail "$moving has the mtime $was before and after: $*"
    wait_until is_newer "$moving" "${was%.*}"
}

add_collection() {
    change "$DIR" "INSERT INTO collections (id, name, database_id) SELECT '11111111-2222-3333-4444-555555555555', 'brand-new', database_id
        FROM collections WHERE name = 'space_l2'"
}

check_new_collection() {
    assert_errno ENOENT stat "$MNT/collections/brand-new"
    count=$(jq .collections "$MNT/info.json")
    old "$DIR"
    changed "$MNT/info.json" add_collection
    assert_eq brand-new "$(jq -r .name "$MNT/collections/brand-new/info.json")"
    assert_eq null "$(jq .vector_segment "$MNT/collections/brand-new/info.json")" 'its segment'
    assert_eq "$((count + 1))" "$(jq .collections "$MNT/info.json")" collections
    [ -d "$MNT/by-id/11111111-2222-3333-4444-555555555555/config" ] || fail 'by-id/ does not lead to the new collection'
    [ -d "$MNT/tenants/default_tenant/default_database/brand-new" ] || fail 'tenants/ does not lead to the new collection'
}

rename_collection() { change "$DIR" "UPDATE collections SET name = '$2' WHERE name = '$1'"; }

check_rename() {
    id=$(jq -r .id "$MNT/collections/types/info.json")
    segment=$(segment_of "$DIR" types METADATA)
    old "$DIR"
    rename_collection types 'sorts%of@../things'
    assert_errno ENOENT cat "$MNT/collections/types/info.json"
    entry='sorts%25of%40..%2Fthings'
    assert_eq "$id" "$(jq -r .id "$MNT/collections/$entry/info.json")" 'id after the rename'
    assert_eq 'sorts%of@../things' "$(jq -r .name "$MNT/collections/$entry/info.json")" 'name after the rename'
    assert_eq "../collections/$entry" "$(readlink "$MNT/by-id/$id")" 'by-id after the rename'
    assert_eq "../../collections/$entry" "$(readlink "$MNT/segments/$segment/collection")" 'link of the segment after the rename'
    (cd "$MNT/collections" && ls -d ./*) | grep -qxF "./$entry" || fail 'not listed after the rename'
    rename_collection 'sorts%of@../things' types
    assert_eq "$id" "$(jq -r .id "$MNT/collections/types/info.json")" 'id after it got its old name again'
}

add_row() {
    change "$DIR" "INSERT INTO embeddings_queue (operation, topic, id) SELECT 3, topic, 'of-no-record' FROM embeddings_queue
        WHERE substr(topic, -36) = '$1' LIMIT 1"
}

delete_collection() {
    change "$DIR" "DELETE FROM segments WHERE collection IN (SELECT id FROM collections WHERE name = '$1');
        DELETE FROM collections WHERE name = '$1'"
}

check_rows() {
    id=$(jq -r .id "$MNT/collections/space_l2/info.json")
    wait_measured
    entries=$(jq .wal_entries "$MNT/collections/space_l2/info.json")
    gap=$(cat "$MNT/segments/$(segment_of "$DIR" space_l2 VECTOR)/wal_gap")
    old "$DIR"
    changed "$MNT/collections/space_l2/info.json" add_row "$id"
    wait_measured
    assert_eq "$((entries + 1))" "$(jq .wal_entries "$MNT/collections/space_l2/info.json")" 'wal_entries after a row more'
    assert_eq "$((gap + 1))" "$(cat "$MNT/segments/$(segment_of "$DIR" space_l2 VECTOR)/wal_gap")" 'wal_gap after a row more'
}

check_deleted() {
    segment=$(segment_of "$DIR" unicode VECTOR)
    [ -d "$MNT/segments/$segment/files" ] || fail 'the segment has no files'
    delete_collection unicode
    assert_errno ENOENT stat "$MNT/collections/unicode"
    assert_errno ENOENT stat "$MNT/segments/$segment"
    assert_eq "$segment" "$(jq -r .directory "$MNT/orphans/$segment/info.json")" 'the orphan'
    jq -e --arg id "$segment" '.orphan_directories | index($id)' "$MNT/info.json" >/dev/null || fail 'the orphan is not in info.json'
    rm -r "${DIR:?}/$segment"
    assert_errno ENOENT stat "$MNT/orphans/$segment"
}

# A file of an index that is written in place, and one that is replaced.
check_segment_files() {
    segment=$(segment_of "$DIR" space-ip VECTOR)
    file=$MNT/segments/$segment/files/length.bin
    size=$(cat "$MNT/segments/$segment/size")
    old "$DIR"
    before=$(mtime_of "$file")
    printf 'more' >>"$DIR/$segment/length.bin"
    [ "$(mtime_of "$file")" != "$before" ] || fail 'the mtime of a file that was written to'
    assert_eq "$((size + 4))" "$(cat "$MNT/segments/$segment/size")" 'size after four bytes more'
    assert_same_file "$DIR/$segment/length.bin" "$file"
    old "$DIR"
    changed "$file" touch "$DIR/$segment/length.bin"
    old "$DIR"
    changed "$MNT/segments/$segment/info.json" touch "$DIR/$segment/header.bin"
    printf 'other bytes' >new
    mv new "$DIR/$segment/length.bin"
    assert_eq 'other bytes' "$(cat "$file")" 'a file that was replaced'
    rm "$DIR/$segment/index_metadata.pickle"
    assert_errno ENOENT cat "$MNT/segments/$segment/files/index_metadata.pickle"
    # length.bin was written just now: until two seconds are over, Chroma may be rewriting the pickle, and the value is null.
    wait_until is_gone "$MNT/segments/$segment/fragmentation"
    : >"$DIR/$segment/new.bin"
    assert_eq 0 "$(stat -c %s "$MNT/segments/$segment/files/new.bin")" 'size of a new file'
    find "$MNT/segments/$segment/files" -name new.bin | grep -q . || fail 'a new file is not listed'
}

mount_fixture chroma-1.5.9
check_new_collection
check_rename
check_rows
check_deleted
check_segment_files
