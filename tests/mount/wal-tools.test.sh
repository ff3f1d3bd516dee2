#!/bin/sh
# cp, tar, rsync and the filters work on wal.jsonl; rsync moves nothing twice, and only what is new after appends, also over a remount and
# without the cache; a reader that stats everything first gets what it was told.
# limit: 240
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal.sh
. "${CHROMAFS_LIB%/*}/helpers/wal.sh"

# all_wals: the paths of all of them, that of the root first; links are followed
all_wals() { (cd "$MNT" && find wal.jsonl collections -name wal.jsonl | sort -r); }

# assert_copy DIR: it has all of them, with sizes and times to the nanosecond
assert_copy() {
    for path in $(all_wals); do
        cmp "$MNT/$path" "$1/$path" >&2 || fail "$1/$path differs"
        assert_eq "$(stat -c '%s %.9Y' "$MNT/$path")" "$(stat -c '%s %.9Y' "$1/$path")" "size and time of $1/$path"
    done
}

# quietly COMMAND...: succeeds and says nothing
quietly() {
    "$@" >out 2>&1 || fail "$*: $(cat out)"
    assert_eq '' "$(cat out)" "output of $*"
}

sync_all() { rsync -a --include='*/' --include=wal.jsonl --exclude='*' "$@" "$MNT/collections" "$MNT/wal.jsonl" rsync/; }

# moves_nothing WHEN
moves_nothing() {
    assert_eq '' "$(sync_all --itemize-changes --omit-dir-times)" "what rsync moves $1"
    assert_eq '' "$(sync_all --itemize-changes --omit-dir-times --checksum)" "what rsync --checksum moves $1"
}

# moved COMMAND...: the paths that are another content for it
moved() { "$@" --itemize-changes --omit-dir-times | sed -n 's/^>f[^ ]* //p' | sort | tr '\n' ' '; }

with_cp() {
    quietly cp -a "$MNT" copied
    assert_copy copied
    quietly cp --sparse=always "$MNT/wal.jsonl" sparse
    cmp "$MNT/wal.jsonl" sparse >&2 || fail 'cp --sparse'
    quietly cp --reflink=auto --preserve=all "$MNT/wal.jsonl" updated
    dd if="$MNT/wal.jsonl" of=by-dd bs=777 status=none
    cmp "$MNT/wal.jsonl" by-dd >&2 || fail dd
}

with_tar() {
    for format in posix gnu; do
        mkdir "tar-$format"
        quietly tar -C "$MNT" --format="$format" -cf "$format.tar" wal.jsonl collections
        quietly tar -C "$MNT" --compare -f "$format.tar"
        quietly tar -C "tar-$format" -xpf "$format.tar"
    done
    assert_copy tar-posix
    cmp "$MNT/wal.jsonl" tar-gnu/wal.jsonl >&2 || fail 'tar --format=gnu'
    # An incremental archive has nothing the second time.
    quietly tar -C "$MNT" -g level -cf level-0.tar wal.jsonl collections
    quietly tar -C "$MNT" -g level --no-check-device -cf level-1.tar wal.jsonl collections
}

with_rsync() {
    mkdir rsync
    quietly sync_all
    assert_copy rsync
    moves_nothing 'at once'
    add_rows "$DIR" "$A" 5001 5010
    add_rows "$DIR" "$A" 5011 5011 "printf('%.*c', 1000000, 'x')"
    assert_eq "collections/space_l2/wal.jsonl wal.jsonl " "$(moved sync_all)" 'files that rsync moves after an append'
    assert_copy rsync
    moves_nothing 'after an append'
}

# Only what is new goes over the wire.
with_append() {
    add_rows "$DIR" "$B" 5021 5030
    expected=$(($(stat -L -c %s "$(wal_of "$B")") - $(stat -c %s rsync/collections/types/wal.jsonl)))
    sync_all --append-verify --stats --no-compress | tr -d ',' >stats || fail 'rsync --append-verify'
    sent=$(sed -n 's/^Literal data: \([0-9]*\) bytes/\1/p' stats)
    assert_eq $((2 * expected)) "$sent" 'bytes that rsync --append-verify sends'
    assert_copy rsync
    moves_nothing 'after --append-verify'
}

after_a_purge() {
    take_rows "$DIR" "$(of_collection "$A") AND seq_id < 5005"
    assert_eq "collections/space_l2/wal.jsonl wal.jsonl " "$(moved sync_all)" 'files that rsync moves after a purge'
    assert_copy rsync
    moves_nothing 'after a purge'
    # Less than before, and --append leaves it alone; the times differ, so that the next one does not.
    take_rows "$DIR" 'seq_id < 5005'
    quietly sync_all
    assert_copy rsync
}

after_remounts() {
    unmount
    mount_dir "$DIR" "$MNT"
    moves_nothing 'after a remount'
    unmount
    rm -r "$XDG_CACHE_HOME"
    mount_dir "$DIR" "$MNT"
    moves_nothing 'after a remount without the cache'
    rm -r "$XDG_CACHE_HOME"
    moves_nothing 'after the cache was removed under the mount'
}

filters() {
    wal_lines "$DIR" >expected
    assert_eq "$(stat -c %s "$MNT/wal.jsonl")" "$(wc -c <"$MNT/wal.jsonl")" 'wc -c'
    assert_eq "$(wc -l <expected)" "$(jq -e -s length "$MNT/wal.jsonl")" 'rows for jq'
    jq -r '[.seq_id, .operation, .id] | @tsv' "$MNT/wal.jsonl" >found
    sql "$DIR" 'SELECT seq_id, operation, id FROM embeddings_queue ORDER BY seq_id' | cmp - found >&2 || fail 'what jq finds'
    for command in 'head -n 1' 'tail -c 1000' 'tail -n 5' 'tail -c +100' 'sort -r' 'grep 50[01]5' 'sed -n 3p' tac sha256sum 'cut -c 1-50'; do
        $command <expected >by-command
        $command <"$MNT/wal.jsonl" | cmp - by-command >&2 || fail "$command"
    done
    split -b 100000 "$MNT/wal.jsonl" part.
    cat part.* | cmp - expected >&2 || fail split
    split -n l/3 "$MNT/wal.jsonl" lines.
    cat lines.* | cmp - expected >&2 || fail 'split by lines'
    cmp -n 500 -i 100:100 "$MNT/wal.jsonl" expected >&2 || fail 'cmp with a skip'
    gzip -c "$MNT/wal.jsonl" | gunzip | cmp - expected >&2 || fail gzip
}

# As a backup program does: looks at everything, and reads it later, in another order, from other processes. What was appended
# meanwhile is behind what was told.
told_first() {
    for path in $(all_wals); do
        echo "$(stat -c %s "$MNT/$path") $path"
    done >told
    cp -r rsync before
    add_rows "$DIR" "$A" 5101 5110
    add_rows "$DIR" "$B" 5111 5120
    sort -r told | while read -r size path; do
        head -c "$size" "$MNT/$path" | cmp - "before/$path" >&2 || fail "$path is not as it was told"
    done
}

copy_fixture chroma-1.5.9
A=$(id_of "$DIR" space_l2) B=$(id_of "$DIR" types)
change "$DIR" 'DELETE FROM embeddings_queue'
add_rows "$DIR" "$A" 4001 4400
add_rows "$DIR" "$B" 4401 4800
mount_settled "$DIR"
for part in with_cp with_tar with_rsync with_append after_a_purge after_remounts filters told_first; do
    note "$part"
    "$part"
done
