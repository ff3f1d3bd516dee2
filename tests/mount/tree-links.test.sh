#!/bin/sh
# On every fixture, every link leads where its name says, and back.
# limit: 600
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

# expected_links: `path<tab>target` of all that there should be
expected_links() {
    sql_entries "$DIR" "SELECT 'by-id/' || id, '../collections/' || entry FROM entries
        UNION ALL SELECT 'tenants/' || replace(tenant, '.', '%2E') || '/' || replace(database, '.', '%2E') || '/' || short,
            '../../../collections/' || entry FROM entries
        UNION ALL SELECT 'segments/' || segments.id || '/collection', '../../collections/' || entry
            FROM segments JOIN entries ON entries.id = segments.collection
        UNION ALL SELECT 'collections/' || entry || '/segments/' || segments.id, '../../../segments/' || segments.id
            FROM segments JOIN entries ON entries.id = segments.collection"
}

# What the targets lead to, by the kernel's own resolution.
check_resolved() {
    find "$MNT" -type l -print0 | xargs -0 realpath -e >resolved || fail "$1: links that lead nowhere"
    root=$(realpath -e "$MNT")
    find "$MNT" -type l -printf '%l\n' | sed "s|^\(\.\./\)*|$root/|" | diff - resolved >&2 || fail "$1: where links lead"
    assert_eq '' "$(find "$MNT" -type l -not -xtype d)" "$1: links that lead to no directory"
}

check() {
    expected_links | sort >expected
    (cd "$MNT" && find . -type l -printf '%P\t%l\n') | sort >found
    diff expected found >&2 || fail "$1: links that are missing or elsewhere (<), links that should not be there (>)"
    check_resolved "$1"
    (cd "$MNT" && jq -r '"\(input_filename | split("/")[1]) \(.id)"' by-id/*/info.json) >ids
    sql "$DIR" "SELECT id || ' ' || id FROM collections" | sort >expected
    sort ids | diff expected - >&2 || fail "$1: the ids behind by-id/"
}

for_each_fixture check
