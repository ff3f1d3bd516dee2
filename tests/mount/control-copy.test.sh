#!/bin/sh
# Copying the tree, with the files of operations in it, and copying a copy back onto the mount, which must run nothing.
# limit: 60
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"

copy_fixture chroma-0.6.3
mount_settled "$DIR"
put "$MNT/collections/types/clean" 1
put "$MNT/clean-orphans" 'keep=30'
assert_errno EINVAL put "$MNT/clean" no=1
wait_until is_settled "$DIR"
is_old() { [ "$(date +%s)" -gt "$(stat -c %Y "$MNT/last_error")" ] && sleep 1.1; }
wait_until is_old
wait_measured

# --- away -----------------------------------------------------------------

cp -a "$MNT" copy-cp
tar -C "$MNT" -cf all.tar .
tar -C "$MNT" --compare -f all.tar
rsync -a "$MNT/" copy-rsync
for copy in copy-cp copy-rsync; do
    for file in status.json last_error history.jsonl cancel clean clean-orphans backup collections/types/clean config/automatically_purge; do
        [ -e "$MNT/$file" ] || continue
        assert_same_file "$MNT/$file" "$copy/$file"
        assert_eq "$(stat -c '%s %a %Y' "$MNT/$file")" "$(stat -c '%s %a %Y' "$copy/$file")" "size, mode and time of $copy/$file"
    done
done
assert_eq '' "$(rsync -ai "$MNT/" copy-rsync)" 'what a second rsync sends'
# What moved is sent.
put "$MNT/clean" 'dry_run=1'
wait_until is_old
rsync -ai "$MNT/" copy-rsync >sent
for file in status.json clean; do assert_contains sent " $file"; done
! grep -q history.jsonl sent || fail 'a dry run has moved the history'
assert_eq '' "$(rsync -ai "$MNT/" copy-rsync)" 'what a third rsync sends'
rsync -a --checksum --itemize-changes "$MNT/" copy-rsync >sent
assert_eq '' "$(cat sent)" 'what rsync --checksum sends'

# --- back -----------------------------------------------------------------

before=$(contents_of "$DIR")
runs=$(wc -l <"$MNT/history.jsonl")
started=$(status .last.started)
for copy in 'cp -r copy-cp/. mnt' 'cp -a copy-cp/. mnt' 'rsync -r --inplace copy-cp/ mnt' 'tar -C mnt --overwrite -xf all.tar'; do
    status=0
    $copy >/dev/null 2>err || status=$?
    [ "$status" -ne 0 ] || fail "$copy: succeeded"
    assert_eq "$runs" "$(wc -l <"$MNT/history.jsonl")" "runs after $copy"
    assert_eq "$started" "$(status .last.started)" "the last run after $copy"
done
assert_eq "$before" "$(contents_of "$DIR")" 'the directory'
unmount
