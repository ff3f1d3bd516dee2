#!/bin/sh
# The wal.jsonl of the root is what `chops wal export` writes: the whole file where chops can (it ends at the first row without a
# vector), and up to there otherwise.
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

# export_with_chops DIR FILE: chops' status
export_with_chops() {
    rm -rf "$WORK/exported"
    cp -a "$1" "$WORK/exported"
    "$venv/bin/chops" wal export "$WORK/exported" --out "$2" --yes >>"$WORK/chops.log" 2>&1
}

# as_chops FIXTURE
as_chops() {
    copy_fixture "$1"
    export_with_chops "$DIR" cut.jsonl && fail "chops exports rows without a vector: compare the whole"
    mount_dir "$DIR" "$MNT"
    [ "$(wc -l <cut.jsonl)" -gt 0 ] || note "$1: its first row has no vector"
    head -c "$(wc -c <cut.jsonl)" "$MNT/wal.jsonl" | cmp - cut.jsonl >&2 || fail "$1: not what chops exports before it fails"
    change "$DIR" 'DELETE FROM embeddings_queue WHERE vector IS NULL'
    export_with_chops "$DIR" all.jsonl || fail "chops: $(tail -n 5 "$WORK/chops.log")"
    unmount
    mount_dir "$DIR" "$MNT"
    cmp "$MNT/wal.jsonl" all.jsonl >&2 || fail "$1: not what chops exports"
    note "$1: $(wc -l <cut.jsonl) rows of all, $(wc -l <all.jsonl) of those with a vector"
    [ "$(wc -l <all.jsonl)" -gt 0 ] || fail "$1: there is nothing to compare"
    unmount
}

case $SUBJECT in
0.5.23) fixtures='chroma-0.5.23 chroma-0.5.23-nopurge' ;;
0.6.3) fixtures='chroma-0.6.3 chroma-0.4.3-upgraded-0.6.3' ;;
*) fail "no fixtures for $SUBJECT" ;;
esac
venv=$("$CHROMAFS_CHROMA/venvs.sh" --path "chops-$SUBJECT")
for fixture in $fixtures; do
    as_chops "$fixture"
done
