#!/bin/sh
# A fixture is shown as the Chroma that wrote it sees it, reading all of it changes nothing, and that Chroma answers the same
# as ever, opened while it is mounted and afterwards.
# limit: 240
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

read_until_stopped() {
    until [ -e "$WORK/stop" ]; do read_all "$MNT"; done
}

# answers_as_ever: opens $DIR itself
answers_as_ever() {
    chroma "$version" "$CHROMAFS_CHROMA/truth.py" "$DIR" >"$WORK/now.json"
    assert_same_file "$truth" "$WORK/now.json"
}

truth=$CHROMAFS_FIXTURES/chroma-$SUBJECT/truth.json
version=$(jq -r .chroma_version "$truth")
copy_fixture "chroma-$SUBJECT"
state "$DIR" >"$WORK/before"
mount_dir "$DIR" "$MNT"
agrees "$truth"
agrees_on_parameters "$version" "$DIR"
read_all "$MNT"
state "$DIR" >"$WORK/after"
assert_same_file "$WORK/before" "$WORK/after"

note 'Chroma starts while it is mounted and read'
read_until_stopped &
reader=$!
answers_as_ever
touch "$WORK/stop"
# A file that Chroma replaces under a reader is ESTALE: that it was read is all that counts here.
wait "$reader" || :
agrees "$truth"
unmount
answers_as_ever
