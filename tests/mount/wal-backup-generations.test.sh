#!/bin/sh
# chromafs-wal-backup makes generations in a folder: each is the log of its moment, shares with the others what did not change, and stays as
# it is; --keep removes old ones, and nothing else.
# limit: 300
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal_backup.sh
. "${CHROMAFS_LIB%/*}/helpers/wal_backup.sh"

# of_every_release NAME: what is copied is what a mount shows
of_every_release() {
    NAMES=names_of_release
    back_up "$DIR" "release-$1"
    assert_generation "release-$1/$GENERATION" "$MNT"
}
names_of_release() { generations "release-$(basename "$DIR")"; }

take_first() {
    back_up "$DIR" dest
    first=dest/$GENERATION
    mount_fixture chroma-1.5.9
    assert_generation "$first" "$MNT"
    assert_eq "$(stat -c %y "$MNT/wal.jsonl")" "$(stat -c %y "$first/wal.jsonl")" 'time of wal.jsonl'
    assert_eq "$DIR" "$(jq -r .persist_directory "$first/info.json")" 'info.json'
    assert_eq '' "$(find dest -perm /077)" 'what others may read'
    unmount
}

take_unchanged() {
    back_up "$DIR" dest
    assert_generation "dest/$GENERATION"
    for log in wal.jsonl collections/types/wal.jsonl collections/empty/wal.jsonl; do
        assert_ok same_inode "$first/$log" "dest/$GENERATION/$log"
    done
    run_backup -v "$DIR" dest
    assert_eq 0 "$STATUS" "status with -v: $(cat err)"
    assert_fails grep 'f.*wal\.jsonl$' out
}

take_grown() {
    add_rows "$DIR" types 3
    back_up "$DIR" dest
    grown=dest/$GENERATION
    assert_generation "$grown"
    assert_eq $(($(wc -l <"$first/wal.jsonl") + 3)) "$(wc -l <"$grown/wal.jsonl")" 'rows'
    for log in wal.jsonl collections/types/wal.jsonl; do
        assert_fails same_inode "$first/$log" "$grown/$log"
        assert_ok cmp -n "$(stat -c %s "$first/$log")" "$first/$log" "$grown/$log"
    done
    assert_ok same_inode "$first/collections/docs/wal.jsonl" "$grown/collections/docs/wal.jsonl"
}

# ctimes of older generations move with their links
contents() { (cd "$1" && find . -type f -exec sha256sum {} + | sort -k 2) }

take_purged() {
    before=$(contents "$grown")
    purge "$DIR" types
    back_up "$DIR" dest
    purged=dest/$GENERATION
    assert_generation "$purged"
    assert_eq 0 "$(stat -c %s "$purged/collections/types/wal.jsonl")" 'size of a purged log'
    [ "$(stat -c %s "$purged/wal.jsonl")" -lt "$(stat -c %s "$grown/wal.jsonl")" ] || fail 'the root did not shrink'
    change "$DIR" "UPDATE collections SET name = 'renamed' WHERE name = 'types'"
    back_up "$DIR" dest
    [ -e "dest/$GENERATION/collections/renamed/wal.jsonl" ] || fail 'the renamed collection is not there'
    [ ! -e "dest/$GENERATION/collections/types" ] || fail 'the collection is still there under its old name'
    change "$DIR" "UPDATE collections SET name = 'types' WHERE name = 'renamed'"
    assert_eq "$before" "$(contents "$grown")" 'a generation after later ones'
    assert_generation "$first"
}

# damage FILE: size and time stay
damage() {
    touch -r "$1" stamp
    printf X | dd of="$1" bs=1 seek=7 conv=notrunc status=none
    touch -r stamp "$1"
}

# What was damaged in the last generation is not handed on to the next, nor mended there.
take_damaged() {
    add_rows "$DIR" types 5
    # Large logs are verified in another way.
    add_rows "$DIR" unicode 2000 600
    back_up "$DIR" dest
    last=dest/$GENERATION
    damage "$last/collections/types/wal.jsonl"
    damage "$last/collections/unicode/wal.jsonl"
    damage "$last/wal.jsonl"
    before=$(contents "$last")
    mount_fixture chroma-1.5.9
    back_up "$DIR" dest
    assert_generation "dest/$GENERATION" "$MNT"
    unmount
    assert_eq "$before" "$(contents "$last")" 'the damaged generation'
    rm -rf "$last"
}

keep_some() {
    mkdir dest/20200101T000000Z.partial dest/20200101T000000Z dest/20200101T000000Zx dest/20200101 dest/keep dest/20200101T000000Z.partial/collections \
        dest/20200101T000000Z.old 'dest/x 20200101T000000Z' dest/20200101T000000X dest/1Z dest/2mineZ dest/2mineZ.partial dest/20200101T000000Y20200101T000000Z
    echo row >dest/20200101T000000Z.partial/collections/wal.jsonl
    echo row >dest/20200101T000000Z/wal.jsonl
    echo mine >dest/20200102T000000Z
    echo mine >dest/keep/MANIFEST
    echo mine >dest/20200101T000000Zx/MANIFEST
    ln -s keep dest/20200103T000000Z
    back_up --keep=3 "$DIR" dest
    newest=$(generations | grep -x '........T......Z' | tail -n 3)
    for name in $newest .chromafs-wal-backup.lock 1Z 20200101 20200101T000000X 20200101T000000Y20200101T000000Z 20200101T000000Z.old 20200101T000000Zx \
        20200102T000000Z 20200103T000000Z 2mineZ 2mineZ.partial keep 'x 20200101T000000Z'; do
        echo "$name"
    done | sort >expected
    assert_eq "$(cat expected)" \
        "$(find dest -mindepth 1 -maxdepth 1 -printf '%f\n' | sort)" 'what --keep=3 left'
    for name in $newest; do
        assert_generation "dest/$name"
    done
    assert_eq mine "$(cat dest/keep/MANIFEST dest/20200101T000000Zx/MANIFEST dest/20200102T000000Z | sort -u)" 'what is not ours'
    back_up --keep=1 "$DIR" dest
    assert_eq 1 "$(generations | grep -cx '........T......Z')" 'generations with --keep=1'
    assert_generation "dest/$GENERATION"
}

# With the clock set back, the newest in time is not the last by name.
keep_the_new_one() {
    cp -al "dest/$GENERATION" dest/29990101T000000Z
    back_up --keep=1 "$DIR" dest
    assert_eq "$GENERATION" "$(generations | grep -x '........T......Z')" 'generations with --keep=1 and one of the future'
}

for_each_fixture of_every_release
unset NAMES
rm -rf release-*
copy_fixture chroma-1.5.9
take_first
take_unchanged
take_grown
take_purged
take_damaged
keep_some
keep_the_new_one
