#!/bin/sh
# Mounting a directory and reading every file writes nothing to it: the same names, bytes, modes, mtimes, ctimes; nor does it need to.
# limit: 600
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

read_everything() {
    find "$MNT" -type f -exec cat {} + | wc -c
    find "$MNT" -printf '%s %l\n' | wc -l
}

check() {
    copy_fixture "$1"
    fingerprint "$DIR" >before
    mount_dir "$DIR" "$MNT"
    wait_measured
    read_everything >counts
    unmount
    fingerprint "$DIR" >after
    diff before after >&2 || fail "$1 was written to"
    rm -rf "${WORK:?}/$1"
}

# check_read_only DIR: on a file system that can't be written to
check_read_only() {
    mount_dir "$1" "$MNT"
    wait_measured
    assert_eq true "$(jq .exact "$MNT/info.json")" 'exact'
    assert_eq "$(jq '.collections | length' "$CHROMAFS_FIXTURES/chroma-1.5.9/truth.json")" "$(jq .collections "$MNT/info.json")" 'collections'
    read_everything >counts
    unmount
}

fixtures >names
while read -r name <&4; do check "$name" 4<&-; done 4<names

copy_fixture chroma-1.5.9
fingerprint "$DIR" >before
chmod -R a-w "$DIR"
check_read_only "$DIR"
chmod -R u+w "$DIR"
if [ "$(id -u)" -eq 0 ]; then
    mkdir read-only
    mount --bind "$DIR" read-only
    # Whatever happens, it must be gone before the work directory is removed.
    trap 'umount -l "$WORK/read-only"; unmount_all' EXIT
    mount -o remount,bind,ro read-only
    assert_errno EROFS touch read-only/new
    check_read_only "$WORK/read-only"
    umount read-only
    trap unmount_all EXIT
else
    note 'no root: without a read-only file system'
fi
