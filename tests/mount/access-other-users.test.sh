#!/bin/sh
# -o allow_other lets others read what they may read in the directory, and nothing else; without it nobody else gets in.
# skip-allowed: it needs root
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
need_root

# as_group COMMAND...: another user than the owner, in a group of its own
as_group() { setpriv --reuid=65532 --regid=65533 --clear-groups -- "$@"; }

mode_of() { stat -c %a "$1"; }

# remount OPTION...: modes are looked at anew by the next stat, but a cache of the kernel's would hide a mistake
remount() {
    ! mountpoint -q "$MNT" || unmount
    mount_dir "$DIR" "$MNT" "$@"
}

check_all_readable() {
    find "$MNT" -type f -print0 >list
    as_nobody xargs -0 cat <list >/dev/null || fail 'nobody can not read all files'
}

# none_readable WHAT: nobody gets a byte of any file, and for each the reason is that it is not allowed
none_readable() {
    find "$MNT" -type f -print0 >list
    as_nobody xargs -0 cat <list >got 2>refused || :
    assert_eq 0 "$(wc -c <got)" "$1: bytes that nobody reads"
    assert_eq "$(tr -cd '\0' <list | wc -c)" "$(grep -c "$(errno_text EACCES)\$" refused)" "$1: files that are refused"
}

check_none_readable() {
    assert_eq '' "$(find "$MNT" -type f -perm /0044)" "$1: files open to others"
    none_readable "$1"
    assert_errno EACCES as_nobody ls "$MNT"
}

make_open() {
    chmod -R a+rX "$WORK/parent"
    chmod 755 "$WORK" "$WORK/parent"
}

check_open() {
    make_open
    remount -o allow_other
    assert_eq 444 "$(mode_of "$MNT/info.json")" 'mode of info.json'
    assert_eq 555 "$(mode_of "$MNT/collections")" 'mode of collections/'
    check_all_readable
    assert_fails as_nobody mkdir "$MNT/new" 2>/dev/null
}

check_parent() {
    make_open
    chmod 700 "$WORK/parent"
    remount -o allow_other
    assert_eq 400 "$(mode_of "$MNT/info.json")" 'mode of info.json below a parent with 0700'
    check_none_readable 'a parent with 0700'
    make_open
    chmod 700 "$DIR"
    check_none_readable 'a persist directory with 0700, chmod while it is mounted'
}

check_database() {
    make_open
    chmod 600 "$DIR/chroma.sqlite3"
    remount -o allow_other
    check_none_readable_but_raw
    make_open
    # Who owns nothing but is in the group reads what the group may read.
    chgrp -R 65533 "$DIR"
    chmod -R o-rwx "$DIR"
    remount -o allow_other
    assert_eq 440 "$(mode_of "$MNT/collections/types/info.json")" 'mode of info.json, for the group'
    as_group cat "$MNT/collections/types/info.json" >/dev/null || fail 'the group can not read'
    assert_fails as_nobody cat "$MNT/collections/types/info.json" 2>/dev/null
}

# The files of a segment are as open as they are in the directory, but the way to them leads through what the database tells.
check_none_readable_but_raw() {
    assert_eq 400 "$(mode_of "$MNT/info.json")" 'mode of info.json, database 0600'
    assert_eq 500 "$(mode_of "$MNT/collections")" 'mode of collections/, database 0600'
    assert_eq 500 "$(mode_of "$MNT/segments")" 'mode of segments/, database 0600'
    find "$MNT" -type f -perm /0044 -not -path '*/files/*' -not -name README >open
    assert_eq '' "$(cat open)" 'files open to others though the database is not'
    none_readable 'a database with 0600'
}

# One index that is closed: what is made from it is closed, the rest is not.
check_segment() {
    make_open
    chgrp -R 0 "$DIR"
    segment=$(segment_of "$DIR" fragmented VECTOR)
    chmod 600 "$DIR/$segment/header.bin"
    remount -o allow_other
    assert_fails as_nobody cat "$MNT/segments/$segment/files/header.bin" 2>/dev/null
    assert_fails as_nobody cat "$MNT/segments/$segment/info.json" 2>/dev/null
    assert_fails as_nobody cat "$MNT/collections/fragmented/info.json" 2>/dev/null
    assert_fails as_nobody cat "$MNT/info.json" 2>/dev/null
    as_nobody cat "$MNT/collections/types/info.json" >/dev/null || fail 'another collection'
    chmod 700 "$DIR/$segment"
    assert_fails as_nobody cat "$MNT/segments/$segment/files/length.bin" 2>/dev/null
}

check_owner() {
    make_open
    chown -R 65534:65534 "$DIR"
    chmod -R go-rwx "$DIR"
    remount -o allow_other
    assert_eq 65534:65534 "$(stat -c %u:%g "$MNT/info.json")" 'owner'
    as_nobody cat "$MNT/info.json" >/dev/null || fail 'the owner can not read'
    make_open
    chmod -R go-rwx "$DIR"
    assert_fails setpriv --reuid=65532 --regid=65532 --clear-groups -- ls "$MNT" 2>/dev/null
}

mkdir "$WORK/parent"
copy_fixture chroma-1.5.9
mv "$DIR" "$WORK/parent/persist"
DIR=$WORK/parent/persist
make_open
remount
assert_errno EACCES as_nobody ls "$MNT"
check_open
check_parent
check_database
check_segment
check_owner
