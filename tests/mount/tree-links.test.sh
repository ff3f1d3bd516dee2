#!/bin/sh
# On every fixture, every link leads where its name says, and back.
# limit: 600
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

# leads_to LINK DIRECTORY: it is relative, resolves, and is that directory
leads_to() {
    case $(readlink "$1") in
    '' | /*) fail "$1 is '$(readlink "$1")'" ;;
    esac
    assert_eq "$(realpath -e "$2")" "$(realpath -e "$1")" "target of $1"
}

check_by_id() {
    sql_entries "$DIR" 'SELECT id, entry FROM entries' >list
    while read -r id entry; do
        leads_to "$MNT/by-id/$id" "$MNT/collections/$entry"
        assert_eq "$id" "$(jq -r .id "$MNT/by-id/$id/info.json")" "id of $entry"
    done <list
}

check_tenants() {
    sql_entries "$DIR" "SELECT replace(tenant, '.', '%2E') || '/' || replace(database, '.', '%2E') || '/' || short, entry FROM entries" >list
    while read -r path entry; do
        leads_to "$MNT/tenants/$path" "$MNT/collections/$entry"
    done <list
    assert_eq "$(wc -l <list)" "$(find "$MNT/tenants" -type l | wc -l)" 'links in tenants/'
}

check_segments() {
    sql_entries "$DIR" 'SELECT segments.id, entry FROM segments JOIN entries ON entries.id = segments.collection' >list
    while read -r id entry; do
        leads_to "$MNT/segments/$id/collection" "$MNT/collections/$entry"
        leads_to "$MNT/collections/$entry/segments/$id" "$MNT/segments/$id"
    done <list
    assert_eq "$(wc -l <list)" "$(find "$MNT/collections" -path '*/segments/*' -type l | wc -l)" 'links in collections/*/segments/'
}

check() {
    check_by_id
    check_tenants
    check_segments
    assert_eq '' "$(find "$MNT" -xtype l)" "$1: links that lead nowhere"
}

for_each_fixture check
