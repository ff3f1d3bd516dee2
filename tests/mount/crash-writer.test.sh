#!/bin/sh
# limit: 300
# A writer commits without a pause while eight readers read everything: it never sees 'database is locked', and no reader ever sees
# half a transaction.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

# So many transactions at least, and so many more until a reader has seen a few of them.
TURNS=800
MOST=4000
[ "${FULL-}" != 1 ] || TURNS=3000

# enough TURN: looked at now and then only
enough() {
    [ "$1" -ge "$TURNS" ] && [ $(($1 % 100)) -eq 0 ] || return 1
    [ "$1" -ge "$MOST" ] || [ "$(sort -u pairs | wc -l)" -ge 3 ]
}

# Each transaction gives the same number to the dimension and the metadata of a collection.
write() {
    turn=0
    until enough "$turn"; do
        turn=$((turn + 1))
        echo "BEGIN IMMEDIATE; UPDATE collections SET dimension = $turn WHERE name = 'docs' AND id = '$id';"
        echo "UPDATE collection_metadata SET int_value = $turn WHERE collection_id = '$id' AND key = 'turn';"
        echo "INSERT INTO embeddings_queue (operation, topic, id) VALUES (0, '$topic', 'turn-$turn'); COMMIT;"
        echo "$turn" >last
        [ "$turn" -lt "$TURNS" ] || sleep 0.02 # so that a slow reader gets in at all
    done | sqlite3 -batch -bail -cmd '.timeout 1000' "$DIR/chroma.sqlite3" >writer.out 2>writer.err
    echo $? >writer.status
}

# Complete lines only: a reader that is too slow reads nothing, and no half object.
watch_pairs() {
    while [ ! -e writer.status ]; do
        jq -r '"\(.dimension) \(.metadata.turn)"' "$MNT/collections/docs/info.json" 2>>watch.err || :
    done
}

read_all() {
    while [ ! -e writer.status ]; do
        timeout 60 find "$MNT" -type f -exec cat {} + >/dev/null 2>>"$1" || :
        echo turn >>turns
    done
}

copy_fixture chroma-1.5.9
id=$(sql_value "SELECT c.id FROM collections c JOIN databases d ON d.id = c.database_id WHERE c.name = 'docs' AND d.tenant_id = 'default_tenant'")
topic=persistent://default/default/$id
sql "INSERT INTO collection_metadata (collection_id, key, int_value) VALUES ('$id', 'turn', 0); UPDATE collections SET dimension = 0 WHERE id = '$id'"
mount_dir "$DIR" "$MNT"
assert_eq '0 0' "$(jq -r '"\(.dimension) \(.metadata.turn)"' "$MNT/collections/docs/info.json")"
readers=
for reader in 1 2 3 4 5 6 7 8; do
    read_all "errors.$reader" &
    readers="$readers $!"
done
watch_pairs >pairs &
readers="$readers $!"
start=$(date +%s)
write &
wait "$!"
for reader in $readers; do
    wait "$reader"
done
last=$(cat last)
note "$last transactions: $(($(date +%s) - start)) s; $(wc -l <turns) times everything was read; $(wc -l <pairs) reads, $(sort -u pairs | wc -l) states seen"
cat writer.err >&2
assert_eq 0 "$(cat writer.status)" 'status of the writer'
[ "$(sort -u pairs | wc -l)" -ge 2 ] || fail 'the reader saw no change'
awk '$1 != $2' pairs >torn
[ ! -s torn ] || fail "half a transaction: $(head -n 1 torn)"
# EBUSY, after seconds of waiting in vain, would be an honest answer, and a file that became another one while it was read, too
cat errors.* watch.err | grep -v -e "$(errno_text ESTALE)" -e "$(errno_text ENOENT)" >errors || :
note "errors of readers: $(wc -l <errors): $(head -n 1 errors)"
! grep -q -F -e "$(errno_text EIO)" -e "$(errno_text EILSEQ)" errors || fail 'a reader took a good directory for a damaged one'
assert_eq "$last $last" "$(jq -r '"\(.dimension) \(.metadata.turn)"' "$MNT/collections/docs/info.json")" 'the last state'
assert_readable_but ''
assert_eq ok "$(sql_value 'PRAGMA integrity_check')"
unmount
