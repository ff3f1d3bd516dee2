#!/bin/sh
# The process of an operation, and the daemon with it, are killed in the middle, in each phase: the directory is the old one or the new one, the next
# mount tidies, and the operation then comes to its end. FULL=1 kills both in every phase.
# limit: 300
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"
# shellcheck source=tests/mount/helpers/control_load.sh
. "${CHROMAFS_LIB%/*}/helpers/control_load.sh"

# old_or_new DIR: everything that may be one of two, a line each; a hot journal is rolled back in a copy
old_or_new() {
    rm -rf looked
    cp -a "$1" looked
    sqlite3 looked/chroma.sqlite3 'SELECT count(*) FROM embeddings_queue' >/dev/null
    assert_sound looked
    fulltext_is_sound looked
    case $2 in
    clean) echo "$(records_of looked) $(documents_of looked)" ;;
    rebuild-fts) echo "$(records_of looked) $(sql looked 'SELECT count(*), min(seq_id), max(seq_id) FROM embeddings_queue')" ;;
    clean-orphans) echo "$(sql looked "SELECT count(*) FROM embeddings WHERE embedding_id NOT LIKE 'orphan-%'") $(sql looked 'SELECT count(*), min(seq_id), max(seq_id) FROM embeddings_queue')" ;;
    *) logical_state "$1" | grep -v ' [.]$' ;;
    esac
}

# changed DIR CONTROL: what the operation changes, as a word: of the two that may be, one
changed() {
    case $2 in
    clean) rows_of_log "$1" ;;
    rebuild-fts) echo "$(documents_of "$1") $(sql "$1" "SELECT sql FROM sqlite_master WHERE name = 'embedding_fulltext_search'")" ;;
    clean-orphans) sql "$1" "SELECT count(*) FROM embeddings WHERE embedding_id LIKE 'orphan-%'" ;;
    *) echo - ;;
    esac
}

is_tidy() { [ ! -d "$DIR/.chromafs/stage" ] || [ -z "$(ls -A "$DIR/.chromafs/stage")" ]; }

# No directory is lost on its way to the trash.
directories_of() { find "$1" -type d -name '0b0b0b0b-*' | sed 's|.*/||' | sort; }

# crash HOW CONTROL LINE PHASE
crash() {
    rm -rf crashed
    cp -a "$DIR" crashed
    ours=$DIR DIR=$WORK/crashed
    mount_dir "$DIR" "$MNT"
    start_writer "$2" "$3"
    if ! reach "$4"; then
        note "$2 was done before it was $4"
    elif [ "$1" = worker ]; then
        kill -KILL "$WORKER"
        end_writer 1 "$(errno_text EIO)"
        assert_said "$2: "
        unmount
    else
        kill_daemon "$MNT"
        wait "$WRITER" 2>/dev/null || :
        go_on
        wait_until worker_is_gone
    fi
    ! mountpoint -q "$MNT" || unmount
    judge "$1, $2, $4"
    DIR=$ours
}

worker_is_gone() { ! kill -0 "$WORKER" 2>/dev/null; }

judge() {
    assert_eq "$kept" "$(old_or_new "$DIR" "$CONTROL")" "what must stay, after $1"
    now=$(changed looked "$CONTROL")
    [ "$now" = "$old" ] || [ "$now" = "$new" ] || fail "neither the old nor the new state after $1: $now"
    [ "$now" = "$old" ] && now='the old state' || now='the new state'
    note "$1: $now"
    assert_eq "$directories" "$(directories_of "$DIR")" "directories after $1"
    mount_dir "$DIR" "$MNT"
    wait_until is_tidy
    put "$MNT/$CONTROL" "$LINE" || fail "$CONTROL again, after $1: $(cat "$MNT/last_error")"
    unmount
    assert_eq "$new" "$(changed "$DIR" "$CONTROL")" "the new state, after $1 and again"
    assert_eq "$kept" "$(old_or_new "$DIR" "$CONTROL")" "what must stay, after $1 and again"
    assert_eq "$directories" "$(directories_of "$DIR")" "directories after $1 and again"
}

# crash_in CONTROL LINE PHASE...: the worker in the first one, the daemon in the second one
crash_in() {
    CONTROL=$1 LINE=$2
    shift 2
    rm -rf finished
    cp -a "$DIR" finished
    mount_dir "$WORK/finished" "$MNT"
    put "$MNT/$CONTROL" "$LINE" || fail "$CONTROL: $(cat "$MNT/last_error")"
    unmount
    kept=$(old_or_new "$DIR" "$CONTROL") old=$(changed "$DIR" "$CONTROL") new=$(changed "$WORK/finished" "$CONTROL")
    directories=$(directories_of "$DIR")
    [ "$old" != "$new" ] || fail "$CONTROL changes nothing"
    assert_eq "$kept" "$(old_or_new "$WORK/finished" "$CONTROL")" "what must stay, after $CONTROL"
    crash worker "$CONTROL" "$LINE" "$1"
    crash daemon "$CONTROL" "$LINE" "$2"
    [ "${FULL-}" = 1 ] || return 0
    for phase in "$@"; do
        for how in worker daemon; do crash "$how" "$CONTROL" "$LINE" "$phase"; done
    done
}

crash_in_backup() {
    before=$(logical_state "$DIR" | sha256sum)
    head -c 50M /dev/zero >"$DIR/large"
    for how in worker daemon; do
        rm -rf targets
        mkdir targets
        mount_dir "$DIR" "$MNT"
        start_writer backup "to=$WORK/targets/copy"
        reach "$1" || fail "backup was done before it was $1"
        if [ "$how" = worker ]; then kill -KILL "$WORKER" && end_writer 1 && unmount; else kill_daemon "$MNT" && go_on && wait_until worker_is_gone; fi
        wait "$WRITER" 2>/dev/null || :
        [ ! -e targets/copy ] || fail 'half a backup has its name'
        mount_dir "$DIR" "$MNT"
        put "$MNT/backup" "to=$WORK/targets/copy" || fail "backup again: $(cat "$MNT/last_error")"
        unmount
        assert_eq copy "$(ls -A targets)" 'what there is beside the backup'
        assert_sound targets/copy
        cmp "$DIR/large" targets/copy/large
    done
    rm "$DIR/large"
    rm -rf targets "$DIR/.chromafs"
    touch -r "$CHROMAFS_FIXTURES/chroma-1.5.9/dir" "$DIR"
    assert_eq "$before" "$(logical_state "$DIR" | sha256sum)" 'the directory after backups that were killed'
}

copy_fixture chroma-1.5.9
fill_log "$DIR" 15000
fill_orphans "$DIR" 2000 3
fill_documents "$DIR" 3000
crash_in_backup "copying files"
crash_in clean 1 deleting vacuum 'checking the log'
crash_in rebuild-fts tokenizer=unicode61 indexing checking looking dropping committing
crash_in clean-orphans 1 moving committing copying deleting
