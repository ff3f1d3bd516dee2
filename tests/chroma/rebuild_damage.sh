#!/bin/sh
# Collections of 40 records and three of the fixture, whose index was damaged, each in another way, with the whole log or with what Chroma leaves of it: what rebuild-hnsw makes of them is what can be had back, as the test knows by how it damaged them. Where
# records are lost nothing is changed without salvage=1. Chroma returns these vectors, and all documents and metadata; then it adds, updates, deletes, is started again, and all of it is there.
# limit: 900
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

judge() { chroma "$SUBJECT" "$CHROMAFS_CHROMA/rebuild_damage.py" "$@"; }

copy_fixture "chroma-$SUBJECT"
mkdir "$WORK/older"
judge make "$DIR" "$WORK/older" "$WORK/state.json"
python3 "$CHROMAFS_CHROMA/rebuild_damage_files.py" "$DIR" "$WORK/older" "$CHROMAFS_FIXTURES/chroma-$SUBJECT/truth.json" "$WORK/cases.json"
mount_dir "$DIR" "$MNT"
python3 "$CHROMAFS_CHROMA/rebuild_damage_mount.py" "$DIR" "$MNT" "$WORK/cases.json" >"$WORK/rebuilt"
note "$(cat "$WORK/rebuilt")"
unmount
assert_eq ok "$(sqlite3 "$DIR/chroma.sqlite3" 'PRAGMA integrity_check')"
judge judge "$DIR" "$WORK/cases.json" "$WORK/state.json" "$WORK/after.json" >"$WORK/judged"
[ ! -s "$WORK/judged" ] || note "$(cat "$WORK/judged")"
judge again "$DIR" "$WORK/after.json"
