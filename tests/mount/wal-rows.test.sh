#!/bin/sh
# Rows as no Chroma writes them: values of every storage class in every column, NUL and bytes that are no UTF-8, seq_ids at the ends of
# their range, topics of nobody. Each becomes the line that Python would make of it (tests/chroma/wal.sh compares many more with Python).
# limit: 240
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal.sh
. "${CHROMAFS_LIB%/*}/helpers/wal.sh"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

# row VALUES LINE: a row with these SQL values for seq_id, created_at, operation, topic, id, vector, encoding, metadata; its line. In
# both, TOPIC stands for the topic of A.
row() {
    number=$((number + 1))
    printf '%s\n' "$1" | sed "s|TOPIC|'$(topic_of "$A")'|; s|^|INSERT INTO embeddings_queue VALUES (|; s|\$|);|" >>statements
    printf '%s\n' "$2" | sed "s|TOPIC|\"$(topic_of "$A")\"|" >>expected
}

# Texts: what JSON escapes, what is no UTF-8, byte by byte, and a NUL in the middle and at the end.
texts() {
    row "1, '2024-01-01 00:00:00', 0, TOPIC, 'a\"b\\c/d', NULL, NULL, NULL" \
        '{"seq_id": 1, "created_at": "2024-01-01 00:00:00", "operation": 0, "topic": TOPIC, "id": "a\"b\\c/d", "vector": null, "encoding": null, "metadata": null}'
    row "2, 'x', 0, TOPIC, CAST(x'00010807090a0b0c0d1b1f207e7f' AS TEXT), NULL, NULL, NULL" \
        '{"seq_id": 2, "created_at": "x", "operation": 0, "topic": TOPIC, "id": "\u0000\u0001\b\u0007\t\n\u000b\f\r\u001b\u001f ~\u007f", "vector": null, "encoding": null, "metadata": null}'
    row "3, 'x', 0, TOPIC, 'äß€😀', NULL, NULL, NULL" \
        '{"seq_id": 3, "created_at": "x", "operation": 0, "topic": TOPIC, "id": "\u00e4\u00df\u20ac\ud83d\ude00", "vector": null, "encoding": null, "metadata": null}'
    row "4, CAST(x'ff00' AS TEXT), 0, TOPIC, CAST(x'c080eda080f4908080e282' AS TEXT), NULL, CAST(x'c3' AS TEXT), CAST(x'e282ac80c3a4ff' AS TEXT)" \
        '{"seq_id": 4, "created_at": "\udcff\u0000", "operation": 0, "topic": TOPIC, "id": "\udcc0\udc80\udced\udca0\udc80\udcf4\udc90\udc80\udc80\udce2\udc82", "vector": null, "encoding": "\udcc3", "metadata": "\u20ac\udc80\u00e4\udcff"}'
    row "5, '', 0, TOPIC, '', '', '', ''" \
        '{"seq_id": 5, "created_at": "", "operation": 0, "topic": TOPIC, "id": "", "vector": "", "encoding": "", "metadata": ""}'
}

# Numbers are numbers, and blobs are base64, wherever they stand. The columns' affinities turn some into others before they are stored.
classes() {
    row "11, 5, -7, TOPIC, x'00', x'', x'ff', x'0102'" \
        '{"seq_id": 11, "created_at": 5, "operation": -7, "topic": TOPIC, "id": "AA==", "vector": "", "encoding": "/w==", "metadata": "AQI="}'
    row "12, 1.5, 'no number', TOPIC, 3, 4, 5, 6" \
        '{"seq_id": 12, "created_at": 1.5, "operation": "no number", "topic": TOPIC, "id": "3", "vector": 4, "encoding": "5", "metadata": "6"}'
    row "13, 9e999, -9e999, TOPIC, 'x', 0.1, NULL, NULL" \
        '{"seq_id": 13, "created_at": Infinity, "operation": -Infinity, "topic": TOPIC, "id": "x", "vector": 0.1, "encoding": null, "metadata": null}'
    row "14, 1e22, 9223372036854775807, TOPIC, 'x', -9223372036854775808, NULL, NULL" \
        '{"seq_id": 14, "created_at": 1e+22, "operation": 9223372036854775807, "topic": TOPIC, "id": "x", "vector": -9223372036854775808, "encoding": null, "metadata": null}'
    row "15, 5e-324, 1.7976931348623157e308, TOPIC, 'x', -0.0, NULL, NULL" \
        '{"seq_id": 15, "created_at": 5e-324, "operation": 1.7976931348623157e+308, "topic": TOPIC, "id": "x", "vector": -0.0, "encoding": null, "metadata": null}'
    row "16, 123456789012345680.0, 2.5, TOPIC, 'x', 1e16, NULL, NULL" \
        '{"seq_id": 16, "created_at": 123456789012345680, "operation": 2.5, "topic": TOPIC, "id": "x", "vector": 1e+16, "encoding": null, "metadata": null}'
    row "17, 'x', x'6f70', TOPIC, 'x', x'00000000', 'x', 'x'" \
        '{"seq_id": 17, "created_at": "x", "operation": "b3A=", "topic": TOPIC, "id": "x", "vector": "AAAAAA==", "encoding": "x", "metadata": "x"}'
    row "18, 'x', 1, TOPIC, 'x', x'0000803f00', 'FLOAT32', '{}'" \
        '{"seq_id": 18, "created_at": "x", "operation": 1, "topic": TOPIC, "id": "x", "vector": "AACAPwA=", "encoding": "FLOAT32", "metadata": "{}"}'
    row "19, 'x', 1, TOPIC, 'x', 'text', 'FLOAT32', '{}'" \
        '{"seq_id": 19, "created_at": "x", "operation": 1, "topic": TOPIC, "id": "x", "vector": "text", "encoding": "FLOAT32", "metadata": "{}"}'
}

seq_ids() {
    for seq_id in -9223372036854775808 -9223372036854775807 -1 0 2147483648 9223372036854775806 9223372036854775807; do
        row "$seq_id, 'x', 3, TOPIC, 'x', NULL, NULL, NULL" \
            '{"seq_id": '"$seq_id"', "created_at": "x", "operation": 3, "topic": TOPIC, "id": "x", "vector": null, "encoding": null, "metadata": null}'
    done
}

# In the root's alone. The last two have the id of A, but not behind a '/' of a text.
strangers() {
    for topic in "'' \"\"" "'x' \"x\"" "'persistent://default/default/' \"persistent://default/default/\"" "'/' \"/\"" \
        "'persistent://default/default/00000000-0000-4000-8000-000000000000' \"persistent://default/default/00000000-0000-4000-8000-000000000000\"" \
        "x'2f' \"Lw==\"" "'$A' \"$A\"" "x'00' \"AA==\"" "'$(topic_of "$A")/' \"$(topic_of "$A")/\"" \
        "printf('%.*c',2000,'t')||'/$A' \"$(printf '%2000s' '' | tr ' ' t)/$A\"" \
        "'$(topic_of "$A")'||char(0) \"$(topic_of "$A")\\u0000\""; do
        stranger=$((stranger + 1))
        row "$((100 + stranger)), 'x', 3, ${topic%% *}, 'x', NULL, NULL, NULL" \
            "$(printf '{"seq_id": %s, "created_at": "x", "operation": 3, "topic": %s, "id": "x", "vector": null, "encoding": null, "metadata": null}' "$((100 + stranger))" "${topic#* }")"
    done
}

# assert_lines: both files are what is expected, in the order of the seq_ids
assert_lines() {
    sed 's/^{"seq_id": \(-*[0-9]*\),.*/\1/' expected | paste - expected | sort -n -k1,1 | cut -f 2- >sorted
    cat "$MNT/wal.jsonl" >shown || fail 'the log can not be read'
    diff sorted shown >&2 || fail 'lines'
    assert_eq "$(wc -c <sorted)" "$(stat -c %s "$MNT/wal.jsonl")" size
    assert_eq "$number" "$(wc -l <sorted)" 'rows of this test'
    grep -F "\"topic\": \"$(topic_of "$A")\"" sorted >of-a
    cmp of-a "$(wal_of "$A")" >&2 || fail 'the lines of the collection'
    helper wal_reads "$MNT/wal.jsonl" sorted 600 >&2 || fail 'at random places'
}

number=0 stranger=0
copy_fixture chroma-1.5.9
A=$(id_of "$DIR" space_l2)
change "$DIR" 'DELETE FROM embeddings_queue'
texts
classes
seq_ids
strangers
change "$DIR" "$(cat statements)"
mount_dir "$DIR" "$MNT"
assert_lines
note 'with the cache'
unmount
mount_dir "$DIR" "$MNT"
assert_lines
assert_readable_but ''
note 'behind the greatest seq_id there is no other: SQLite gives any that is free'
for n in 1 2 3; do
    change "$DIR" "INSERT INTO embeddings_queue (operation, topic, id) VALUES (3, '$(topic_of "$A")', 'later-$n')"
    assert_eq $((number + n)) "$(wc -l <"$MNT/wal.jsonl")" 'rows with a late one'
    ask "$DIR" 'SELECT seq_id FROM embeddings_queue ORDER BY seq_id' >order
    sed 's/^{"seq_id": \(-*[0-9]*\),.*/\1/' "$MNT/wal.jsonl" | cmp - order >&2 || fail 'the order of the rows'
done
change "$DIR" 'DELETE FROM embeddings_queue'
assert_eq 0 "$(stat -c %s "$MNT/wal.jsonl")" 'size of an empty log'
