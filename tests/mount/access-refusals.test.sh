#!/bin/sh
# Everything that would change the tree is refused in words that a user understands: 'Operation not permitted', and with -o ro
# 'Read-only file system'. Nothing says that a function is not implemented. Controls are another matter: see control-*.test.sh.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

# refuse_all ERRNO
refuse_all() {
    file=$MNT/info.json
    collection=$MNT/collections/types
    for target in "$file" "$collection/config/space" "$(find "$MNT/segments" -name header.bin | head -n 1)"; do
        assert_errno "$1" tee "$target"
        assert_errno "$1" tee -a "$target"
        assert_errno "$1" dd if=/dev/null of="$target" conv=notrunc
        assert_errno "$1" truncate -s 0 "$target"
        assert_errno "$1" truncate -s +5 "$target"
        assert_errno "$1" chmod u+w "$target"
        assert_errno "$1" touch "$target"
        assert_errno "$1" touch -d '2020-01-01 00:00:00' "$target"
        assert_errno "$1" rm -f "$target"
        assert_errno "$1" mv "$target" "$MNT/other"
        assert_errno "$1" ln "$target" "$MNT/other"
        assert_errno "$1" sed -i s/a/b/ "$target"
    done
    for directory in "$MNT" "$MNT/collections" "$collection" "$collection/config" "$MNT/orphans"; do
        assert_errno "$1" mkdir "$directory/new"
        assert_errno "$1" touch "$directory/new"
        assert_errno "$1" ln -s target "$directory/new"
        assert_errno "$1" mkfifo "$directory/new"
        assert_errno "$1" cp "$file" "$directory/new"
        assert_errno "$1" chmod 777 "$directory"
    done
    assert_errno "$1" rmdir "$MNT/orphans"
    assert_errno "$1" mv "$collection" "$MNT/collections/renamed"
    assert_errno "$1" rm "$(find "$MNT/by-id" -type l | head -n 1)"
    ! rm -rf "$collection" 2>err || fail 'rm -rf of a collection succeeded'
    assert_eq '' "$(grep -v "$(errno_text "$1")" err)" 'what rm -rf says'
    if [ "$(id -u)" -eq 0 ]; then
        assert_errno "$1" chown 1 "$file"
        assert_errno "$1" mknod "$MNT/new" c 1 3
    fi
}

# These have no errno of the mount's own choice.
check_attributes() {
    [ -z "$(getfattr -d -m - "$MNT/info.json" 2>/dev/null)" ] || fail 'extended attributes'
    ! setfattr -n user.a -v b "$MNT/info.json" 2>err || fail 'setfattr succeeded'
    ! grep -q 'not implemented' err || fail "setfattr: $(cat err)"
}

# last_error tells of refusals: it is the only file that they change.
tree_but_errors() {
    list_tree "$MNT" | grep -v '^\./last_error '
}

copy_fixture chroma-1.5.9
before=$(fingerprint "$DIR")
mount_settled "$DIR"
tree_but_errors >tree
refuse_all EPERM
check_attributes
tree_but_errors | diff tree - >&2 || fail 'the tree is not what it was'
unmount
mount_settled "$DIR" "$MNT" -o ro
findmnt -n -o OPTIONS "$MNT" | tr , '\n' | grep -qx ro || fail 'not mounted read-only'
refuse_all EROFS
# Nobody can write to controls then.
sed 's/ f 644 / f 444 /' tree >tree-ro
tree_but_errors | diff tree-ro - >&2 || fail 'the tree is not what it was, with -o ro'
unmount
assert_eq "$before" "$(fingerprint "$DIR")" 'the persist directory'
