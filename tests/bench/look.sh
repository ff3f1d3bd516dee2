#!/bin/sh
# usage: tests/bench/look.sh
#
# Speed and memory of everything but wal.jsonl. Environment: see run.sh.
# shellcheck disable=SC2016  # backquotes of Markdown
set -eu
cd "$(dirname "$0")/../.."
. tests/bench/lib.sh
records=${RECORDS:-100000} dimension=${DIMENSION:-384} collections=${COLLECTIONS:-10000} list_limit=${LIST_LIMIT:-60}
topic=persistent://default/default/00000001-0000-4000-8000-000000000001
segment=00000002-0000-4000-8000-000000000001

# after_insert_ms PATH...: each cat follows a commit
after_insert_ms() {
    insert="INSERT INTO embeddings_queue(operation,topic,id,metadata) VALUES(1,'$topic','id-2','{}')"
    milliseconds 10 -N --prepare "sqlite3 $work/records/chroma.sqlite3 \"$insert\"" "cat $*"
}

# --- what is measured -----------------------------------------------------

first_answers() {
    for file in README info.json; do
        row_ms "mount to first \`cat $file\`" "$(milliseconds 10 --prepare "mountpoint -q $mnt && fusermount3 -u $mnt || :" \
            "$CHROMAFS $work/records $mnt && cat $mnt/$file")"
    done
    fusermount3 -u "$mnt"
}

infos() {
    root=$mnt/info.json one=$mnt/collections/records/info.json
    row_ms '`cat info.json`, nothing changed' "$(cat_ms "$root")"
    row_ms '`cat collections/…/info.json`, nothing changed' "$(cat_ms "$one")"
    both=$(cat_ms "$root" "$one")
    row_ms 'both with one `cat`' "$both"
    row_ms '`cat info.json` after an INSERT' "$(after_insert_ms "$root")"
    row_ms '`cat collections/…/info.json` after an INSERT' "$(after_insert_ms "$one")"
}

# A touched index must be read again.
labels() {
    level0=$work/records/$segment/data_level0.bin
    bytes=$(cat_ms "$level0")
    counted=$(milliseconds 5 -N --prepare "touch $level0" "cat $mnt/segments/$segment/labels")
    header=$(milliseconds 5 -N --prepare "touch $level0" "cat $mnt/segments/$segment/fragmentation")
    row_ms "\`cat data_level0.bin\` ($(du -m "$level0" | cut -f 1) MB), not through the mount" "$bytes"
    row_ms '`cat labels`, index changed' "$counted" "$(ratio "$counted" "$bytes") × reading the bytes"
    row_ms '`cat fragmentation`, index changed' "$header" "$(ratio "$header" "$bytes") × reading the bytes"
}

copies() {
    rsync -a "$mnt/" "$work/copy/"
    second=$(milliseconds 3 -N "rsync -a --stats $mnt/ $work/copy/")
    sent=$(rsync -a --stats "$mnt/" "$work/copy/" | sed -n 's/^Total transferred file size: \([0-9,]*\) bytes.*/\1/p')
    row_ms 'second `rsync -a` of the whole mount' "$second" "$sent bytes sent"
    rm -rf "$work/copy"
}

# Chroma may change what it opens, so that chops gets a copy.
compare_chops() {
    if [ ! -x "${CHOPS-}" ]; then
        row '`chops db info`' 'not measured' 'set CHOPS to a chops executable'
        return
    fi
    cp -a "$work/records" "$work/for-chops"
    theirs=$(milliseconds 3 -N "$CHOPS db info $work/for-chops")
    rm -rf "$work/for-chops"
    row_ms '`chops db info` of the same directory' "$theirs" "$(ratio "$theirs" "$both" | sed "s/\..*//") × \`cat\` of all info.json"
}

many_collections() {
    mount_dir "$work/collections"
    row_ms "\`cat info.json\` of $collections collections, first time" "$(once cat "$mnt/info.json")"
    row_ms "\`cat info.json\` of $collections collections, nothing changed" "$(cat_ms "$mnt/info.json")"
    row_ms "\`ls collections\` of $collections collections" "$(milliseconds 5 -N "ls $mnt/collections")"
    list_all
    row 'peak memory of the daemon' "$(peak_memory)"
    unmount
}

list_all() {
    start=$(date +%s%N)
    if timeout "$list_limit" ls -lR "$mnt/collections" >"$work/listing"; then
        row_ms "\`ls -lR\` of $collections collections" "$((($(date +%s%N) - start) / 1000000))" "$(wc -l <"$work/listing") lines"
    else
        row "\`ls -lR\` of $collections collections" "more than $list_limit s" "$(wc -l <"$work/listing") lines until then"
    fi
}

need hyperfine jq sqlite3 rsync
start_work
"$here/make_dir.sh" records "$base" "$work/records" "$records" "$dimension"
"$here/make_dir.sh" collections "$base" "$work/collections" "$collections"

say "$records records of $dimension dimensions in one collection"
say
row 'what' 'median' ''
row '---' '--:' '---'
first_answers
mount_dir "$work/records"
infos
labels
compare_chops
copies
row 'peak memory of the daemon' "$(peak_memory)"
unmount
say
say "$collections collections"
say
row 'what' 'time' ''
row '---' '--:' '---'
many_collections
