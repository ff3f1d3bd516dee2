#!/bin/sh
# A file that is open shows the moment when it was opened, to its end; a new open shows the new one. A file of files/ that Chroma
# writes in place gives ESTALE, and never a mixture.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

rename_all() { change "$DIR" "UPDATE collections SET name = name || '$1' WHERE name NOT LIKE 'docs%'"; }

# check_old FILE SUFFIX: opened before all collections are renamed
check_old() {
    file=$1
    cp "$file" old
    exec 3<"$file"
    head -c 20 <&3 >begun
    exec 4<"$file"
    rename_all "$2"
    tail -c +1 "$file" >new
    ! cmp -s old new || fail "$file did not change"
    # head reads ahead: what it had is read again, from another descriptor of the same moment.
    cat <&4 >rest
    assert_same_file old rest
    python3 -c 'import os, sys; sys.stdout.buffer.write(os.pread(3, 1 << 20, 0))' >again
    assert_same_file old again
    assert_eq "$(stat -c %s old)" "$(stat -L -c %s /proc/self/fd/3)" 'size of the old generation'
    assert_eq "$(stat -c %s new)" "$(stat -c %s "$file")" 'size of the new generation'
    [ "$(stat -c %i "$file")" != "$(stat -L -c %i /proc/self/fd/3)" ] || fail 'two generations with one inode number'
    exec 3<&- 4<&-
}

# A mapping keeps showing the old bytes, also the pages that were not touched before the change.
check_mapping() {
    cp "$1" old
    python3 - "$1" old "$DIR/chroma.sqlite3" <<'END' || fail "mapping of $1"
import mmap, sqlite3, sys
with open(sys.argv[1], "rb") as f:
    mapping = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
db = sqlite3.connect(sys.argv[3], timeout=20)
db.execute("UPDATE collections SET name = name || '.m' WHERE name NOT LIKE 'docs%'")
db.commit()
new = open(sys.argv[1], "rb").read()
old = open(sys.argv[2], "rb").read()
sys.exit(new == old or mapping[:] != old)
END
}

# in_place FILE: other bytes, the same size, as Chroma does when it persists
in_place() {
    python3 -c '
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
size = os.fstat(fd).st_size
os.pwrite(fd, b"\xee" * size, 0)' "$1"
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
check_old "$MNT/info.json" .a
check_old "$by_id/info.json" .b
check_mapping "$by_id/info.json"
