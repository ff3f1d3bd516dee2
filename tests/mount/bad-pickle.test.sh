#!/bin/sh
# limit: 300
# An index_metadata.pickle that is cut, empty, nested deeply, claims more than it has, or names functions: nothing in it is run,
# no memory is taken for what it claims, and the collection's info.json says what is wrong.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

damaged() {
    timeout 60 cat "$info" >shown || fail "$1: info.json can't be read"
    assert_problem shown index_damaged index_metadata.pickle
    assert_problem "$MNT/info.json" index_damaged index_metadata.pickle
    assert_eq null "$(json shown .vector_segment.fragmentation)" "$1: fragmentation"
    assert_fails test -e "$MNT/segments/$segment/fragmentation"
    assert_ok timeout 60 cat "$MNT/segments/$segment/info.json" >/dev/null
    assert_same_file "$pickle" "$MNT/segments/$segment/files/index_metadata.pickle"
    kill -0 "$DAEMON" || fail "$1: the daemon is gone"
}

put_back() {
    cp -p "$CHROMAFS_FIXTURES/chroma-$version/dir/$segment/index_metadata.pickle" "$pickle"
}

# At each byte of the first and last thirty, and at some between.
cuts() {
    size=$(stat -c %s "$pickle")
    bytes=0
    while [ "$bytes" -lt "$size" ]; do
        truncate -s "$bytes" "$pickle"
        damaged "cut at $bytes"
        put_back
        step=211
        if [ "$bytes" -lt 30 ] || [ "$bytes" -ge $((size - 30)) ]; then
            step=1
        elif [ $((bytes + step)) -gt $((size - 30)) ]; then
            step=$((size - 30 - bytes))
        fi
        bytes=$((bytes + step))
    done
}

# written WHAT FORMAT: the pickle is what printf makes of it
written() {
    # shellcheck disable=SC2059  # bytes
    printf "$2" >"$pickle"
    damaged "$1"
}

lies() {
    written 'a string of 2^31 bytes' '\200\004X\377\377\377\177abc.'
    written 'a string of 2^63 bytes' '\200\004\215\000\000\000\000\000\000\000\200abc.'
    written 'a frame of 2^64-1 bytes' '\200\004\225\377\377\377\377\377\377\377\377}.'
    written 'bytes, 2^63 of them' '\200\005\226\000\000\000\000\000\000\000\200.'
    written 'an integer of 2^31 bytes' '\200\004\213\377\377\377\177.'
    written 'memo number 2^32-1, put' '\200\004}r\377\377\377\377.'
    written 'memo number 2^32-1, got' '\200\004j\377\377\377\377.'
    written 'pops of nothing' '\200\004000000.'
    written 'items without a dict' '\200\004(K\001K\002u.'
    written 'a tuple out of nothing' '\200\004\207.'
    written 'nothing but the end' '.'
    written 'protocol 255' '\200\377.'
    written 'a reference to itself' '\200\004}\224h\000h\000s.'
}

# The one that prints from a file it would write: it must not be there.
functions() {
    written 'os.system' "cos\nsystem\n(S'touch $WORK/pwned'\ntR."
    written 'posix.system, protocol 4' "\200\004\214\005posix\214\006system\223\214\013touch pwned\205R."
    written 'eval' "c__builtin__\neval\n(S'1'\ntR."
    written 'a class like the right one' "\200\004c__main__\nPersistentData\n)\201}b."
    written 'an extension code' '\200\004\202\001.'
    written 'a persistent id' '\200\004Pabc\n.'
    assert_fails test -e "$WORK/pwned"
}

deep() {
    for opening in '(' ']' '}' '(((]'; do
        perl -e 'print "\x80\x04", $ARGV[0] x 3000000, "."' "$opening" >"$pickle"
        damaged "three million times $opening"
    done
    perl -e 'print "\x80\x04", "}" x 100000, "K\x01" x 100000, "s" x 100000, "."' >"$pickle"
    damaged 'dicts in dicts'
    perl -e 'print "\x80\x04N", "\x85" x 3000000, "."' >"$pickle"
    damaged 'tuples in tuples'
    perl -e 'print "\x80\x04N", "2" x 3000000, "."' >"$pickle"
    damaged 'three million copies'
    perl -e 'print "\x80\x04N", "\x94" x 3000000, "."' >"$pickle"
    damaged 'three million memo entries'
}

for version in 0.5.23 1.5.9; do
    copy_fixture "chroma-$version"
    segment=$(vector_segment space_l2)
    pickle=$DIR/$segment/index_metadata.pickle
    info=$MNT/collections/space_l2/info.json
    mount_dir "$DIR" "$MNT"
    before=$(rss_kib)
    for part in cuts lies functions deep; do
        note "$version: $part: $(date +%T)"
        "$part"
    done
    put_back
    after=$(rss_kib)
    note "$version: $before KiB before, $after KiB after"
    # the sanitizers keep what was freed
    case $(readlink -f "$CHROMAFS") in
    *asan* | *tsan*) ;;
    *) [ "$after" -lt $((before + 131072)) ] || fail "the daemon grew from $before to $after KiB" ;;
    esac
    assert_eq '' "$(problems "$info")" 'problems with the pickle put back'
    assert_readable_but ''
    unmount
done
