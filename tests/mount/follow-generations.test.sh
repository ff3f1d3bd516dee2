#!/bin/sh
# A file that is open shows the moment when it was opened, to its end; a new open shows the new one. A file of files/ that Chroma
# writes in place gives ESTALE, and never a mixture.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

rename_all() { change "$DIR" "UPDATE collections SET name = name || '$1' WHERE name NOT LIKE 'docs%'"; }

# check_old FILE SUFFIX: what is open, begun or mapped before all collections are renamed is the old one to its end.
check_old() {
    cp "$1" old
    helper hold_file "$1" old sqlite3 -batch -cmd '.timeout 20000' "$DIR/chroma.sqlite3" \
        "UPDATE collections SET name = name || '$2' WHERE name NOT LIKE 'docs%'" >&2 || fail "$1: the old generation or the new one"
}

# The same with processes of their own, and two descriptors.
check_tools() {
    cp "$1" old
    exec 3<"$1" 4<"$1"
    head -c 20 <&3 >begun
    rename_all "$2"
    tail -c +1 "$1" >new
    ! cmp -s old new || fail "$1 did not change"
    cat <&4 >rest
    assert_same_file old rest
    assert_eq "$(stat -c %s new)" "$(stat -c %s "$1")" 'size of the new generation'
    assert_eq "$(stat -c %s old)" "$(stat -L -c %s /proc/self/fd/3)" 'size of the old generation'
    exec 3<&- 4<&-
}

# in_place FILE: other bytes, the same size, as Chroma does when it persists
in_place() {
    head -c "$(stat -c %s "$1")" /dev/zero | tr '\0' '\356' | dd of="$1" bs=1M iflag=fullblock conv=notrunc status=none
}

# Pages that the kernel has are of the moment of the open; what it has not read yet can't be had any more.
check_raw() {
    segment=$(segment_of "$DIR" fragmented VECTOR)
    original=$DIR/$segment/data_level0.bin
    file=$MNT/segments/$segment/files/data_level0.bin
    touch -d '2024-01-02 03:04:05' "$original"
    cp "$original" old
    exec 3<"$file"
    in_place "$original"
    assert_errno ESTALE cat <&3
    exec 3<&-
    assert_same_file "$original" "$file"
    exec 3<"$file"
    cmp "$original" - <&3 >&2 || fail 'the new bytes'
    touch -d '2024-02-02 03:04:05' "$original"
    exec 3<&-
    assert_same_file "$original" "$file"
}

# Replaced by rename: the open one is the old file, whole.
check_replaced() {
    segment=$(segment_of "$DIR" fragmented VECTOR)
    original=$DIR/$segment/length.bin
    file=$MNT/segments/$segment/files/length.bin
    exec 3<"$file"
    echo 'the new ones' >other
    cp "$original" old
    mv other "$original"
    # Its ctime has changed with its number of links: that may be told, but not mixed.
    if cat <&3 >found 2>err; then
        assert_same_file old found
    else
        assert_contains err "$(errno_text ESTALE)"
        assert_eq 0 "$(wc -c <found)" 'bytes before ESTALE'
    fi
    exec 3<&-
    assert_eq 'the new ones' "$(cat "$file")"
}

mount_fixture chroma-1.5.9
check_raw
check_replaced
by_id=$MNT/by-id/$(jq -r .id "$MNT/collections/space-ip/info.json")
check_tools "$MNT/info.json" .a
check_tools "$by_id/info.json" .b
check_old "$MNT/info.json" .c
check_old "$by_id/info.json" .d
