#!/bin/sh
# On every fixture, an unchanged directory looks the same after a remount, inode numbers included, and rsync moves nothing.
# limit: 600
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

# moved COPY: what rsync changes in a copy, a line each: contents, times, modes and links. With --checksum it reads every file; the sizes and
# times, which it goes by without, count as changes too.
moved() {
    rsync -a --checksum --itemize-changes "$MNT/" "$1" || fail "rsync: status $?"
}

check() {
    DIR=$WORK/$1
    mount_settled "$DIR"
    list_tree "$MNT" >first
    moved "$WORK/$1.copy" >new
    grep -q '^>f+++' new || fail "$1: the first rsync moved nothing"
    list_tree "$MNT" | diff first - >&2 || fail "$1: the same mount, looked at again"
    unmount
    mount_settled "$DIR"
    list_tree "$MNT" | diff first - >&2 || fail "$1: after a remount"
    assert_eq '' "$(moved "$WORK/$1.copy")" "$1: moved by rsync after a remount"
    unmount
    rm -rf "${WORK:?}/$1" "${WORK:?}/$1.copy"
}

# All copies first: then only one of them waits until the second of its making is over.
fixtures >names
while read -r name; do copy_fixture "$name"; done <names
while read -r name <&4; do check "$name" 4<&-; done 4<names
