#!/bin/sh
# limit: 240
# Another process truncates the files of an index, and writes them again in place, while they are read: no read gives a mixture of two
# states, it fails with ESTALE instead; labels is right or fails; the daemon lives, and afterwards all is as it was.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

READS=40
SIZE=16777216

# letters LETTER: a state of the big file
letters() {
    head -c "$SIZE" /dev/zero | tr '\0' "$1" >"$WORK/$1"
}

# rewrite: the big file is all a, or all b, or not yet all of it, or nothing
rewrite() {
    while [ -e going ]; do
        for letter in a b; do
            cat "$letter" >"$index/big"
            # where somebody reads it
            sleep 0.02
            truncate -s 5000000 "$index/big"
        done
    done
}

# cut_and_restore: of each file that labels is made from
cut_and_restore() {
    while [ -e going ]; do
        for name in data_level0.bin header.bin index_metadata.pickle; do
            truncate -s 7 "$index/$name"
            cat "kept/$name" >"$index/$name"
        done
    done
}

# read_big: how often it was whole, and how often it failed
read_big() {
    : >read.whole
    : >read.failed
    for _ in $(seq "$READS"); do
        # one read after the other, so that it changes between them
        if dd if="$MNT/segments/$segment/files/big" of=got bs=16k status=none 2>error; then
            echo whole >>read.whole
            tr -s ab <got | head -c 10 >squeezed
            case $(cat squeezed) in
            '' | a | b) ;;
            *) fail "a mixture: $(cat squeezed)" ;;
            esac
        else
            cat error >>read.failed
        fi
    done
    cat read.failed >>errors
    note "big: $(wc -l <read.whole) whole, $(wc -l <read.failed) failed"
    [ -s read.failed ] || fail 'it never changed under a reader: the test shows nothing'
}

# read_labels: it is what it is without a writer, or it fails
read_labels() {
    for _ in $(seq "$READS"); do
        if cat "$MNT/segments/$segment/labels" >got 2>>errors; then
            assert_same_file labels got
        fi
        timeout 60 cat "$MNT/collections/space_l2/info.json" >got 2>>errors || continue
        jq -e .name got >/dev/null || fail 'half an info.json'
    done
}

# while_changing CHANGER READER
while_changing() {
    : >going
    "$1" &
    changer=$!
    "$2"
    rm going
    wait "$changer"
    assert_alive
}

copy_fixture chroma-1.5.9
segment=$(vector_segment space_l2)
index=$DIR/$segment
cp -a "$index" kept
letters a
letters b
cp a "$index/big"
mount_dir "$DIR" "$MNT"
cat "$MNT/segments/$segment/labels" >labels
: >errors
while_changing rewrite read_big
rm "$index/big"
while_changing cut_and_restore read_labels
grep -v -e "$(errno_text ESTALE)" -e "$(errno_text EILSEQ)" -e "$(errno_text EIO)" -e "$(errno_text ENOENT)" errors >others || :
[ ! -s others ] || fail "other errors: $(head -n 3 others)"
note "errors: $(sed 's/.*: //' errors | sort | uniq -c | tr '\n' ';')"
cp -p kept/* "$index/"
assert_eq '' "$(problems "$MNT/collections/space_l2/info.json")" 'problems afterwards'
assert_same_file labels "$MNT/segments/$segment/labels"
assert_readable_but ''
unmount
