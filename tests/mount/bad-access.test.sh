#!/bin/sh
# skip-allowed: it needs root
# The daemon runs as a user who may not read one segment: its files can't be read, info.json says why, and all else is as it was.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

# In a mount namespace of its own the test has a /dev/fuse that all may open, whatever the mode of the other one is. A tmpfs has
# devices, which the file system of the work directory may not have.
with_own_device() {
    # shellcheck disable=SC2016  # for the inner shell
    OWN_DEVICE=1 unshare -m --propagation private sh -ec '
        mount -t tmpfs -o mode=755 none "$CHROMAFS_TEST_DIR/device"
        mknod -m 666 "$CHROMAFS_TEST_DIR/device/fuse" c 10 229
        mount --bind "$CHROMAFS_TEST_DIR/device/fuse" /dev/fuse
        exec "$0"' "$0"
}

need_root
if [ "${OWN_DEVICE-}" != 1 ]; then
    mkdir device
    with_own_device
    exit 0
fi
assert_ok as_nobody test -r /dev/fuse -a -w /dev/fuse
# The one that was built may be where others may not go.
cp "$CHROMAFS" "$WORK/program"
CHROMAFS=$WORK/program

is_mounted() {
    awk -v mnt="$MNT" '$5 == mnt { found = 1 } END { exit !found }' /proc/self/mountinfo
}

# As mount_dir does, which looks at the mount point, and root may not do that here.
mount_as_nobody() {
    # shellcheck disable=SC2086  # the wrapper is a command and its options
    setpriv --reuid=65534 --regid=65534 --clear-groups -- ${CHROMAFS_WRAPPER-} "$CHROMAFS" -f "$DIR" "$MNT" >"$MNT.log" 2>&1 &
    DAEMON=$!
    printf '%s %s\n' "$DAEMON" "$MNT" >>"$WORK/.mounts"
    wait_until is_mounted
}

# looks WHAT: as the user who mounted it; root may not
looks() {
    as_nobody find "$MNT" -type f -exec cat {} + >/dev/null 2>errors || :
    ! grep -v -e "/$segment/" errors >others || fail "$1: unreadable, too: $(head -n 3 others)"
    as_nobody cat "$info" >shown || fail "$1: info.json can't be read"
    assert_problem shown index_damaged "$(errno_text EACCES)"
    as_nobody cat "$MNT/collections/docs/info.json" >healthy
    assert_eq '' "$(problems healthy)" "$1: problems of a healthy collection"
}

copy_fixture chroma-1.5.9
segment=$(vector_segment space_l2)
info=$MNT/collections/space_l2/info.json
mkdir "$MNT"
chown -R 65534:65534 "$MNT" "$DIR"
mount_as_nobody
as_nobody cat "$info" >shown
assert_eq '' "$(problems shown)" 'problems at first'
for file in header.bin data_level0.bin length.bin link_lists.bin index_metadata.pickle; do
    chmod 000 "$DIR/$segment/$file"
    looks "$file"
    assert_fails as_nobody cat "$MNT/segments/$segment/files/$file" 2>/dev/null
    chmod 644 "$DIR/$segment/$file"
done
chmod 000 "$DIR/$segment"
looks 'the directory'
chmod 755 "$DIR/$segment"
as_nobody cat "$info" >shown
assert_eq '' "$(problems shown)" 'problems at last'
forget_daemon "$MNT"
as_nobody fusermount3 -u "$MNT"
wait "$DAEMON"
