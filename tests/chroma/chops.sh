#!/bin/sh
# Every number that chops prints is the same here, on fixtures and on a directory written now.
# limit: 300
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

# as_chops_says DIR
as_chops_says() {
    note "$(basename "$1")"
    "$CHROMAFS_CHROMA/chops_info.sh" "$venv" "$1" >"$WORK/chops.txt"
    mount_dir "$1" "$MNT"
    settle
    python3 "$CHROMAFS_CHROMA/compare_chops.py" "$MNT" "$WORK/chops.txt"
    unmount
}

case $SUBJECT in
0.5.23) fixtures='chroma-0.5.23 chroma-0.5.23-nopurge' ;;
0.6.3) fixtures='chroma-0.6.3 chroma-0.4.3-upgraded-0.6.3' ;;
esac
venv=$("$CHROMAFS_CHROMA/venvs.sh" --path "chops-$SUBJECT")
for fixture in $fixtures; do
    copy_fixture "$fixture"
    as_chops_says "$DIR"
done
write_fresh "$SUBJECT" "$WORK/fresh"
as_chops_says "$WORK/fresh"
