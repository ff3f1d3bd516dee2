#!/bin/sh
# limit: 240
# The cache is only a cache: damaged, replaced, by another's, by no file at all, not writable, full, or not there, wal.jsonl is the same, and
# so are its times. Nothing is written through a link, and nothing but a file of ours is made.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal.sh
. "${CHROMAFS_LIB%/*}/helpers/wal.sh"

DAMAGES=12
[ "${FULL-}" != 1 ] || DAMAGES=200

all_times() { (cd "$MNT" && find -L wal.jsonl by-id -maxdepth 2 -name wal.jsonl -printf '%p %T@ %s\n' | sort); }

# right WHAT: mounted with that cache, all is as it is without one, also after more was written
right() {
    mount_dir "$DIR" "$MNT"
    all_times >found
    diff their-times found >&2 || fail "$1: sizes or times"
    assert_wals "$DIR" "$A" "$B"
    unmount
}

# right_and_kept WHAT: the cache is used, again or anew: the next mount finds it whole
right_and_kept() {
    right "$1"
    assert_eq "$(wc -c <whole)" "$(wc -c <"$(cache_file)")" "$1: size of the cache afterwards"
    assert_eq '600 1' "$(stat -c '%a %h' "$(cache_file)")" "$1: mode and links of the cache"
}

# fresh: the file as the first mount left it
fresh() {
    rm -rf "$cache"
    cp whole "$cache"
    chmod 600 "$cache"
}

damaged() {
    size=$(wc -c <whole)
    for turn in $(seq "$DAMAGES"); do
        fresh
        at=$(((turn * 7919 * 13) % size))
        case $((turn % 4)) in
        0) truncate -s "$at" "$cache" ;;
        1) printf '\377\0\377' | dd of="$cache" bs=1 seek="$at" conv=notrunc status=none ;;
        2) head -c 9000 /dev/urandom | dd of="$cache" bs=1 seek="$at" conv=notrunc status=none ;;
        3) head -c 20000 /dev/zero >>"$cache" ;;
        esac
        right "damaged $turn at $at"
    done
    # In the header of the file, in that of a block, and in each member of a row: seq_id, collection, hash, length, piece. A checksum
    # tells, and nothing else would of some.
    row=$((3 * 8192 + 32 + 100 * 32))
    for at in 0 4 8 16 31 32 8192 $row $((row + 8)) $((row + 16)) $((row + 24)) $((row + 28)) $((size - 1)); do
        fresh
        printf '\125' | dd of="$cache" bs=1 seek="$at" conv=notrunc status=none
        right_and_kept "a byte at $at"
    done
}

# Blocks that are good, but not in this place, or not of this file.
shuffled() {
    fresh
    dd if=whole of="$cache" bs=8192 skip=1 seek=2 count=1 conv=notrunc status=none
    right_and_kept 'a block twice'
    fresh
    dd if=other of="$cache" bs=8192 skip=2 seek=2 count=1 conv=notrunc status=none
    right_and_kept 'blocks of an older cache'
    fresh
    cp stranger "$cache"
    right_and_kept 'the cache of another directory'
    fresh
    : >"$cache"
    right_and_kept 'an empty file'
    fresh
    head -c 100000 /dev/urandom >"$cache"
    right_and_kept garbage
    fresh
    truncate -s 10G "$cache"
    right_and_kept 'ten gigabytes of nothing'
}

no_file() {
    fresh
    echo precious >precious
    rm "$cache" && ln -s "$WORK/precious" "$cache"
    right_and_kept 'a symbolic link'
    rm "$cache" && ln precious "$cache"
    right_and_kept 'a file with two names'
    rm "$cache" && mkfifo -m 600 "$cache"
    right_and_kept 'a FIFO'
    assert_eq precious "$(cat precious)" 'what the links led to'
    rm "$cache" && mkdir "$cache"
    right 'a directory'
    rmdir "$cache" && fresh
    chmod 666 "$cache"
    right_and_kept 'a file that others may write'
    rm -r "$XDG_CACHE_HOME/chromafs"
    : >"$XDG_CACHE_HOME/chromafs"
    right 'a file where the directory should be'
    rm "$XDG_CACHE_HOME/chromafs"
    ln -s "$WORK/elsewhere" "$XDG_CACHE_HOME/chromafs"
    mkdir elsewhere
    right 'a link where the directory should be'
    assert_eq '' "$(ls elsewhere)" 'what is behind the link'
    rm "$XDG_CACHE_HOME/chromafs"
    mkdir -m 777 "$XDG_CACHE_HOME/chromafs"
    right 'a directory that others may write'
    assert_eq '' "$(ls "$XDG_CACHE_HOME/chromafs")" 'what is in a directory that others may write'
    rm -r "$XDG_CACHE_HOME"
    right_and_kept 'no directory'
}

# Not a byte more than 64 KiB, and not a byte at all.
not_writable() {
    [ "$(id -u)" -eq 0 ] || return 0
    mkdir small
    for options in size=64k,mode=700 ro; do
        mount -t tmpfs -o "$options" small "$WORK/small"
        XDG_CACHE_HOME=$WORK/small
        right "a file system with $options"
        right "a file system with $options, again"
        umount "$WORK/small"
        XDG_CACHE_HOME=$WORK/.cache
    done
}

# in_home VALUE: XDG_CACHE_HOME has this value, and so the cache is in the home directory
in_home() {
    rm -rf home
    XDG_CACHE_HOME=$1
    right "with XDG_CACHE_HOME=$1"
    [ -n "$(find home/.cache/chromafs -type f)" ] || fail "there is no cache in HOME with XDG_CACHE_HOME=$1"
    XDG_CACHE_HOME=$WORK/.cache
}

homes() {
    HOME=$WORK/home
    export HOME
    in_home ''
    in_home relative
    [ ! -e relative ] || fail 'a relative XDG_CACHE_HOME was used'
    XDG_CACHE_HOME=$DIR/cache
    right 'a cache in the persist directory'
    [ ! -e "$DIR/cache" ] || fail 'a cache was made in the persist directory'
    XDG_CACHE_HOME=$WORK/.cache
}

# Removed while it is mounted: the next mount makes another one.
removed() {
    fresh
    mount_dir "$DIR" "$MNT"
    cat "$MNT/wal.jsonl" >/dev/null
    rm "$cache"
    add_rows "$DIR" "$A" 9001 9010
    assert_wals "$DIR" "$A" "$B"
    : >"$cache"
    add_rows "$DIR" "$B" 9011 9020
    assert_wals "$DIR" "$A" "$B"
    all_times >their-times
    unmount
    right 'removed and replaced while it was mounted'
}

# Written over while it is mounted: what was in it is not believed.
overwritten() {
    fresh
    mount_dir "$DIR" "$MNT"
    cat "$MNT/wal.jsonl" >/dev/null
    head -c "$(wc -c <"$cache")" /dev/urandom | dd of="$cache" conv=notrunc status=none
    exec 6<"$MNT/wal.jsonl"
    cat <&6 >got 2>err || grep -q -e "$(errno_text EIO)" -e "$(errno_text EILSEQ)" -e "$(errno_text ESTALE)" err || fail "$(cat err)"
    wal_lines "$DIR" | head -c "$(wc -c <got)" | cmp - got >&2 || fail 'a wrong byte'
    exec 6<&-
    assert_wals "$DIR" "$A" "$B"
    unmount
    right 'overwritten while it was mounted'
}

copy_fixture chroma-1.5.9
cp -a "$DIR" "$WORK/stranger-dir"
A=$(id_of "$DIR" space_l2) B=$(id_of "$DIR" types)
change "$DIR" 'DELETE FROM embeddings_queue'
add_rows "$DIR" "$A" 1001 2000 "'{\"older\": ' || x || '}'"
mount_dir "$DIR" "$MNT"
stat "$MNT/wal.jsonl" >/dev/null
unmount
cache=$(cache_file)
cp "$cache" other # with the same seq_ids
rm "$cache"
change "$DIR" 'DELETE FROM embeddings_queue'
add_rows "$DIR" "$A" 1001 2000
add_rows "$DIR" "$B" 2001 3000
mount_dir "$DIR" "$MNT"
all_times >their-times
unmount
cp "$cache" whole
rm -r "$XDG_CACHE_HOME"
mount_dir "$WORK/stranger-dir" "$MNT"
stat "$MNT/wal.jsonl" >/dev/null
unmount
cp "$(cache_file)" stranger
rm "$(cache_file)"
for part in ${PARTS:-damaged shuffled no_file not_writable homes overwritten removed}; do
    note "$part"
    "$part"
done
