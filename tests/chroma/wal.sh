#!/bin/sh
# Every wal.jsonl of a fixture is what Python makes of the table, and stays it while rows as no Chroma writes them are added and rows leave.
# limit: 240
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"
# shellcheck source=tests/mount/helpers/wal.sh
. "${CHROMAFS_LIB%/*}/helpers/wal.sh"

seed=${SEED:-$(date +%s)}

as_python() { python3 "$CHROMAFS_CHROMA/wal_compare.py" "$MNT" "$DIR" || fail "not what Python makes of it, $1"; }

# purge: the first half of the rows of every other collection
purge() {
    change "$DIR" "DELETE FROM embeddings_queue WHERE topic IN (SELECT 'persistent://default/default/' || id FROM collections WHERE rowid % 2)
        AND seq_id < (SELECT (min(seq_id) + max(seq_id)) / 2 FROM embeddings_queue)"
}

note "seed $seed"
mount_fixture "chroma-$SUBJECT"
as_python 'as the fixture is'
turns=1
[ "${FULL-}" != 1 ] || turns=5
for turn in $(seq "$turns"); do
    python3 "$CHROMAFS_CHROMA/wal_rows.py" "$DIR" $((seed + turn)) || fail 'no rows'
    as_python 'with odd rows'
    purge
    as_python 'after a purge'
done
unmount
mount_dir "$DIR" "$MNT"
as_python 'mounted again'
unmount
rm -r "$XDG_CACHE_HOME"
mount_dir "$DIR" "$MNT"
as_python 'mounted without the cache'
