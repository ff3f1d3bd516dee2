#!/bin/sh
# -o skip= leaves collections out, everywhere: by name, by entry, percent-encoded, several, all.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

# assert_skipped CONDITION: exactly the collections for which that SQL is true are gone, and so are their segments
assert_skipped() {
    sql_entries "$DIR" "SELECT entry FROM entries WHERE NOT ($1) ORDER BY entry" >expected
    (cd "$MNT/collections" && find . -mindepth 1 -maxdepth 1 -printf '%f\n' | sort) >found
    diff expected found >&2 || fail "skip where $1"
    sql_entries "$DIR" "SELECT id FROM entries WHERE NOT ($1) ORDER BY id" >expected
    (cd "$MNT/by-id" && find . -mindepth 1 -printf '%f\n' | sort) >found
    diff expected found >&2 || fail "by-id, skip where $1"
    sql_entries "$DIR" "SELECT segments.id FROM segments JOIN entries ON collection = entries.id WHERE NOT ($1) ORDER BY 1" >expected
    (cd "$MNT/segments" && find . -mindepth 1 -maxdepth 1 -printf '%f\n' | sort) >found
    diff expected found >&2 || fail "segments, skip where $1"
    assert_eq "$(sql_entries "$DIR" "SELECT count(*) FROM entries WHERE NOT ($1)")" "$(find "$MNT/tenants" -type l | wc -l)" 'links in tenants/'
    assert_eq "$(sql_entries "$DIR" "SELECT count(*) FROM entries WHERE NOT ($1)")" "$(jq .collections "$MNT/info.json")" 'collections in info.json'
    assert_eq "$orphans" "$(cd "$MNT/orphans" && echo ./*)" 'orphans'
    sql_entries "$DIR" "SELECT id FROM entries WHERE $1" >gone
    sql_entries "$DIR" "SELECT segments.id FROM segments JOIN entries ON collection = entries.id WHERE $1" >>gone
    ! grep -rF -f gone "$MNT" --exclude-dir=files >&2 || fail "the id of a skipped collection or segment is somewhere"
    while read -r id; do assert_errno ENOENT stat "$MNT/segments/$id"; done <gone
}

# skip CONDITION OPTION...
check() {
    condition=$1
    shift
    mount_dir "$DIR" "$MNT" "$@"
    assert_skipped "$condition"
    unmount
}

copy_fixture chroma-1.5.9
mount_dir "$DIR" "$MNT"
orphans=$(cd "$MNT/orphans" && echo ./*)
unmount
check "entry = 'types'" -o skip=types
check "name = 'docs'" -o skip=docs
check "entry = 'docs@acme.dbx'" -o skip=docs@acme.dbx
check "entry = 'docs@acme.v1%2E2'" -o skip=docs@acme.v1%2E2
check "name = 'lonely'" -o skip=lonely
check "name = 'space-ip'" -o skip=space%2Dip
check "name LIKE 'nnn%'" -o "skip=$(printf '%512s' '' | tr ' ' n)"
check "name IN ('types', 'emptied', 'space.cosine')" -o skip=types:emptied:space.cosine
check "name IN ('types', 'emptied')" -o skip=types -o skip=emptied
check "name IN ('types', 'emptied')" -o skip=types:no-such-collection,skip=emptied
check 0 -o skip=no-such-collection
check 1 -o "skip=$(sql_entries "$DIR" 'SELECT DISTINCT name FROM entries' | paste -sd :)"
change "$DIR" "UPDATE collections SET name = 'a:b,c%d' WHERE name = 'types'"
mount_dir "$DIR" "$MNT" -o 'skip=a%3Ab%2Cc%25d'
assert_errno ENOENT stat "$MNT/collections/a:b,c%25d"
assert_eq "$(($(sql "$DIR" 'SELECT count(*) FROM collections') - 1))" "$(jq .collections "$MNT/info.json")" 'collections'
unmount
mount_dir "$DIR" "$MNT"
[ -d "$MNT/collections/a:b,c%25d" ] || fail 'the renamed collection'
