#!/bin/sh
# The database is replaced, removed or ruined under the mount, and the whole directory moved: the next look shows what is there now.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

entries() {
    timeout 60 find "$MNT/collections" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort
}

# assert_no_database ERRNO: everything that comes from the database fails so, and nothing else
assert_no_database() {
    assert_ok timeout 60 ls "$MNT" >listing
    assert_contains listing collections
    # the root's info.json is there to say what is wrong
    timeout 60 cat "$MNT/info.json" >unread
    assert_problem unread database_unreadable
    assert_eq null "$(json unread .collections)" 'collections of an unreadable database'
    assert_errno "$1" timeout 60 ls "$MNT/collections"
    assert_errno "$1" timeout 60 ls "$MNT/segments"
    assert_errno "$1" timeout 60 cat "$MNT/collections/docs/info.json"
    assert_readable_but "$(errno_text "$1")"
}

restored() {
    cp -a "$CHROMAFS_FIXTURES/chroma-1.5.9-nopurge/dir/chroma.sqlite3" backup
    sqlite3 backup 'SELECT count(*) FROM collections' >expected
    old=$(stat -c '%i %s' "$MNT/info.json")
    exec 8<"$MNT/info.json"
    mv backup "$DIR/chroma.sqlite3"
    [ "$old" != "$(stat -c '%i %s' "$MNT/info.json")" ] || fail 'info.json is the same file after the database was replaced'
    assert_eq "$(cat expected)" "$(json "$MNT/info.json" .collections)" 'collections of the backup'
    assert_eq "$(cat expected)" "$(entries | wc -l)" 'entries of the backup'
    cat <&8 >still
    exec 8<&-
    assert_same_file before still
    assert_readable_but ''
}

# A restore that stops in the middle, and one by cp, which writes in place.
overwritten() {
    cp "$DIR/chroma.sqlite3" whole
    truncate -s 0 "$DIR/chroma.sqlite3"
    assert_no_database EILSEQ
    head -c 20000 whole >"$DIR/chroma.sqlite3"
    assert_no_database EILSEQ
    cat whole >"$DIR/chroma.sqlite3"
    assert_readable_but ''
    assert_eq "$(cat expected)" "$(entries | wc -l)" 'entries after it was written again'
}

removed() {
    mv "$DIR/chroma.sqlite3" kept
    assert_no_database ENOENT
    mkfifo "$DIR/chroma.sqlite3"
    assert_ok timeout 60 ls "$MNT" >/dev/null
    assert_fails timeout 60 cat "$MNT/collections/docs/info.json"
    rm "$DIR/chroma.sqlite3"
    ln -s /etc/passwd "$DIR/chroma.sqlite3"
    assert_fails timeout 60 cat "$MNT/collections/docs/info.json"
    unreadable >/dev/null
    rm "$DIR/chroma.sqlite3"
    mv kept "$DIR/chroma.sqlite3"
    assert_readable_but ''
}

# The mount holds the directory itself, not its name.
moved() {
    mv "$DIR" "$WORK/elsewhere"
    assert_readable_but ''
    assert_eq "$(cat expected)" "$(entries | wc -l)" 'entries of a directory that was moved'
    mkdir "$DIR"
    assert_readable_but ''
    rm -rf "$WORK/elsewhere"
    assert_no_database ENOENT
    assert_ok timeout 60 df "$MNT" >/dev/null
}

mount_fixture chroma-1.5.9
cp "$MNT/info.json" before
for part in restored overwritten removed moved; do
    note "$part"
    "$part"
done
unmount
