#!/bin/sh
# commit through the mount: of all collections, of one, dry, strict, beside a writer, and with damage; and what the tree shows then.
# limit: 60
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"

# last FILTER CONTROL: of its last run
last() { sed '/^#/d' "$2" | jq -r ".result | $1"; }

segment_of() { sql "$DIR" "SELECT s.id FROM segments s JOIN collections c ON s.collection = c.id WHERE s.scope = 'VECTOR' AND c.name = '$1'"; }

copy_fixture chroma-1.5.9-nopurge
mount_dir "$DIR" "$MNT"
cd "$MNT"
before=$(contents_of "$DIR")
assert_status 0 dash -c 'echo dry_run=1 > commit'
assert_eq planned "$(last '.collections[0].status' commit)" 'a dry run'
planned=$(last .committed commit)
assert_eq "$before" "$(contents_of "$DIR")" 'what a dry run changes'

# --- one collection -------------------------------------------------------

old=$(segment_of types)
[ "$(cat "segments/$old/wal_gap")" -gt 0 ] || fail 'types has nothing to commit'
assert_status 0 dash -c 'echo threads=1 > collections/types/commit'
new=$(segment_of types)
[ "$old" != "$new" ] || fail 'the segment has its old id'
assert_eq "1 $new $old trash" "$(last '"\(.committed) \(.collections[0] | "\(.segment_id) \(.old_segment_id) \(.old_directory)")"' collections/types/commit)" 'the result'
assert_errno ENOENT ls "segments/$old"
assert_eq 0 "$(cat "segments/$new/wal_gap")" 'wal_gap'
assert_eq true "$(jq .ok "segments/$new/check.json")" 'the check of the new index'
assert_eq 1 "$(find "$DIR/.chromafs/trash" -name "$old" | wc -l)" 'the old index in the trash'
[ ! -e "orphans/$old" ] || fail 'the old index is an orphan'
between=$(contents_of "$DIR")
assert_status 0 dash -c 'echo 1 > collections/types/commit'
assert_eq 0 "$(last .committed collections/types/commit)" 'collections that are committed again'
assert_eq "$between" "$(contents_of "$DIR")" 'what a commit with nothing to do changes'

# --- all of them, but one -------------------------------------------------

assert_status 0 dash -c 'echo skip=unpersisted > commit'
assert_eq $((planned - 2)) "$(last .committed commit)" 'collections that are committed'
assert_eq 0 "$(find "$DIR/.chromafs/stage" -mindepth 1 | wc -l)" 'what is staged'

# --- rows that can't be applied -------------------------------------------

change "$DIR" "UPDATE embeddings_queue SET operation = 77 WHERE seq_id = (SELECT max(seq_id) FROM embeddings_queue
    WHERE topic LIKE '%' || (SELECT id FROM collections WHERE name = 'unpersisted'))"
before=$(contents_of "$DIR")
assert_errno EILSEQ put commit strict=1
assert_said strict=1
assert_eq "$before" "$(contents_of "$DIR")" 'what strict=1 changes'
assert_status 0 dash -c 'echo 1 > collections/unpersisted/commit && echo 1 > clean'
assert_eq 1 "$(last .rejected collections/unpersisted/commit)" 'rows that are rejected'
assert_eq 77 "$(jq .operation "$DIR/.chromafs/rejected.jsonl")" 'the row in rejected.jsonl'

# --- damage ---------------------------------------------------------------

change "$DIR" "INSERT INTO embeddings_queue (operation, topic, id, metadata) SELECT 3, 'persistent://default/default/' || id, 'nobody', '{}' FROM collections
    WHERE name IN ('types', 'unicode')"
printf x | dd of="$DIR/$new/header.bin" bs=1 seek=80 conv=notrunc status=none
touch -d '1 hour ago' "$DIR/$new"/* "$DIR/$new"
before=$(contents_of "$DIR")
assert_errno EILSEQ put collections/types/commit 1
assert_said header.bin
assert_said rebuild-hnsw
assert_eq "$before" "$(contents_of "$DIR")" 'what a commit that fails changes'
put commit 1
assert_eq '1 left types' "$(last '"\(.left) \(.collections[0] | "\(.status) \(.name)")"' commit)" 'the collection that is left'
[ "$(last .committed commit)" -ge 1 ] || fail 'the others did not go on'

# --- beside a writer ------------------------------------------------------

other=$(segment_of unicode)
change "$DIR" "INSERT INTO embeddings_queue (operation, topic, id, vector, encoding, metadata)
    SELECT 2, 'persistent://default/default/' || id, 'late', zeroblob(4 * dimension), 'FLOAT32', '{}' FROM collections WHERE name = 'unicode'"
sh -c 'exec sleep 600' 7<>"$DIR/chroma.sqlite3" 8<>"$DIR/$other/header.bin" &
holder=$!
holds() { [ "$(cat "/proc/$holder/comm")" = sleep ]; }
wait_until holds
assert_errno EBUSY put collections/unicode/commit 1
put collections/unicode/commit force=1
assert_eq stays "$(last '.collections[0].old_directory' collections/unicode/commit)" 'the directory that is in use'
[ -d "$DIR/$other" ] || fail 'the directory that is in use is gone'
kill "$holder"
wait "$holder" || :
cd /
unmount
mount_dir "$DIR" "$MNT"
is_gone() { [ ! -e "$DIR/$other" ]; }
wait_until is_gone
unmount
assert_sound "$DIR"
