#!/bin/sh
# limit: 240
# The whole mount is copied, again and again, while a writer commits rows of one collection: no other file than those that tell of
# that collection is taken for another one while it is copied, and what is copied is whole.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

COPIES=6

# write: a few commits a second, as a service would
write() {
    turn=0
    while [ -e going ]; do
        turn=$((turn + 1))
        sqlite3 -batch -cmd '.timeout 10000' "$DIR/chroma.sqlite3" "INSERT INTO embeddings_queue (operation, topic, id)
            VALUES (0, 'persistent://default/default/$id', 'turn-$turn')" || echo "status $?" >>writer.err
        echo turn >>turns
        sleep 0.05
    done
}

# What tells of the collection: its own files, those of its segments, and of all together.
changed="$WORK/mnt/(info.json|collections/unpersisted/info.json"

copy_fixture chroma-1.5.9
id=$(sql_value "SELECT id FROM collections WHERE name = 'unpersisted'")
for segment in $(sql_value "SELECT id FROM segments WHERE collection = '$id'"); do
    changed="$changed|segments/$segment/(info.json|wal_gap|max_seq_id|size)"
done
changed="$changed)'"
mount_settled "$DIR"
: >going
: >turns
write &
writer=$!
for copy in $(seq "$COPIES"); do
    cp -r "$MNT" "copy-$copy" 2>"errors-$copy" || :
done
rm going
wait "$writer"
note "$(wc -l <turns) commits; $(cat errors-* | wc -l) files were other ones when they were copied"
[ "$(wc -l <turns)" -ge "$COPIES" ] || fail 'too few commits: the test shows nothing'
[ ! -s writer.err ] || fail "the writer: $(head -n 1 writer.err)"
grep -h -v -E -e "$changed" errors-* >others || :
[ ! -s others ] || fail "$(wc -l <others) files that did not change: $(head -n 3 others)"
for copy in $(seq "$COPIES"); do
    find "copy-$copy" -name info.json -exec jq -e .problems {} + >/dev/null || fail "copy $copy has half an info.json"
    assert_same_tree "$MNT/collections/docs/config" "copy-$copy/collections/docs/config"
done
unmount
