#!/bin/sh
# chromafs-wal-backup to a destination without room: it fails, leaves nothing unfinished, and what was there before stays.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal_backup.sh
. "${CHROMAFS_LIB%/*}/helpers/wal_backup.sh"
need_root

used() { df --output=used disk | tail -n 1; }

copy_fixture chroma-1.5.9
mkdir disk
mount -t tmpfs -o size=2m tmpfs disk || skip 'no tmpfs can be mounted here'
NAMES=names_on_disk
names_on_disk() { generations disk/dest; }
back_up "$DIR" disk/dest
first=disk/dest/$GENERATION
before=$(logs "$first") blocks=$(used)
add_rows "$DIR" types 4000 600
# shellcheck disable=SC2016  # a shell of its own
printf '#!/bin/sh\nshift\nexec sh -c "$*"\n' >shell
chmod +x shell
for way in "$WORK/disk/dest" "host:$WORK/disk/dest"; do
    assert_backup_fails 1 "$(errno_text ENOSPC)" --keep=1 --rsync-option=-e"$WORK/shell" "$DIR" "$way"
    assert_eq "${first##*/}" "$(generations disk/dest)" "generations after a failure, $way"
    assert_eq "$before" "$(logs "$first")" "the first generation after a failure, $way"
    assert_eq "$blocks" "$(used)" "used blocks after a failure, $way"
done
note 'no room for temporary files'
TMPDIR=$WORK/disk
head -c 4M /dev/zero >disk/filler 2>/dev/null || :
run_backup "$DIR" dest
assert_eq 1 "$STATUS" 'status without room for temporary files'
rm disk/filler
TMPDIR=$WORK/tmp
purge "$DIR" types
back_up "$DIR" disk/dest
assert_generation "disk/dest/$GENERATION"
umount disk
