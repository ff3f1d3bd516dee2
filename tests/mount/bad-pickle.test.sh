#!/bin/sh
# limit: 300
# An index_metadata.pickle that is cut, empty, nested deeply, claims more than it has, or names functions: nothing in it is run,
# no memory is taken for what it claims, and the collection's info.json says what is wrong. With FULL=1 it is cut at each byte.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"
# shellcheck source=tests/mount/helpers/gallery.sh
. "${CHROMAFS_LIB%/*}/helpers/gallery.sh"

# damaged DAMAGE: the root tells of it, too
damaged() {
    variant damaged,root index_metadata.pickle "index_metadata.pickle $1"
}

# At each byte of the first and last thirty, and at some between.
cuts() {
    size=$(stat -c %s "$pickle")
    step=211
    [ "${FULL-}" != 1 ] || step=1
    for bytes in $(seq 0 29) $(seq 30 "$step" $((size - 31))) $(seq $((size - 30)) $((size - 1))); do
        damaged "cut $bytes"
    done
}

# made NAME COMMAND...: a pickle that is what the command prints
made() {
    made_file=$WORK/pickles/$1
    shift
    mkdir -p "$WORK/pickles"
    "$@" >"$made_file"
    damaged "copy $made_file"
}

# written NAME FORMAT: a pickle that is what printf makes of it
written() {
    # shellcheck disable=SC2059  # bytes
    made "$1" printf "$2"
}

lies() {
    written string-of-2^31 '\200\004X\377\377\377\177abc.'
    written string-of-2^63 '\200\004\215\000\000\000\000\000\000\000\200abc.'
    written frame-of-2^64-1 '\200\004\225\377\377\377\377\377\377\377\377}.'
    written bytes-of-2^63 '\200\005\226\000\000\000\000\000\000\000\200.'
    written integer-of-2^31 '\200\004\213\377\377\377\177.'
    written memo-2^32-1-put '\200\004}r\377\377\377\377.'
    written memo-2^32-1-got '\200\004j\377\377\377\377.'
    written pops-of-nothing '\200\004000000.'
    written items-without-dict '\200\004(K\001K\002u.'
    written tuple-of-nothing '\200\004\207.'
    written only-the-end '.'
    written protocol-255 '\200\377.'
    written itself '\200\004}\224h\000h\000s.'
}

# None of them may leave the file that it would make.
functions() {
    written os.system "cos\nsystem\n(S'touch $WORK/pwned'\ntR."
    written posix.system "\200\004\214\005posix\214\006system\223\214\013touch pwned\205R."
    written eval "c__builtin__\neval\n(S'1'\ntR."
    written like-the-right-one "\200\004c__main__\nPersistentData\n)\201}b."
    written extension-code '\200\004\202\001.'
    written persistent-id '\200\004Pabc\n.'
}

# many COUNT TEXT [FROM TO]: so often, with bytes replaced as tr does
many() {
    yes "$2" | head -n "$1" | tr -d '\n' | tr "${3-.}" "${4-.}"
}

# pickled START COMMAND...: what the command prints in a pickle
pickled() {
    # shellcheck disable=SC2059  # bytes
    printf "$1"
    shift
    "$@"
    printf .
}

nested_dicts() {
    many 100000 '}'
    many 100000 'K?' '?' '\001'
    many 100000 s
}

deep() {
    for opening in '(' ']' '}' '(((]'; do
        made "three-million-$opening" pickled '\200\004' many 3000000 "$opening"
    done
    made dicts-in-dicts pickled '\200\004' nested_dicts
    made tuples-in-tuples pickled '\200\004N' many 3000000 x x '\205'
    made three-million-copies pickled '\200\004N' many 3000000 2
    made three-million-memo-entries pickled '\200\004N' many 3000000 x x '\224'
}

# under_a_mount: damage that comes and goes while it is mounted is followed
under_a_mount() {
    info=$MNT/collections/space_l2/info.json
    cp -a "$pickle" kept
    assert_eq '' "$(problems "$info")" 'problems at first'
    truncate -s 5 "$pickle"
    touch -d '1 minute ago' "$pickle"
    assert_problem "$info" index_damaged index_metadata.pickle
    cp -p kept "$pickle"
    assert_eq '' "$(problems "$info")" 'problems with the pickle put back'
}

for version in 0.5.23 1.5.9; do
    copy_fixture "chroma-$version"
    pickle=$DIR/$(vector_segment space_l2)/index_metadata.pickle
    mount_dir "$DIR" "$MNT"
    under_a_mount
    : >plan
    for part in cuts lies functions deep; do
        "$part"
    done
    gallery_make space_l2
    before=$(rss_kib)
    gallery_check
    after=$(rss_kib)
    note "$version: $before KiB before, $after KiB after"
    assert_growth 131072 "$before" "$after"
    assert_fails test -e "$WORK/pwned"
    # nobody tells a fragmentation that is not known
    find "$MNT/segments/$GALLERY_VECTOR"-* -name fragmentation >told
    assert_eq '' "$(cat told)" 'segments with a fragmentation'
    assert_eq '' "$(problems "$MNT/collections/space_l2/info.json")" 'problems of the healthy one'
    assert_alive
    unmount
done
