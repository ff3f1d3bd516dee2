#!/bin/sh
# Chroma is killed while it writes: what it left is shown as it is after SQLite's rollback, without a byte being written.
# limit: 500
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

KILLS=${KILLS:-30}
seed=${SEED:-$(date +%s)}

# shown: all that is said, but for paths, sizes, and that there is a journal
shown() {
    settle
    jq -S 'del(.. | .path?, .persist_directory?, .persist_directory_size?, .system_database_path?, .system_database_size?)
        | .problems |= map(select(.code != "hot_journal"))' "$MNT/info.json" "$MNT"/collections/*/info.json
    jq -S 'del(.path)' "$MNT"/segments/*/info.json
    find "$MNT" | sed "s|^$MNT||" | sort
}

# tells_hot_journal FOLDER: when uncommitted pages are in the database there must be one
tells_hot_journal() {
    cmp -s "$1/killed/chroma.sqlite3" "$1/rolled-back/chroma.sqlite3" ||
        jq -e '.problems | map(.code) | contains(["hot_journal"])' "$MNT/info.json" >/dev/null
}

# right WHAT COMMAND...: goes on after a failure, since the kills can't be repeated one by one
right() {
    what=$1
    shift
    "$@" || {
        echo "WRONG: $what"
        wrong=$((wrong + 1))
    }
}

# as_after_rollback FOLDER
as_after_rollback() {
    state "$1/killed" >"$WORK/before"
    mount_dir "$1/killed" "$MNT"
    right 'what Chroma says' agrees "$1/truth.json"
    right 'rows of the WAL' python3 "$CHROMAFS_CHROMA/compare_wal.py" "$MNT" "$1/wal.json"
    right 'that a journal is hot' tells_hot_journal "$1"
    shown >"$WORK/shown"
    unmount
    state "$1/killed" >"$WORK/after"
    right 'nothing is written' diff "$WORK/before" "$WORK/after"
    mount_dir "$1/rolled-back" "$MNT"
    shown >"$WORK/shown.rolled-back"
    unmount
    right 'the same is shown after the rollback' diff "$WORK/shown" "$WORK/shown.rolled-back"
}

note "seed $seed"
wrong=0
copy_fixture "chroma-$SUBJECT"
chroma "$SUBJECT" "$CHROMAFS_CHROMA/kills.py" "$DIR" "$WORK/kills" "$KILLS" "$seed" >"$WORK/kills.log"
cat "$WORK/kills.log"
grep -q 'uncommitted pages' "$WORK/kills.log" || fail 'no kill left uncommitted pages: this tested nothing'
for folder in "$WORK"/kills/*; do
    note "kill $(basename "$folder")"
    as_after_rollback "$folder"
done
assert_eq 0 "$wrong" 'wrong'
