#!/bin/sh
# Rows that can't be applied stand in rejected.jsonl as they stood in wal.jsonl, byte for byte, each once, before anything is cleaned; and info.json tells of them until somebody has moved the file.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"

# last FILTER CONTROL: of its last run
last() { sed '/^#/d' "$2" | jq -r ".result | $1"; }

# append COLUMNS: operation, id, vector, encoding and metadata, as SQL, of a row of the collection; v is a vector that fits
append() {
    change "$DIR" "INSERT INTO embeddings_queue (created_at, topic, operation, id, vector, encoding, metadata)
        SELECT '2026-01-01 00:00:00', topic, $1 FROM (SELECT topic, vector AS v FROM embeddings_queue
            WHERE vector IS NOT NULL AND encoding = 'FLOAT32' AND topic LIKE '%' || (SELECT id FROM collections WHERE name = 'types') LIMIT 1)"
}

append_all() {
    append "9, 'operation', v, 'FLOAT32', '{}'"
    append "'add', 'operation in words', v, 'FLOAT32', '{}'"
    append "0, 'short', x'00000000', 'FLOAT32', '{\"a\": 1}'"
    append "0, 'odd', x'000000', 'FLOAT32', '{}'"
    append "0, 'large', zeroblob(3000000), 'FLOAT32', '{}'"
    append "0, 'no encoding', v, NULL, '{}'"
    append "0, 'other encoding', v, 'FLOAT64', '{}'"
    append "0, 'no blob', 'text', 'FLOAT32', '{}'"
    append "0, 'no JSON', v, 'FLOAT32', '{oops'"
    append "0, 'control character', v, 'FLOAT32', '{\"a\": \"' || char(1) || '\"}'"
    append "0, 'no UTF-8 ' || CAST(x'80ff' AS TEXT), v, 'FLOAT32', CAST(x'7b2261223a2022ff227d' AS TEXT)"
}

rejected=.chromafs/rejected.jsonl
for fixture in chroma-0.4.24 chroma-0.6.3 chroma-1.5.9-nopurge; do
    copy_fixture "$fixture"
    append_all
    mount_dir "$DIR" "$MNT"
    assert_eq 0 "$(jq '[.problems[] | select(.code == "rejected_rows")] | length' "$MNT/info.json")" "problems before"
    tail -n 11 "$MNT/wal.jsonl" >"$WORK/expected"
    put "$MNT/commit" dry_run=1
    assert_eq 11 "$(last .rejected "$MNT/commit")" 'rows that a dry run rejects'
    assert_errno EILSEQ put "$MNT/commit" strict=1
    [ ! -e "$DIR/$rejected" ] || fail 'nothing was applied, and rows are kept as if it was'
    put "$MNT/commit" 1
    assert_eq "11 $rejected" "$(last '"\(.rejected) \(.rejected_file)"' "$MNT/commit")" 'what the result says'
    assert_same_file "$WORK/expected" "$DIR/$rejected"
    assert_eq '1 null' "$(jq -r '[.problems[] | select(.code == "rejected_rows")] | "\(length) \(.[0].command)"' "$MNT/info.json")" 'problems'
    put "$MNT/commit" 1
    put "$MNT/clean" 1
    assert_eq 0 "$(last .rejected "$MNT/commit")" 'rows that are rejected again'
    assert_same_file "$WORK/expected" "$DIR/$rejected"
    assert_eq 600 "$(stat -c %a "$DIR/$rejected")" 'mode'
    before=$(stat -c %Y "$MNT/info.json")
    mv "$DIR/$rejected" "$WORK/seen"
    assert_eq 0 "$(jq '[.problems[] | select(.code == "rejected_rows")] | length' "$MNT/info.json")" 'problems when the file was moved away'
    [ "$(stat -c %Y "$MNT/info.json")" -ge "$before" ] || fail 'the time of info.json went back'
    unmount
    assert_sound "$DIR"
done
