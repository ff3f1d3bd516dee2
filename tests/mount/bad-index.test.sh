#!/bin/sh
# limit: 600
# The files of an index are cut at every boundary, emptied, or have numbers in them that can't be: the collection's info.json says so,
# the files that depend on it fail or are missing, and all else is as it was. The files below files/ are the bytes that are there.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

HEADER_SIZE=100

# u64 FILE OFFSET: a little-endian number
u64() {
    od -An -t u8 --endian=little -j "$2" -N 8 "$1" | tr -d ' '
}

# looks WHAT: the mount shows the damage in every place that it must, and nowhere else
looks() {
    timeout 60 cat "$info" >shown || fail "$1: info.json can't be read"
    timeout 60 cat "$MNT/segments/$segment/info.json" >/dev/null || fail "$1: the segment's info.json can't be read"
    for value in labels size fragmentation dimension max_seq_id wal_gap; do
        timeout 60 cat "$MNT/segments/$segment/$value" >"value.$value" 2>&1 || grep -q -E "$allowed" "value.$value" || fail "$1: $(cat "value.$value")"
    done
    assert_same_tree "$DIR/$segment" "$MNT/segments/$segment/files"
    kill -0 "$DAEMON" || fail "$1: the daemon is gone"
}

# damaged WHAT [TEXT]
damaged() {
    looks "$1"
    assert_problem shown index_damaged "${2-}"
}

# well WHAT: this is no damage
well() {
    looks "$1"
    assert_eq '' "$(problems shown)" "$1: problems"
}

put_back() {
    rm -rf "${DIR:?}/$segment"
    cp -a "$CHROMAFS_FIXTURES/chroma-$version/dir/$segment" "$DIR/$segment"
}

# cut FILE BYTES
cut() {
    truncate -s "$2" "$DIR/$segment/$1"
}

header_cut() {
    bytes=0
    while [ "$bytes" -lt "$HEADER_SIZE" ]; do
        cut header.bin "$bytes"
        damaged "header.bin cut at $bytes" header.bin
        put_back
        bytes=$((bytes + 1))
    done
    printf x >>"$DIR/$segment/header.bin"
    damaged 'header.bin with one byte more' header.bin
    put_back
}

# Every byte of the header, set to each of these: damage or not, everything can be looked at.
header_bytes() {
    at=0
    while [ "$at" -lt "$HEADER_SIZE" ]; do
        for octal in 377 177 200; do
            poke "$DIR/$segment/header.bin" "$at" "$octal"
            looks "header.bin: byte $at is $octal"
            put_back
        done
        at=$((at + 1))
    done
}

header_numbers() {
    # a capacity can be as large as it likes: nothing is there for it until elements are
    poke "$DIR/$segment/header.bin" 12 377 377 377 377 377 377 377 377
    well 'header.bin: a capacity of 2^64-1'
    # count, size of a record, offset of the label, of the vector, and three times M
    for field in 20 28 36 44 60 68 76; do
        poke "$DIR/$segment/header.bin" "$field" 377 377 377 377 377 377 377 377
        damaged "header.bin: 2^64-1 at $field" header.bin
        poke "$DIR/$segment/header.bin" "$field" 0 0 0 0 0 0 0 200
        damaged "header.bin: 2^63 at $field" header.bin
        poke "$DIR/$segment/header.bin" "$field" 377 377 377 377 0 0 0 0
        damaged "header.bin: 2^32-1 at $field" header.bin
        put_back
    done
    # many elements that the files don't have: nobody takes memory for them
    before=$(rss_kib)
    poke "$DIR/$segment/header.bin" 12 0 0 0 177 0 0 0 0
    poke "$DIR/$segment/header.bin" 20 0 0 0 177 0 0 0 0
    damaged 'header.bin: two thousand million elements' data_level0.bin
    after=$(rss_kib)
    note "two thousand million elements: $before KiB before, $after KiB after"
    [ "$after" -lt $((before + 65536)) ] || fail "the daemon grew from $before to $after KiB"
    put_back
}

level0_cut() {
    record=$(u64 "$DIR/$segment/header.bin" 28)
    count=$(u64 "$DIR/$segment/header.bin" 20)
    for bytes in 0 1 $((record - 1)) "$record" $((record + 1)) $((record * (count / 2))) $(((count - 1) * record)) \
        $((count * record - 8)) $((count * record - 1)); do
        cut data_level0.bin "$bytes"
        damaged "data_level0.bin cut at $bytes" data_level0.bin
        put_back
    done
    cut data_level0.bin $((count * record))
    well 'data_level0.bin without what is behind the records'
    put_back
}

# label_at ELEMENT OCTAL...: where the label of a record is
label_at() {
    element=$1
    shift
    poke "$DIR/$segment/data_level0.bin" $((element * record + label_offset)) "$@"
}

level0_numbers() {
    level0=$DIR/$segment/data_level0.bin
    label_offset=$(u64 "$DIR/$segment/header.bin" 36)
    poke "$level0" 0 377 377
    damaged 'a record with 65,535 links' data_level0.bin
    put_back
    poke "$level0" 4 376 377 377 377
    damaged 'a link to an element that is none' data_level0.bin
    put_back
    poke "$level0" 4 0 0 0 0
    damaged 'a record that is linked to itself' data_level0.bin
    put_back
    label_at 1 377 377 377 377 377 377 377 377
    looks 'a label 2^64-1'
    assert_problem shown orphan_labels
    assert_problem shown missing_labels
    assert_contains "value.labels" 'orphan 1'
    put_back
    label_at 1 0 0 0 0 0 0 0 0
    damaged 'a label 0' data_level0.bin
    put_back
    label=$(u64 "$level0" "$label_offset")
    label_at 1 "$(printf %o "$label")" 0 0 0 0 0 0 0
    damaged 'a label that two records have'
    put_back
}

length_cut() {
    for bytes in 0 1 3 4 $((count * 4 - 4)) $((count * 4 - 1)); do
        cut length.bin "$bytes"
        damaged "length.bin cut at $bytes" length.bin
        put_back
    done
}

links_cut() {
    size=$(stat -c %s "$DIR/$segment/link_lists.bin")
    for bytes in 0 1 4 $((count * 4 - 1)) $((size / 2)) $((size - 4)) $((size - 1)) $((size + 1)) $((size + 4)); do
        cut link_lists.bin "$bytes"
        damaged "link_lists.bin cut at $bytes" link_lists.bin
        put_back
    done
    poke "$DIR/$segment/link_lists.bin" 0 377 377 377 377
    damaged 'link_lists.bin: a huge list' link_lists.bin
    put_back
    poke "$DIR/$segment/link_lists.bin" 0 1 0 0 0
    damaged 'link_lists.bin: a list of one byte' link_lists.bin
    put_back
}

# garbage for each file, the same every time
garbage() {
    for file in header.bin data_level0.bin length.bin link_lists.bin index_metadata.pickle; do
        size=$(stat -c %s "$DIR/$segment/$file")
        perl -e 'srand(7); print map { chr(int(rand(256))) } 1..$ARGV[0]' "$size" >"$DIR/$segment/$file"
        looks "$file is noise"
        put_back
    done
}

# A huge file in which there is nothing is no reason to wait, or for memory.
sparse() {
    before=$(rss_kib)
    truncate -s 100G "$DIR/$segment/length.bin"
    truncate -s 100G "$DIR/$segment/data_level0.bin"
    timeout 60 cat "$info" >shown
    assert_eq '' "$(problems shown)" 'problems with a lot of nothing behind the records'
    assert_eq 107374182400 "$(stat -c %s "$MNT/segments/$segment/files/length.bin")"
    put_back
    truncate -s 100G "$DIR/$segment/index_metadata.pickle"
    timeout 60 cat "$info" >shown
    assert_problem shown index_damaged index_metadata.pickle
    put_back
    after=$(rss_kib)
    note "files of 100 GiB: $before KiB before, $after KiB after"
    [ "$after" -lt $((before + 262144)) ] || fail "the daemon grew from $before to $after KiB"
}

allowed="$(errno_text EILSEQ)|$(errno_text EIO)|$(errno_text ENOENT)"
parts='header_cut header_bytes header_numbers'
for version in 0.5.23 1.5.9; do
    copy_fixture "chroma-$version"
    segment=$(vector_segment space.cosine)
    mount_dir "$DIR" "$MNT"
    info=$MNT/collections/space.cosine/info.json
    well 'at first'
    note "$version: $(jq -c '.vector_segment.index' shown)"
    for part in $parts level0_cut level0_numbers length_cut links_cut garbage sparse; do
        note "$version: $part: $(date +%T)"
        "$part"
    done
    well 'at last'
    assert_readable_but ''
    unmount
    # the same format in both: once is enough for what takes long
    parts=
done
