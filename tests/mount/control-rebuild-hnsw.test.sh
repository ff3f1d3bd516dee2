#!/bin/sh
# rebuild-hnsw through the mount: what it says of itself, of a dry run, of sound and torn indexes; what the tree shows then; that the old index can be put back; and that
# the command of each problem that it cures, as it stands there, cures it.
# limit: 120
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"

# last FILTER COLLECTION: of its last run
last() { sed '/^#/d' "$MNT/collections/$2/rebuild-hnsw" | jq -c -r ".result.collections[0] | $1"; }

segment_of() { sql "$DIR" "SELECT s.id FROM segments s JOIN collections c ON s.collection = c.id WHERE s.scope = 'VECTOR' AND c.name = '$1'"; }

# codes COLLECTION: of its problems
codes() { jq -c '[.problems[].code] | unique' "$MNT/collections/$1/info.json"; }

has_codes() { [ "$(codes "$1")" = "$2" ]; }

# tear COLLECTION COMMAND: runs it in the folder of the index, which then looks old
tear() {
    torn=$DIR/$(segment_of "$1")
    (cd "$torn" && eval "$2") || fail "$2"
    find "$torn" -exec touch -d '1 hour ago' {} +
}

# assert_whole COLLECTION LABELS
assert_whole() {
    segment=$MNT/segments/$(segment_of "$1")
    assert_eq "true $2 0" "$(jq -r '"\(.ok) \(.live) \(.deleted)"' "$segment/check.json")" "the check of $1"
    assert_eq 0.0 "$(cat "$segment/fragmentation")" "fragmentation of $1"
    assert_eq "total $2,active $2,deleted 0" "$(sed -n 1,3p "$segment/labels" | paste -s -d ,)" "labels of $1"
    assert_eq '[]' "$(codes "$1")" "problems of $1"
}

command_of() { jq -r --arg code "$2" '.problems[] | select(.code == $code).command' "$MNT/collections/$1/info.json"; }

has_command() { [ -n "$(command_of "$1" "$2")" ]; }

# cured COLLECTION CODE: by pasting its command, below the mount
cured() {
    wait_until has_command "$1" "$2"
    command=$(command_of "$1" "$2")
    assert_eq "echo 1 > 'collections/$1/rebuild-hnsw'" "$command" "command of $2"
    (cd "$MNT" && bash -c "$command") || fail "$2: $(cat "$MNT/last_error")"
}

copy_fixture chroma-1.5.9
mount_dir "$DIR" "$MNT"

# --- what it says of itself ----------------------------------------------

control=$MNT/collections/fragmented/rebuild-hnsw
sed -n 's/^#   \([a-z_]*\)=.*/\1/p' "$control" | tr '\n' ' ' >options
assert_eq 'salvage space m ef_construction ef_search num_threads resize_factor batch_size sync_threshold threads dry_run force keep ' "$(cat options)" options
assert_eq 0 "$(sed '/^#/d' "$control" | wc -l)" 'lines of a last run'
[ ! -e "$MNT/rebuild-hnsw" ] || fail 'there is a control for all collections'

# --- a dry run -------------------------------------------------------------

before=$(contents_of "$DIR")
put "$control" 'dry_run=1 m=8'
assert_eq 'rebuild-hnsw true done' "$(status '.last | "\(.operation) \(.dry_run) \(.status)"')" 'the dry run in status.json'
assert_eq planned "$(status '.last.result.collections[0].status')" 'what it plans'
assert_eq '{"before":16,"after":8}' "$(status '.last.result.collections[0].rebuild.parameters.m | tojson')" 'm in the dry run'
assert_eq 0 "$(last .rebuild.lost fragmented)" 'what is lost'
assert_eq "$before" "$(contents_of "$DIR")" 'what a dry run changes'
[ ! -e "$DIR/.chromafs" ] || fail 'a dry run made .chromafs'

# --- mistakes --------------------------------------------------------------

for line in m=1 space=hamming batch_size=50 ef_search=x skip=types 'salvage=1 salvage=0'; do
    assert_errno EINVAL put "$control" "$line"
    assert_said "${line%%=*}"
done
assert_eq "$before" "$(contents_of "$DIR")" 'what mistakes change'

# --- a fragmented index ----------------------------------------------------

old=$(segment_of fragmented)
records=$(jq .records "$MNT/collections/fragmented/info.json")
[ "$(cut -d . -f 1 "$MNT/segments/$old/fragmentation")" -gt 33 ] || fail 'it is not fragmented'
cp -a "$DIR/$old" kept
cured fragmented fragmented
assert_whole fragmented "$records"
new=$(segment_of fragmented)
[ "$new" != "$old" ] || fail 'the segment has its old id'
assert_eq "committed $new $old trash" "$(last '"\(.status) \(.segment_id) \(.old_segment_id) \(.old_directory)"' fragmented)" 'the result'
assert_eq 0 "$(find "$DIR/.chromafs/stage" -mindepth 1 | wc -l)" 'what is staged'

# By hand: the directory back from the trash, and its id.
unmount
trash=$(find "$DIR/.chromafs/trash" -name "$old")
assert_same_tree kept "$trash"
cp -a "$DIR" back
mv "back/${trash#"$DIR/"}" "back/$old"
rm -r "back/$new"
change back "PRAGMA foreign_keys = OFF; UPDATE segments SET id = '$old' WHERE id = '$new'; UPDATE max_seq_id SET segment_id = '$old' WHERE segment_id = '$new'"
mkdir other
mount_dir "$WORK/back" "$WORK/other"
assert_eq '["fragmented"]' "$(jq -c '[.problems[].code]' other/collections/fragmented/info.json)" 'problems of what was put back'
assert_eq true "$(jq .ok "other/segments/$old/check.json")" 'the check of what was put back'
unmount "$WORK/other"
mount_dir "$DIR" "$MNT"

# --- parameters ------------------------------------------------------------

c=$MNT/collections/types
put "$c/rebuild-hnsw" 'm=8 ef_construction=50 space=cosine ef_search=33 sync_threshold=500'
assert_eq '8 50 cosine 33 500' "$(cat "$c/config/m" "$c/config/ef_construction" "$c/config/space" "$c/config/ef_search" "$c/config/sync_threshold" | tr '\n' ' ' | sed 's/ $//')" 'config/'
assert_eq '8 50' "$(jq -r '.vector_segment.index | "\(.m) \(.ef_construction)"' "$c/info.json")" 'the index'
assert_whole types "$(jq .records "$c/info.json")"
assert_eq 0 "$(cat "$MNT/segments/$(segment_of types)/wal_gap")" 'rows that are not applied'

# --- damage that costs nothing: the log is gone, the records are there ------

put "$MNT/commit" 1
put "$MNT/clean" 1
records=$(jq .records "$MNT/collections/space_l2/info.json")
tear space_l2 ': >header.bin; truncate -s 7 link_lists.bin; : >length.bin'
cured space_l2 index_damaged
assert_whole space_l2 "$records"
assert_eq 0 "$(last .rebuild.lost space_l2)" 'what a torn header loses'

# --- a label that the pickle does not have, in the place of one that it has --

tear unicode "printf '\\377\\377\\377\\377\\377\\377\\377\\177' | dd of=data_level0.bin bs=1 seek=\$((\$(od -An -t u8 -j 28 -N 8 header.bin) - 8)) conv=notrunc status=none"
has_missing() { jq -e '[.problems[].code] | contains(["missing_labels", "orphan_labels"])' "$MNT/collections/unicode/info.json" >/dev/null; }
wait_until has_missing
assert_eq "echo 1 > 'collections/unicode/rebuild-hnsw'" "$(jq -r '[.problems[] | select(.code | endswith("_labels")).command] | unique | .[]' "$MNT/collections/unicode/info.json")" 'commands of labels'
before=$(contents_of "$DIR")
assert_errno EILSEQ put "$MNT/collections/unicode/rebuild-hnsw" 1
assert_said salvage=1
assert_eq "$before" "$(contents_of "$DIR")" 'what a refusal changes'
lost=$(last '.rebuild.lost_ids | tojson' unicode)
assert_eq '1 1' "$(last '.rebuild | "\(.lost) \(.unlisted)"' unicode)" 'what the refusal says'
put "$MNT/collections/unicode/rebuild-hnsw" salvage=1
assert_eq "$lost" "$(jq -c '[.id]' "$DIR/.chromafs/lost.jsonl")" lost.jsonl
assert_eq 1 "$(jq .vector_segment.ids_without_vector.count "$MNT/collections/unicode/info.json")" 'records without a vector'
wait_until has_codes unicode '["ids_without_vector"]'
assert_eq true "$(jq .ok "$MNT/segments/$(segment_of unicode)/check.json")" 'the check of unicode'

# --- the directory is gone, and the log has it all ---------------------------

unmount
copy_fixture chroma-0.5.23-nopurge
mount_dir "$DIR" "$MNT"
put "$MNT/collections/types/commit" 1
records=$(jq .records "$MNT/collections/types/info.json")
rm -r "${DIR:?}/$(segment_of types)"
cured types index_missing
assert_whole types "$records"
assert_eq "0 $records null" "$(last '"\(.rebuild.kept) \(.rebuild.from_log) \(.old_directory)"' types)" 'where the vectors come from'

# --- it is gone, and the log has but one ----------------------------------

unmount
rm -rf "$WORK/chroma-1.5.9"
copy_fixture chroma-1.5.9
rm -r "${DIR:?}/$(segment_of fragmented)"
mount_dir "$DIR" "$MNT"
# An index of what the log has would hide that the others are lost.
assert_errno EILSEQ put "$MNT/collections/fragmented/commit" 1
assert_said 'its directory is gone, and the log has no vector of 129 of its records'
put "$MNT/commit" 1
assert_eq 'left rebuild-hnsw' "$(sed '/^#/d' "$MNT/commit" | jq -r '.result.collections[] | select(.name == "fragmented") | .status + " " + .cure')" 'what a commit of all makes of it'
wait_until has_command fragmented index_missing
assert_errno EILSEQ put "$MNT/collections/fragmented/rebuild-hnsw" 1
assert_eq null "$(last .rebuild.lost_file fragmented)" 'the file of a run that was refused'
put "$MNT/collections/fragmented/rebuild-hnsw" salvage=1
assert_eq 129 "$(wc -l <"$DIR/.chromafs/lost.jsonl")" 'lines of lost.jsonl'
put "$MNT/collections/fragmented/commit" 1

# --- beside others -----------------------------------------------------------

unmount
rm -rf "$WORK/chroma-0.5.23-nopurge"
copy_fixture chroma-0.5.23-nopurge
mount_dir "$DIR" "$MNT"
put "$MNT/collections/types/commit" 1
sh -c 'exec sleep 600' 7<>"$DIR/chroma.sqlite3" &
holder=$!
holds() { [ "$(cat "/proc/$holder/comm")" = sleep ]; }
wait_until holds
before=$(contents_of "$DIR")
assert_errno EBUSY put "$MNT/collections/types/rebuild-hnsw" 1
assert_eq "$before" "$(contents_of "$DIR")" 'what is changed beside a writer'
put "$MNT/collections/types/rebuild-hnsw" force=1
kill "$holder"
wait "$holder" || :
assert_whole types "$records"
unmount
mount_dir "$DIR" "$MNT" -o ro
assert_errno EROFS put "$MNT/collections/types/rebuild-hnsw" 1
unmount
assert_sound "$DIR"
if [ "$(id -u)" -eq 0 ]; then
    chmod 755 "$WORK" "$DIR"
    mount_dir "$DIR" "$MNT" -o allow_other
    assert_errno EACCES as_nobody sh -c "echo 1 > '$MNT/collections/types/rebuild-hnsw'"
    unmount
fi
