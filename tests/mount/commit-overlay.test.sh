#!/bin/sh
# On an overlay, which can't move the directories of its lower layer: commit works, the old directories stay, and nothing that follows is refused because of them.
# skip-allowed: where no overlay can be mounted
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"

need_root
copy_fixture chroma-1.5.9-nopurge
mkdir upper merged
mount -t tmpfs -o size=64m none upper 2>/dev/null || skip 'no tmpfs can be mounted'
mkdir upper/changed upper/work
mount -t overlay -o "lowerdir=$DIR,upperdir=$WORK/upper/changed,workdir=$WORK/upper/work,redirect_dir=off" none merged 2>/dev/null || {
    umount upper
    skip 'no overlay can be mounted'
}
end() {
    cd /
    ! mountpoint -q "$MNT" || unmount
    umount "$WORK/merged"
    umount "$WORK/upper"
}
status=0
trap 'status=$?; end; trap - EXIT; exit "$status"' EXIT

old=$(sql merged "SELECT s.id FROM segments s JOIN collections c ON s.collection = c.id WHERE s.scope = 'VECTOR' AND c.name = 'types'")
mount_dir "$WORK/merged" "$MNT"
put "$MNT/collections/types/commit" 1
result=$(sed '/^#/d' "$MNT/collections/types/commit" | jq -r '.result.collections[0] | "\(.status) \(.old_directory) \(.reason != null)"')
assert_eq 'committed stays true' "$result" 'the result'
[ -d "merged/$old" ] || fail 'the old directory is gone'
for control in collections/unicode/commit commit clean; do
    put "$MNT/$control" 1 || fail "$control: $(cat "$MNT/last_error")"
done
unmount
mount_dir "$WORK/merged" "$MNT"
put "$MNT/clean" 1 || fail "after another mount: $(cat "$MNT/last_error")"
assert_eq 0 "$(cat "$MNT"/collections/*/segments/*/wal_gap | sort -rn | head -n 1)" 'the largest wal_gap'
unmount
assert_sound "$WORK/merged"
