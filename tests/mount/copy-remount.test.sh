#!/bin/sh
# On every fixture, an unchanged directory looks the same after a remount, inode numbers included, and rsync moves nothing.
# limit: 600
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

transferred() {
    rsync -a --stats "$MNT/" "$1" >stats || fail "rsync: $(cat stats)"
    sed -n 's/^Number of regular files transferred: //p' stats | tr -d ,
}

check() {
    copy_fixture "$1"
    mount_settled "$DIR"
    list_tree "$MNT" >first
    find "$MNT" -type f -exec sha256sum {} + >sums
    [ "$(transferred "$WORK/$1.copy")" -gt 0 ] || fail "$1: the first rsync moved nothing"
    assert_eq 0 "$(transferred "$WORK/$1.copy")" "$1: files moved by a second rsync"
    list_tree "$MNT" >second
    diff first second >&2 || fail "$1: the same mount, looked at again"
    unmount
    mount_settled "$DIR"
    list_tree "$MNT" >second
    diff first second >&2 || fail "$1: after a remount"
    sha256sum --quiet -c sums >&2 || fail "$1: contents after a remount"
    assert_eq 0 "$(transferred "$WORK/$1.copy")" "$1: files moved by rsync after a remount"
    unmount
    rm -rf "${WORK:?}/$1" "${WORK:?}/$1.copy"
}

fixtures >names
while read -r name <&4; do check "$name" 4<&-; done 4<names
