#!/bin/sh
# A newer Chroma migrates a directory in place while it is mounted: the next reads show the new version, and what it says.
# limit: 240
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

NEW=1.5.9

copy_fixture "chroma-$SUBJECT"
mount_dir "$DIR" "$MNT"
agrees "$CHROMAFS_FIXTURES/chroma-$SUBJECT/truth.json"
read_all "$MNT"
assert_eq "0.4.15 $SUBJECT" "$(json "$MNT/info.json" '.chroma_version | "\(.min) \(.max)"')"

chroma "$NEW" "$CHROMAFS_CHROMA/truth.py" "$DIR" >"$WORK/truth.json"
assert_eq "1.5.0 $NEW" "$(json "$MNT/info.json" '.chroma_version | "\(.min) \(.max)"')"
agrees "$WORK/truth.json"
agrees_on_parameters "$NEW" "$DIR"
read_all "$MNT"

note 'a new mount says the same'
mount_dir "$DIR" "$WORK/again"
read_all "$WORK/again"
for info in "$MNT"/info.json "$MNT"/*/*/info.json; do
    wait_until cmp -s "$info" "$WORK/again${info#"$MNT"}"
done
