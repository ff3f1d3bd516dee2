#!/bin/sh
# Who has files of the old segment open when a commit gives it another id: they read on, what is opened anew says ENOENT or tells of the new one, and a copy of the whole tree is one.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"

segment_of() { sql "$DIR" "SELECT s.id FROM segments s JOIN collections c ON s.collection = c.id WHERE s.scope = 'VECTOR' AND c.name = '$1'"; }

copy_fixture chroma-1.5.9-nopurge
mount_dir "$DIR" "$MNT"
old=$(segment_of types)
cp "$MNT/segments/$old/labels" labels
exec 3<"$MNT/segments/$old/files/data_level0.bin" 4<"$MNT/segments/$old/labels" 5<"$MNT/collections/types/info.json"
cp "$DIR/$old/data_level0.bin" level0
cd "$MNT/segments/$old"
put "$MNT/collections/types/commit" 1
assert_errno ENOENT ls .
assert_errno ENOENT cat info.json
cd "$WORK"
new=$(segment_of types)
cat <&4 >still
assert_same_file labels still
cat <&3 >still
assert_same_file level0 still
assert_eq "$old" "$(jq -r .vector_segment.id <&5)" 'the segment in what was opened before'
exec 3<&- 4<&- 5<&-
[ ! -e "$MNT/segments/$old" ] || fail 'the old segment is there'
assert_eq "$new" "$(basename "$(readlink "$MNT/collections/types/segments/$new")")" 'the link to the new one'
assert_eq "total $(sql "$DIR" "SELECT count(*) FROM embeddings e JOIN segments s ON e.segment_id = s.id JOIN collections c ON s.collection = c.id WHERE c.name = 'types' AND s.scope = 'METADATA'")" \
    "$(head -n 1 "$MNT/segments/$new/labels")" 'labels of the new one'
for file in "$DIR/$new"/*; do
    assert_same_file "$file" "$MNT/segments/$new/files/${file##*/}"
done
assert_eq "$new" "$(jq -r .vector_segment.id "$MNT/collections/types/info.json")" 'the segment in info.json'
unmount
