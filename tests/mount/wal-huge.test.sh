#!/bin/sh
# limit: 240
# A row of a hundred megabytes is shown as any other, from both ends and the middle, and the daemon's memory does not grow with it.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal.sh
. "${CHROMAFS_LIB%/*}/helpers/wal.sh"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

MILLIONS=100
[ "${FULL-}" != 1 ] || MILLIONS=500
ENOUGH=90000 # KiB: for one reader after the other
ENOUGH_AT_ONCE=200000 # for the six threads of wal_reads with their four files

repeated() { head -c "$2" /dev/zero | tr '\0' "$1"; }

# huge_row SEQ_ID METADATA VECTOR: SQL for both
huge_row() {
    change "$DIR" "INSERT INTO embeddings_queue VALUES ($1, '2024-05-06 07:08:09', 2, '$(topic_of "$A")', 'huge', $3, 'FLOAT32', $2)"
}

# line SEQ_ID: to its output, the line of such a row; metadata comes from text and base64 from vector, which are files
line() {
    printf '{"seq_id": %s, "created_at": "2024-05-06 07:08:09", "operation": 2, "topic": "%s", "id": "huge", "vector": "' "$1" "$(topic_of "$A")"
    cat vector
    printf '", "encoding": "FLOAT32", "metadata": "'
    cat text
    printf '"}\n'
}

# check: the whole is as expected, is read at random, and cost no memory
check() {
    assert_eq "$(stat -c %s expected)" "$(stat -L -c %s "$(wal_of "$A")")" "size with $1"
    cmp expected "$(wal_of "$A")" >&2 || fail "the bytes of $1"
    tail -c 100000 "$(wal_of "$A")" >end
    tail -c 100000 expected | cmp - end >&2 || fail "the end of $1"
    now=$(peak_kib)
    note "$1: $(stat -c %s expected) bytes, at most $now KiB, $first before"
    assert_growth "$ENOUGH" "$first" "$now"
}

check_random() {
    helper wal_reads "$(wal_of "$A")" expected 300 >&2 || fail 'at random places'
    now=$(peak_kib)
    note "at random places: at most $now KiB, $first before"
    assert_growth "$ENOUGH_AT_ONCE" "$first" "$now"
}

copy_fixture chroma-1.5.9
A=$(id_of "$DIR" space_l2)
change "$DIR" 'DELETE FROM embeddings_queue'
add_rows "$DIR" "$A" 1 3
mount_dir "$DIR" "$MNT"
cat "$MNT/wal.jsonl" >expected
first=$(peak_kib)

size=$((MILLIONS * 1000000))
huge_row 10 "printf('%.*c', $size, 'm')" "x'000000'"
printf AAAA >vector
repeated m "$size" >text
line 10 >>expected
check 'plain text'

# Two bytes become six, and no piece may cut them: they begin at odd places.
huge_row 11 "'x' || replace(hex(zeroblob($((size / 20)))), '00', 'ü')" "zeroblob($((size / 10)))"
groups=$((size / 30))
repeated A $((groups * 4)) >vector
printf '%s' "$(printf '%*s' $((size / 10 % 3)) '' | sed 's/^ $/AA==/; s/^  $/AAA=/')" >>vector
{ printf x && repeated u $((size / 20)) | sed 's/u/\\u00fc/g'; } >text
line 11 >>expected
check 'a large vector, and text that grows'

add_rows "$DIR" "$A" 12 20
wal_lines "$DIR" 'seq_id > 11' >>expected
check 'rows behind it'
note 'with the cache'
unmount
mount_dir "$DIR" "$MNT"
first=$(peak_kib)
check 'another mount'
check_random
