#!/bin/sh
# limit: 600
# The files of an index are cut at every boundary, emptied, or have numbers in them that can't be: the collection's info.json says so,
# the files that depend on it fail or are missing, and all else is as it was. The files below files/ are the bytes that are there.
# With FULL=1 every byte of the header is set to every value, and each file is cut at each byte.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"
# shellcheck source=tests/mount/helpers/gallery.sh
. "${CHROMAFS_LIB%/*}/helpers/gallery.sh"

HEADER_SIZE=100
MAX64=ffffffffffffffff

# u64 FILE OFFSET: a little-endian number
u64() {
    od -An -t u8 --endian=little -j "$2" -N 8 "$1" | tr -d ' '
}

# size_of NAME: of a file of the index
size_of() {
    stat -c %s "$index/$1"
}

# damaged FILE ACTION...: a variant whose problem names the file
damaged() {
    variant damaged "$1" "$*"
}

# cuts FILE BYTES...
cuts() {
    cuts_file=$1
    shift
    for bytes in "$@"; do
        damaged "$cuts_file" cut "$bytes"
    done
}

header_cut() {
    # shellcheck disable=SC2046  # numbers
    cuts header.bin $(seq 0 $((HEADER_SIZE - 1)))
    damaged header.bin add x
}

# Every byte of the header, set to each of these: damage or not, everything can be looked at.
header_bytes() {
    bytes='ff 7f 80'
    [ "${FULL-}" != 1 ] || bytes=$(seq 0 255 | while read -r n; do printf '%02x ' "$n"; done)
    for at in $(seq 0 $((HEADER_SIZE - 1))); do
        for byte in $bytes; do
            variant any '' "header.bin poke $at $byte"
        done
    done
}

header_numbers() {
    # a capacity can be as large as it likes: nothing is there for it until elements are
    variant well '' "header.bin poke 12 $MAX64"
    # count, size of a record, offset of the label, of the vector, and three times M
    for field in 20 28 36 44 60 68 76; do
        damaged header.bin poke "$field" "$MAX64"
        damaged header.bin poke "$field" 0000000000000080
        damaged header.bin poke "$field" ffffffff00000000
    done
    # many elements that the files don't have: nobody takes memory for them
    variant damaged data_level0.bin 'header.bin poke 12 0000007f00000000; header.bin poke 20 0000007f00000000'
}

level0() {
    cuts data_level0.bin 0 1 $((record - 1)) "$record" $((record + 1)) $((record * (count / 2))) $(((count - 1) * record)) \
        $((count * record - 8)) $((count * record - 1))
    variant well '' "data_level0.bin cut $((count * record))"
    # a record with 65,535 links, a link to an element that is none, one to itself
    damaged data_level0.bin poke 0 ffff
    damaged data_level0.bin poke 4 feffffff
    damaged data_level0.bin poke 4 00000000
    second=$((record + label_offset))
    variant orphan_labels,missing_labels '' "data_level0.bin poke $second $MAX64"
    damaged data_level0.bin poke "$second" 0000000000000000
    # a label that two records have
    variant damaged '' "data_level0.bin poke $second $(printf %02x "$(u64 "$index/data_level0.bin" "$label_offset")")00000000000000"
}

length_and_links() {
    cuts length.bin 0 1 3 4 $((count * 4 - 4)) $((count * 4 - 1))
    size=$(size_of link_lists.bin)
    cuts link_lists.bin 0 1 4 $((count * 4 - 1)) $((size / 2)) $((size - 4)) $((size - 1)) $((size + 1)) $((size + 4))
    # a huge list, and one of a byte
    damaged link_lists.bin poke 0 ffffffff
    damaged link_lists.bin poke 0 01000000
}

every_cut() {
    for name in length.bin link_lists.bin; do
        for bytes in $(seq 0 7 $(($(size_of "$name") - 1))); do
            variant any '' "$name cut $bytes"
        done
    done
}

# A huge file in which there is nothing is no reason to wait, or for memory.
noise_and_nothing() {
    for name in header.bin data_level0.bin length.bin link_lists.bin index_metadata.pickle; do
        variant any '' "$name noise"
    done
    variant well '' 'length.bin cut 107374182400; data_level0.bin cut 107374182400'
    damaged index_metadata.pickle cut 107374182400
}

# under_a_mount: damage that comes and goes while it is mounted is followed
under_a_mount() {
    info=$MNT/collections/space.cosine/info.json
    kept=$WORK/kept-$version
    cp -a "$index" "$kept"
    for name in header.bin data_level0.bin length.bin link_lists.bin; do
        truncate -s 5 "$index/$name"
        touch -d '1 minute ago' "$index/$name"
        assert_problem "$info" index_damaged "$name"
        cp -p "$kept/$name" "$index/$name"
        assert_eq '' "$(problems "$info")" "problems with $name put back"
    done
}

plan_all() {
    : >plan
    header_numbers
    level0
    length_and_links
    noise_and_nothing
    # the same format in all: once is enough for what is much
    [ "$version" = 0.5.23 ] || return 0
    header_cut
    header_bytes
    [ "${FULL-}" != 1 ] || every_cut
}

for version in 0.5.23 1.5.9; do
    copy_fixture "chroma-$version"
    index=$DIR/$(vector_segment space.cosine)
    count=$(u64 "$index/header.bin" 20)
    record=$(u64 "$index/header.bin" 28)
    label_offset=$(u64 "$index/header.bin" 36)
    mount_dir "$DIR" "$MNT"
    assert_eq '' "$(problems "$MNT/collections/space.cosine/info.json")" 'problems at first'
    under_a_mount
    plan_all
    gallery_make space.cosine
    before=$(rss_kib)
    gallery_check
    after=$(rss_kib)
    note "$version: $before KiB before, $after KiB after"
    assert_growth 131072 "$before" "$after"
    assert_eq '' "$(problems "$MNT/collections/space.cosine/info.json")" 'problems of the healthy one'
    assert_alive
    unmount
done
