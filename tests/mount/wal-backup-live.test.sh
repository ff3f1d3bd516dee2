#!/bin/sh
# chromafs-wal-backup while Chroma writes: a log that grows is copied up to a line's end; one that is purged meanwhile is copied again.
# limit: 300
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal_backup.sh
. "${CHROMAFS_LIB%/*}/helpers/wal_backup.sh"

# write_on: until the file is gone
write_on() {
    while [ -e go ]; do
        add_rows "$DIR" types 20 300
        add_rows "$DIR" docs 5
        sleep 0.1
    done
}

# assert_beginning LONGER SHORTER: of the root's log and of each collection's
assert_beginning() {
    (cd "$2" && find wal.jsonl collections -name wal.jsonl) >paths
    while read -r path; do
        assert_ok cmp -n "$(stat -c %s "$2/$path")" "$1/$path" "$2/$path"
    done <paths
}

back_up_while_it_grows() {
    : >go
    write_on &
    writer=$!
    names=
    for _ in 1 2 3 4 5 6; do
        back_up "$DIR" dest
        assert_generation "dest/$GENERATION"
        jq -s -e 'map(.seq_id) | . == (sort | unique) and length > 0' "dest/$GENERATION/wal.jsonl" >/dev/null || fail "rows of $GENERATION"
        names="$names $GENERATION"
    done
    rm go
    wait "$writer"
    back_up "$DIR" dest
    mount_fixture chroma-1.5.9
    assert_generation "dest/$GENERATION" "$MNT"
    for name in $names; do
        assert_beginning "$MNT" "dest/$name"
    done
    unmount
}

is_copying() { find dest -path '*/2*Z*/.wal.jsonl.*' | grep -q .; }

# Reading what has left the log fails with ESTALE.
purge_while_it_is_copied() {
    add_rows "$DIR" types 4000 600
    chromafs-wal-backup -v --rsync-option=--bwlimit=1000 "$DIR" dest >out 2>err &
    run=$!
    wait_until is_copying
    purge "$DIR" types
    purge "$DIR" docs
    wait "$run" || fail "status $?: $(cat err)"
    assert_contains out 'once more:'
    assert_contains out "$(errno_text ESTALE)"
    assert_nothing_left
    GENERATION=$(generations dest | tail -n 1)
    mount_fixture chroma-1.5.9
    assert_generation "dest/$GENERATION" "$MNT"
    unmount
}

# A collection that is renamed while it is copied is there once, under its new name.
rename_while_it_is_copied() {
    add_rows "$DIR" types 2000 600
    chromafs-wal-backup -v --rsync-option=--bwlimit=1000 "$DIR" dest >out 2>err &
    run=$!
    wait_until is_copying
    change "$DIR" "UPDATE collections SET name = 'renamed' WHERE name = 'unicode'"
    wait "$run" || fail "status $?: $(cat err)"
    GENERATION=$(generations dest | tail -n 1)
    mount_fixture chroma-1.5.9
    assert_generation "dest/$GENERATION" "$MNT"
    unmount
}

# rsync as it is when the log is purged in each pass: some passes, then an end
never_stable() {
    mkdir shim
    cat >shim/rsync <<END
#!/bin/sh
case " \$* " in
*' --from0 '*)
    echo pass >>passes
    echo 'rsync: [sender] read errors mapping "wal.jsonl": Stale file handle (116)' >&2
    exit 23
    ;;
esac
exec $(command -v rsync) "\$@"
END
    chmod +x shim/rsync
    before=$(generations dest)
    (PATH=$WORK/shim:$PATH && assert_backup_fails 1 "$(errno_text ESTALE)" "$DIR" dest)
    assert_eq 6 "$(wc -l <passes)" passes
    assert_eq "$before" "$(generations dest)" 'generations after a failure'
}

copy_fixture chroma-1.5.9
back_up_while_it_grows
purge_while_it_is_copied
rename_while_it_is_copied
never_stable
