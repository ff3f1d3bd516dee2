#!/bin/sh
# Commit changes nothing that Chroma answers, apart from what Chroma itself had lost; nor does a clean after it, which then takes nearly all of the log. Chroma goes on: it adds 2,000 records, updates,
# deletes, persists, is started again, is committed again, and all of it is there.
# limit: 900
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

# answers DIR FILE: of a copy. lone and lone-updated are collections of one element, of which every release loses something (FORMAT 6.5).
answers() {
    rm -rf "$WORK/answers-copy"
    cp -a "$1" "$WORK/answers-copy"
    rm -rf "$WORK/answers-copy/.chromafs"
    chroma "$version" "$CHROMAFS_CHROMA/answers.py" "$WORK/answers-copy" >"$2.all"
    jq -S 'del(.collections[] | select(.name | test("^lone(-updated)?$")))' "$2.all" >"$2"
}

# lone FILE: the record of lone-updated
lone() { jq -c '[.collections[] | select(.name == "lone-updated").records[].embedding | arrays | .[] | . * 1000 | round]' "$1"; }

# operate LINE NAME: with the sentence if it fails
operate() { echo "$1" >"$MNT/$2" || fail "$2: $(cat "$MNT/last_error")"; }

# result FILTER: of the last commit
result() { sed '/^#/d' "$MNT/commit" | jq -c ".result | $1"; }

# committed: commits, and finds nothing to do the second time
committed() {
    mount_dir "$DIR" "$MNT"
    operate dry_run=1 commit
    result '[.committed, .left]' >"$WORK/planned"
    operate 1 commit
    assert_eq "$(cat "$WORK/planned")" "$(result '[.committed, .left]')"
    assert_eq '[0,0]' "$(result '[.left, .rejected]')"
    state "$DIR" | grep -v '[.]chromafs' >"$WORK/once"
    operate 1 commit
    assert_eq 0 "$(result .committed)"
    state "$DIR" | grep -v '[.]chromafs' | diff "$WORK/once" - >&2 || fail 'a commit with nothing to do has changed something'
    unmount
    assert_eq ok "$(sqlite3 "$DIR/chroma.sqlite3" 'PRAGMA integrity_check')"
}

cleaned() {
    mount_dir "$DIR" "$MNT"
    operate 1 clean
    unmount
}

# known FILE: without the vectors that Chroma did not have before: up to 0.5.3 it loses those that are added in the batch that deletes them (FORMAT 7)
known() {
    # shellcheck disable=SC2016  # a program of jq
    jq -S --slurpfile before "$WORK/before.json" '
        ([$before[0].collections[] | {key: .id, value: [.records[] | select(.embedding == null).id]}] | from_entries) as $lost |
        .collections |= map($lost[.id] as $ids | if $ids == [] then . else
            del(.missing, .neighbours) | .records |= map(if [.id] | inside($ids) then del(.embedding) else . end) end)' "$1"
}

# same FILE: the answers are those from before
same() {
    known "$WORK/before.json" >"$WORK/before.known"
    known "$1" >"$1.known"
    python3 "$CHROMAFS_CHROMA/hnsw_work.py" compare "$WORK/before.known" "$1.known"
    note "vectors that are missing: $(missing "$WORK/before.json"), then $(missing "$1")"
}

missing() { jq '[.collections[].records[] | select(.embedding == null)] | length' "$1"; }

# go_on: 0.5.6 to 0.5.12 purge rows of other collections, and so lose vectors by themselves
go_on() {
    [ "$version" != 0.5.11 ] || return 0
    chroma "$version" "$CHROMAFS_CHROMA/hnsw_work.py" work "$DIR" "$WORK/state.json"
    committed
    note "collections that went on: $(chroma "$version" "$CHROMAFS_CHROMA/hnsw_work.py" check "$DIR" "$WORK/state.json")"
    cleaned
    chroma "$version" "$CHROMAFS_CHROMA/hnsw_work.py" check "$DIR" "$WORK/state.json" >/dev/null
}

version=$(jq -r .chroma_version "$CHROMAFS_FIXTURES/chroma-$SUBJECT/truth.json")
copy_fixture "chroma-$SUBJECT"
answers "$DIR" "$WORK/before.json"
committed
answers "$DIR" "$WORK/committed.json"
same "$WORK/committed.json"
note "lone-updated: $(lone "$WORK/before.json.all") and $(lone "$WORK/committed.json.all")"
cleaned
answers "$DIR" "$WORK/cleaned.json"
same "$WORK/cleaned.json"
assert_eq "$(lone "$WORK/committed.json.all")" "$(lone "$WORK/cleaned.json.all")"
go_on
