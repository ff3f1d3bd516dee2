#!/bin/sh
# Every regular file has the size that it says, however it is read.
# limit: 600
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

# check_file PATH: against the bytes that one read of the whole file gives
check_file() {
    size=$(stat -c %s "$1")
    dd if="$1" of=whole bs=4M status=none
    assert_eq "$size" "$(stat -c %s whole)" "bytes of $1"
    assert_same_file "$1" whole
    tail -c +1 "$1" | cmp - whole >&2 || fail "tail -c +1 $1"
    assert_eq "$size" "$(wc -c <"$1")" "wc -c $1"
    dd if="$1" bs=7 status=none | cmp - whole >&2 || fail "dd bs=7 of $1"
    [ "$size" -gt 2000 ] || dd if="$1" bs=1 status=none | cmp - whole >&2 || fail "dd bs=1 of $1"
    tail -c 5 "$1" >end
    tail -c 5 whole | cmp - end >&2 || fail "tail -c 5 $1"
    files=$((files + 1))
}

# At offsets in no order, and behind the end.
check_offsets() {
    python3 - "$1" whole <<'END'
import os, random, sys

whole = open(sys.argv[2], "rb").read()
fd = os.open(sys.argv[1], os.O_RDONLY)
random.seed(len(whole))
for _ in range(40):
    offset = random.randrange(len(whole) + 10)
    length = random.randrange(1, 5000)
    if os.pread(fd, length, offset) != whole[offset:offset + length]:
        sys.exit("%d bytes at %d of %s" % (length, offset, sys.argv[1]))
if os.pread(fd, 100, len(whole) + 100000) != b"":
    sys.exit("bytes behind the end of " + sys.argv[1])
END
}

# check_links: the size of a symbolic link is the length of its target, which tar and rsync rely on
check_links() {
    find "$MNT" -type l -printf '%s %l\n' | awk '{ if (length($2) != $1) { print; bad = 1 } } END { exit bad }' >&2 || fail 'sizes of links'
}

check() {
    mount_settled "$DIR"
    files=0
    find "$MNT" -type f >list
    while read -r file <&3; do check_file "$file"; done 3<list
    for file in "$MNT/README" "$MNT/info.json" "$MNT/collections/fragmented/info.json" "$MNT/segments/$(segment_of "$DIR" fragmented VECTOR)"/files/*; do
        cat "$file" >whole
        check_offsets "$file" || fail "$file"
    done
    check_links
    [ "$files" -gt 300 ] || fail "only $files files"
    unmount
}

copy_fixture chroma-1.5.9
check
