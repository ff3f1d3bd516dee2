#!/bin/sh
# `mount -t fuse.chromafs DIR MNT` and a line of fstab, through the helper mount.fuse3.
# skip-allowed: mount(8) needs root
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
need_root
command -v mount.fuse3 >/dev/null || skip 'there is no mount.fuse3'

# The helper looks for chromafs in the system's PATH, whatever ours is: in a mount namespace of its own this test puts it there.
if [ -z "${CHROMAFS_OWN_MOUNTS-}" ]; then
    trap - EXIT
    exec env CHROMAFS_OWN_MOUNTS=1 unshare -m --propagation private "$0"
fi

prepare_path() {
    mkdir bin
    {
        echo '#!/bin/sh'
        echo "exec ${CHROMAFS_WRAPPER-} '$CHROMAFS' \"\$@\""
    } >bin/chromafs
    chmod 755 bin/chromafs
    mount --bind bin /usr/local/bin
}

check_mounted() {
    assert_eq fuse.chromafs "$(findmnt -n -o FSTYPE "$MNT")" 'type'
    assert_eq "$DIR" "$(findmnt -n -o SOURCE "$MNT")" 'source'
    [ -s "$MNT/collections/types/info.json" ] || [ -n "${1-}" ] || fail 'nothing there'
}

check_mount() {
    mount -t fuse.chromafs "$DIR" "$MNT"
    check_mounted
    umount "$MNT"
    wait_until has_no_daemon "$DIR"
    mount -t fuse.chromafs -o ro,allow_other,skip=types "$DIR" "$MNT"
    check_mounted skipped
    assert_errno ENOENT stat "$MNT/collections/types"
    findmnt -n -o OPTIONS "$MNT" | tr , '\n' | grep -qx allow_other || fail 'allow_other'
    findmnt -n -o OPTIONS "$MNT" | tr , '\n' | grep -qx ro || fail 'ro'
    umount "$MNT"
    wait_until has_no_daemon "$DIR"
}

check_fstab() {
    printf '%s %s fuse.chromafs %s 0 0\n' "$DIR" "$MNT" 'noauto,nofail,_netdev,ro,allow_other,skip=types:emptied' >fstab
    mount -T "$WORK/fstab" "$MNT"
    check_mounted skipped
    assert_errno ENOENT stat "$MNT/collections/types"
    assert_errno ENOENT stat "$MNT/collections/emptied"
    [ -s "$MNT/collections/docs/info.json" ] || fail 'nothing there'
    umount "$MNT"
    wait_until has_no_daemon "$DIR"
}

# What goes wrong in the program goes wrong in mount.
check_failure() {
    mkdir empty
    ! mount -t fuse.chromafs "$WORK/empty" "$MNT" 2>err || fail 'mounted an empty directory'
    assert_contains err chroma.sqlite3
    assert_fails mountpoint -q "$MNT"
}

copy_fixture chroma-1.5.9
mkdir "$MNT"
prepare_path
check_mount
check_fstab
check_failure
