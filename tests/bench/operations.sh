#!/bin/sh
# usage: tests/bench/operations.sh
#
# Speed and memory of the controls, written to as a user does, against programs that do the same without looking. They take turns, and each one's best
# time counts, since writing to disks is what other work of the machine disturbs most; beside it stands the time of the processor, which that hardly
# changes. Environment: see run.sh.
# shellcheck disable=SC2016  # backquotes of Markdown
set -eu
cd "$(dirname "$0")/../.."
. tests/bench/lib.sh
. tests/bench/worker.sh
rounds=${ROUNDS:-5} logs=${LOGS:-100000x32 1000000x32 100000x384} documents=${DOCUMENTS:-10000 100000} collections=${COLLECTIONS:-10000}
MAKE_LOG=$BENCH_PROGRAMS/make_log
export MAKE_LOG
topic=persistent://default/default/00000001-0000-4000-8000-000000000001

# --- clean ----------------------------------------------------------------

restore() {
    cp "$1/chroma.sqlite3" "$work/dir/"
    sync "$work/dir/chroma.sqlite3"
}

clean_round() {
    restore "$work/log"
    control ours clean 1
    [ "$(jq '.rows_deleted' "$work/result")" = "$(($1 - 1))" ] || {
        cat "$work/result" >&2
        exit 1
    }
    restore "$work/log"
    sample sqlite3 sqlite3 "$work/dir/chroma.sqlite3" "DELETE FROM embeddings_queue WHERE topic = '$topic' AND seq_id < $1; VACUUM"
    restore "$work/log"
    sample sqlite3_leaving sqlite3 "$work/dir/chroma.sqlite3" \
        "PRAGMA secure_delete=OFF; DELETE FROM embeddings_queue WHERE topic = '$topic' AND seq_id < $1; VACUUM"
    [ -x "${CHOPS-}" ] || return 0
    restore "$work/log"
    sample chops "$CHOPS" wal clean "$work/dir" -y
}

# clean ROWS DIMENSION
clean() {
    "$here/make_dir.sh" applied "$base" "$work/log" "$1" "$2"
    cp -r "$work/log" "$work/dir"
    start_times
    rm -rf "$work/watched"
    watched ours clean 1
    for _ in $(seq "$rounds"); do clean_round "$1"; done
    say "$1 rows of $2 dimensions, all but the last one go; the database has $(mib "$(stat -c %s "$work/log/chroma.sqlite3")"), load $(load)"
    say
    head_of 'what' 'best time'
    row_best '`echo 1 > clean`' ours "peak memory of the worker $(peak ours)"
    row_best '`sqlite3`, the same DELETE and VACUUM' sqlite3 "$(against sqlite3)"
    row_best '… with secure_delete off' sqlite3_leaving "$(against sqlite3_leaving)"
    [ ! -e "$work/times/chops" ] || row_best '`chops wal clean`' chops "$(against chops)"
    say
    rm -rf "$work/log" "$work/dir"
}

cleans() { for log in $logs; do clean "${log%x*}" "${log#*x}"; done; }

# --- many collections -----------------------------------------------------

# one_of_many COLLECTIONS
one_of_many() {
    "$here/make_dir.sh" applied "$base" "$work/log$1" $((collections * 20)) 32 "$1"
    size=$(stat -c %s "$work/log$1/chroma.sqlite3")
    mv "$work/log$1" "$work/dir"
    mkdir "$work/log$1"
    cp "$work/dir/chroma.sqlite3" "$work/log$1/"
    watched "of$1" clean 1
    for _ in $(seq "$rounds"); do
        restore "$work/log$1"
        control "of$1" clean 1
    done
    row_best "$((collections * 20)) rows of $1 collections" "of$1" \
        "peak memory of the worker $(peak "of$1"); read $(scans "of$1" "$size") × as much as the database has; $(jq '.kept' "$work/result") collections kept theirs"
    rm -rf "$work/log$1" "$work/dir"
}

many() {
    start_times
    rm -rf "$work/watched"
    head_of '`echo 1 > clean`' 'best time'
    one_of_many 1
    one_of_many $((collections / 10))
    one_of_many "$collections"
    say
}

# --- rebuild-fts ----------------------------------------------------------

bare_fts="BEGIN; DROP TABLE embedding_fulltext_search; CREATE VIRTUAL TABLE embedding_fulltext_search USING fts5(string_value, tokenize='trigram');
    INSERT INTO embedding_fulltext_search(rowid, string_value) SELECT id, string_value FROM embedding_metadata WHERE key = 'chroma:document';"

fts_round() {
    restore "$work/documents"
    control ours rebuild-fts 1
    restore "$work/documents"
    sample sqlite3 sqlite3 "$work/dir/chroma.sqlite3" "$bare_fts COMMIT"
    restore "$work/documents"
    sample sqlite3_checked sqlite3 "$work/dir/chroma.sqlite3" \
        "$bare_fts INSERT INTO embedding_fulltext_search(embedding_fulltext_search) VALUES('integrity-check'); COMMIT"
    [ -x "${CHOPS-}" ] || return 0
    restore "$work/documents"
    sample chops "$CHOPS" fts rebuild "$work/dir" -y
}

# fts DOCUMENTS
fts() {
    "$here/make_dir.sh" documents "$base" "$work/documents" "$1"
    cp -r "$work/documents" "$work/dir"
    start_times
    rm -rf "$work/watched"
    watched ours rebuild-fts 1
    for _ in $(seq "$rounds"); do fts_round; done
    bytes=$(sqlite3 "$work/dir/chroma.sqlite3" "SELECT sum(length(string_value)) FROM embedding_metadata WHERE key = 'chroma:document'")
    say "$1 documents of together $(mib "$bytes"), load $(load)"
    say
    head_of 'what' 'best time'
    row_best '`echo 1 > rebuild-fts`' ours "peak memory of the worker $(peak ours)"
    row_best '`sqlite3`: DROP, CREATE, INSERT … SELECT' sqlite3 "$(against sqlite3)"
    row_best "… and FTS5's integrity check before the COMMIT" sqlite3_checked "$(against sqlite3_checked)"
    [ ! -e "$work/times/chops" ] || row_best '`chops fts rebuild`' chops "$(against chops)"
    say
    rm -rf "$work/documents" "$work/dir"
}

# --- backup ---------------------------------------------------------------

sync_all() { find "$1" -exec sync {} +; }

copy_and_sync() { cp -r "$@" "$work/dir" "$work/copy" && sync_all "$work/copy"; }

# What a careful operator would do besides.
copy_and_look() {
    copy_and_sync --reflink=never && find "$work/copy" -type f -exec sha256sum {} + &&
        sqlite3 "$work/copy/chroma.sqlite3" 'PRAGMA integrity_check'
}

backup_round() {
    control ours backup "to=$work/copy"
    rm -rf "$work/copy"
    for way in auto never; do
        sample "$way" copy_and_sync --reflink="$way"
        rm -rf "$work/copy"
    done
    sample checked copy_and_look
    rm -rf "$work/copy"
}

# backup ROWS DIMENSION
backup() {
    "$here/make_dir.sh" applied "$base" "$work/dir" "$1" "$2"
    sync_all "$work/dir"
    start_times
    rm -rf "$work/watched"
    watched ours backup "to=$work/copy"
    rm -rf "$work/copy"
    for _ in $(seq "$rounds"); do backup_round; done
    size=$(du -sb "$work/dir" | cut -f 1)
    say "A directory of $(mib "$size"), $1 rows of $2 dimensions on $(stat -f -c %T "$work"), load $(load)"
    say
    head_of 'what' 'best time'
    row_best '`echo to=… > backup`' ours "peak memory of the worker $(peak ours)"
    row_best '`cp -r` and sync' auto "$(against auto)"
    row_best '`cp -r --reflink=never` and sync' never "$(against never)"
    row_best '… and `sha256sum` of each file and `PRAGMA integrity_check`' checked "$(against checked)"
    say
    rm -rf "$work/dir"
}

need sqlite3 jq
start_work
for part in ${OPERATIONS:-clean many fts backup}; do
    case $part in
    clean) cleans ;;
    many) many ;;
    fts) for count in $documents; do fts "$count"; done ;;
    backup) for log in $logs; do backup "${log%x*}" "${log#*x}"; done ;;
    esac
done
