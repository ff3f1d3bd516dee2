#!/bin/sh
# cat, jq, rsync and tail -f read the mount during every operation: none sees an error but those that are documented (rows that were purged, orphans that
# went), the operations succeed, and at once every file shows the new state.
# limit: 90
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"
# shellcheck source=tests/mount/helpers/control_load.sh
. "${CHROMAFS_LIB%/*}/helpers/control_load.sh"

# --- readers --------------------------------------------------------------

# repeat NAME COMMAND...: until the file `stop` is there; errors go to NAME.errors
repeat() {
    repeat_name=$1
    shift
    : >"$repeat_name.errors"
    until [ -e stop ]; do
        "$@" >/dev/null 2>>"$repeat_name.errors" || :
        echo >>"$repeat_name.rounds"
    done
}

read_all() { find "$MNT" -type f -not -name wal.jsonl -exec cat {} +; }

parse_all() {
    for parsed in info.json status.json collections/types/info.json; do
        jq -e 'type == "object"' "$MNT/$parsed" || echo "$parsed is no object" >&2
    done
    ! grep -v '^#' "$MNT/clean" | jq . | grep -q '^jq' || echo 'clean is no JSON' >&2
    jq . "$MNT/history.jsonl"
}

read_log() {
    cat "$MNT/wal.jsonl" >log.read
    head -n "$(wc -l <log.read)" log.read | jq -e -n 'reduce inputs as $row (0; if $row.seq_id > . then $row.seq_id else error("not in order") end)'
}

copy_all() { timeout 60 rsync -a "$MNT/" copy/; }

follow() { timeout 1 tail -n 3 -s 0.1 -f "$MNT/wal.jsonl"; }

start_readers() {
    rm -f stop
    mkdir -p copy
    READERS=
    for reader in read_all parse_all read_log copy_all follow; do
        repeat "$reader" "$reader" &
        READERS="$READERS $!"
    done
}

stop_readers() {
    touch stop
    # shellcheck disable=SC2086  # a list of numbers
    wait $READERS
}

# check_reader NAME ALLOWED: the errors of it, but for a pattern; and that it came through at all
check_reader() {
    note "$1: $(wc -l <"$1.rounds") rounds, $(wc -l <"$1.errors") errors"
    ! grep -vE "$2" "$1.errors" >"$1.wrong" || fail "$1: $(head -n 5 "$1.wrong")"
}

# --- what there is after each ---------------------------------------------

# operate CONTROL LINE
operate() {
    put "$MNT/$1" "$2" || fail "$1: $(cat "$MNT/last_error")"
    runs=$((runs + 1))
    assert_eq "$runs" "$(wc -l <"$MNT/history.jsonl")" "lines of the history after $1"
    name=${1##*/}
    case $1 in
    *config/*) name=configure ;;
    esac
    assert_eq "[null,\"$name\",\"done\"]" "$(status '[.running, .last.operation, .last.status] | tojson')" "status.json after $1"
    assert_eq '' "$(cat "$MNT/last_error")" "last_error after $1"
}

assert_log() { assert_eq "$(rows_of_log "$DIR")" "$(wc -l <"$MNT/wal.jsonl")" "lines of wal.jsonl after $1"; }

assert_documents() { assert_eq "$1" "$(cat "$MNT/config/fts_tokenizer")" 'tokenizer in force'; }

copy_fixture chroma-1.5.9
runs=0
mount_dir "$DIR" "$MNT"
fill_log "$DIR" 20000
fill_documents "$DIR" 4000
fill_orphans "$DIR" 500 3
start_readers
for tokenizer in unicode61 trigram; do
    operate rebuild-fts "tokenizer=$tokenizer"
    assert_documents "$tokenizer"
done
assert_log rebuild-fts
operate backup "to=$WORK/backup"
operate clean-orphans 1
assert_eq '' "$(ls "$MNT/orphans")" 'orphans after clean-orphans'
jq -r '.problems[].code' "$MNT/info.json" | grep -qF orphan && fail 'info.json tells of orphans after clean-orphans'
for value in false true; do
    operate config/automatically_purge "$value"
    assert_eq "$value" "$(cat "$MNT/config/automatically_purge")" automatically_purge
done
operate collections/types/config/ef_search 101
assert_eq 101 "$(cat "$MNT/collections/types/config/ef_search")" ef_search
operate clean 1
assert_log clean
[ "$(rows_of_log "$DIR")" -lt 1000 ] || fail 'clean has deleted nothing'
stop_readers
check_reader read_all "/orphans/.*($(errno_text ENOENT)|$(errno_text ESTALE)|$(errno_text ENOTDIR))"
check_reader parse_all '^$'
check_reader read_log "$(errno_text ESTALE)"
check_reader copy_all "orphans|$(errno_text ESTALE)|^rsync error: (some files|.*vanished)|^file has vanished"
check_reader follow "$(errno_text ESTALE)|file truncated|has been replaced|no files remaining|has become inaccessible"

# --- what was open before -------------------------------------------------

# hold CONTROL LINE FILE: open during the operation, it shows what was there before
hold() {
    wait_measured
    cp "$MNT/$3" old
    helper hold_file "$MNT/$3" old bash -c "echo '$2' > '$MNT/$1'" || fail "$3 beside $1"
}

fill_log "$DIR" 100
hold clean 1 info.json
fill_orphans "$DIR" 10 1
hold clean-orphans 1 info.json
hold collections/types/config/ef_search 88 collections/types/info.json
assert_same_file "$MNT/history.jsonl" "$DIR/.chromafs/history.jsonl"
wait_until is_settled "$DIR"
wait_measured
copy_all
assert_eq '' "$(rsync -an --itemize-changes "$MNT/" copy/ | grep '^>f' | grep -v status.json || :)" 'what rsync copies again'
assert_sound "$DIR"
