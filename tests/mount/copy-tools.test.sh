#!/bin/sh
# What copies, packs and measures trees works on the whole mount: cp, tar, rsync, du, find, grep, diff, less.
# limit: 300
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

# files_of TREE: what a copy must preserve; the times of directories and links are not all kept by every tool
files_of() {
    (cd "$1" && find . -type f -printf '%p %m %s %T@\n' | sort)
}

assert_same_files() {
    files_of "$MNT" >in_mount
    files_of "$1" >in_copy
    diff in_mount in_copy >&2 || fail "$1: modes, sizes or times differ"
    diff -r --no-dereference "$MNT" "$1" >&2 || fail "$1 differs"
}

# run_quietly COMMAND...: succeeds and says nothing
run_quietly() {
    "$@" >out 2>&1 || fail "$*: $(cat out)"
    assert_eq '' "$(cat out)" "output of $*"
}

copy_with_cp() {
    run_quietly cp -a "$MNT" copy-cp
    assert_same_files copy-cp
}

copy_with_tar() {
    mkdir copy-tar
    run_quietly tar -C "$MNT" --format=posix -cf all.tar .
    assert_eq "$(find "$MNT" | wc -l)" "$(tar -tf all.tar | wc -l)" 'members of the archive'
    run_quietly tar -C "$MNT" --compare -f all.tar
    run_quietly tar -C copy-tar -xpf all.tar
    assert_same_files copy-tar
}

copy_with_rsync() {
    run_quietly rsync -a "$MNT/" copy-rsync
    assert_same_files copy-rsync
    run_quietly rsync -a --checksum --itemize-changes "$MNT/" copy-rsync
}

measure() {
    bytes=$(bytes_in "$MNT")
    assert_eq "$bytes" "$(find "$MNT" -type f -exec cat {} + | wc -c)" 'bytes of all files'
    [ "$(du -sb "$MNT" | cut -f 1)" -ge "$bytes" ] || fail 'du -b counts too little'
    [ "$(du -s "$MNT" | cut -f 1)" -gt 0 ] || fail 'du counts no block'
    for size in 1 10 100; do
        assert_eq "$(find "$MNT" -type f -size "+${size}k" | wc -l)" "$(find copy-cp -type f -size "+${size}k" | wc -l)" "files above $size KiB"
    done
    [ "$(df --output=size "$MNT" | tail -n 1)" -gt 0 ] || fail 'df'
}

search() {
    assert_eq "$(grep -rlc space "$MNT" | wc -l)" "$(grep -rlc space copy-cp | wc -l)" 'files that grep -r finds'
    assert_eq "$MNT/collections/space-ip/config/space" "$(grep -rl '^ip$' "$MNT/collections")" 'what grep -r finds'
    less "$MNT/README" >shown
    assert_same_file "$MNT/README" shown
    assert_eq "$(head -n 1 copy-cp/info.json)" "$(head -n 1 "$MNT/info.json")" 'head'
    sha256sum "$MNT/README" | sed 's/ .*//' >sum
    assert_eq "$(sha256sum <copy-cp/README | sed 's/ .*//')" "$(cat sum)" sha256sum
}

copy_fixture chroma-1.5.9
mount_settled "$DIR"
copy_with_cp
copy_with_tar
copy_with_rsync
measure
search
