#!/bin/sh
# -o privacy: no name, path, document, record id or metadata of the directory is anywhere in the tree, on every fixture.
# limit: 600
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

# Every text of the truth that is somebody's own; "l2" and the like are values of hnsw:* keys, which stay.
secrets() {
    jq -r '.collections[] | ((.metadata // {} | to_entries[] | select(.key | startswith("hnsw:") | not) | .value | strings),
        (.records[] | .id, .document // empty, .uri // empty, (.metadata // {} | .. | strings)) | select(length > 2)), .name, .tenant, .database' "$TRUTH"
    printf '%s\n' "$DIR" "$WORK" "$1"
}

# As whole words, since "docs" is also a piece of other words; the words that the tree itself needs are no secrets.
own_words() {
    {
        cat "$MNT/README"
        find "$MNT" -maxdepth 1 -type f -perm -200 -exec grep -h '^#' {} +
    } | tr -cs 'A-Za-z0-9_.@%-' '\n'
    printf '%s\n' empty types unpersisted persisted fragmented
}

# text_of TREE: all paths, targets and contents; ids stay, and pieces of them may look like anything
text_of() {
    (cd "$1" && find . -printf '%P %l\n' && find . -type f -exec cat {} +) | sed -E 's/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}//g'
}

look_for() {
    text_of "$MNT" >everything
    secrets "$1" | grep -a . | sort -u >secret
    grep -avxF -f own-words secret >secret-words
    ! grep -anwF -f secret-words everything >leaks || fail "$1: $(head -n 5 leaks)"
    grep -aqF 'hnsw:space' everything || ! grep -qF '"hnsw:space"' "$TRUTH" || fail "$1: the values of hnsw: keys should stay"
}

# The same search must find things where nothing is hidden, else it shows nothing.
look_without() {
    mount_dir "$DIR" "$WORK/open"
    text_of "$WORK/open" >everything
    for secret in "$DIR" space_l2 default_tenant; do assert_contains everything "$secret"; done
    grep -aqwF -f secret-words everything || fail 'the search finds nothing in an open tree'
    unmount "$WORK/open"
}

check_form() {
    sql "$DIR" 'SELECT count(*) FROM collections' >count
    (cd "$MNT/collections" && find . -mindepth 1 -maxdepth 1 -printf '%f\n' | sort) >found
    seq "$(cat count)" | sed 's/^/c/' | sort | diff - found >&2 || fail "$1: entries"
    find "$MNT" '(' -name files -o -name tenants -o -name wal.jsonl -o -name history.jsonl -o -xtype l ')' -print >wrong
    for gone in tenants wal.jsonl history.jsonl; do [ ! -e "$MNT/$gone" ] || echo "$gone" >>wrong; done
    assert_eq '' "$(cat wrong)" "$1: what must not be there, links that lead nowhere included"
    ! findmnt -n -o SOURCE "$MNT" | grep -F -e "$DIR" || fail 'the path is in the table of mounts'
    jq -e -s '(.[0].collections | map({id, records: .count}) | sort_by(.id)) == (.[1:] | map({id, records}) | sort_by(.id))' \
        "$TRUTH" "$MNT"/collections/*/info.json >/dev/null || fail "$1: the counts"
}

check() {
    TRUTH=$CHROMAFS_FIXTURES/$1/truth.json
    copy_fixture "$1"
    mount_dir "$DIR" "$MNT" -o privacy
    wait_measured
    own_words | sort -u >own-words
    look_for "$1"
    look_without
    check_form "$1"
    unmount
    rm -rf "${WORK:?}/$1"
}

fixtures >names
while read -r name <&4; do check "$name" 4<&-; done 4<names
