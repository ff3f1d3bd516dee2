#!/bin/sh
# Chroma writes to a mounted directory while readers read all of it: the writer never fails, every info.json is whole, and is
# exact whenever nobody writes; in the end it says what Chroma says.
# limit: 300
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

# repeat NAME COMMAND...: until the file stop is there; errors go to NAME.errors
repeat() {
    repeat_name=$1
    shift
    until [ -e "$WORK/stop" ]; do "$@" >/dev/null 2>>"$WORK/$repeat_name.errors" || :; done
}

read_labels() { cat "$MNT"/segments/*/labels; }

read_config() { cat "$MNT"/collections/*/config/*; }

copy_files() {
    rm -rf "$WORK/copied"
    mkdir "$WORK/copied"
    for segment in "$MNT"/segments/*; do
        [ ! -d "$segment/files" ] || cp -r "$segment/files" "$WORK/copied/$(basename "$segment")" || :
    done
}

copy_mount() {
    rm -rf "$WORK/whole"
    cp -r "$MNT" "$WORK/whole"
}

# changing: what tells of the collections that the writer changes, as a pattern of paths; they are there from now on. Every info.json
# changes, since it says whether its counts are exact, and while someone writes they often are not; the root's wal.jsonl is another file after a purge.
changing() {
    printf '%s/(.*info[.]json|wal[.]jsonl.*(%s|replaced while being copied)|collections/live-[0-9]/' "$MNT" "$(errno_text ESTALE)"
    find "$MNT"/collections/live-*/segments -type l -printf '|segments/%f/'
    echo ')'
}

start_readers() {
    rm -f "$WORK/stop"
    changing=$(changing)
    python3 "$CHROMAFS_CHROMA/reader.py" "$MNT" "$WORK/stop" >"$WORK/info.log" 2>&1 &
    info_reader=$!
    repeat ls ls -lR "$MNT" &
    readers=$!
    repeat config read_config &
    readers="$readers $!"
    repeat labels read_labels &
    readers="$readers $!"
    repeat files copy_files &
    readers="$readers $!"
    repeat mount copy_mount &
    readers="$readers $!"
}

# errors NAME ALLOWED: those of that reader, but for a pattern; true if there are any
errors() {
    echo "$1: $(wc -l <"$WORK/$1.errors") errors"
    grep -vE "$2" "$WORK/$1.errors" >"$WORK/$1.wrong" && {
        wc -l <"$WORK/$1.wrong"
        head -n 10 "$WORK/$1.wrong"
    }
}

# Chroma writes the files of an index in place: one can be gone, or another than it was, and all of them together be no
# index for that moment. Everything else can always be read: $status tells.
stop_readers() {
    touch "$WORK/stop"
    status=0
    wait "$info_reader" || status=$?
    tail -n 25 "$WORK/info.log"
    # shellcheck disable=SC2086  # a list of numbers
    wait $readers
    ! errors ls "/files/.*$(errno_text ENOENT)" || status=1
    ! errors config '^$' || status=1
    ! errors labels "/labels: ($(errno_text EILSEQ)|$(errno_text EIO))$" || status=1
    ! errors files "/files/.*($(errno_text ENOENT)|$(errno_text ESTALE)|replaced while being copied)" || status=1
    ! errors mount "$changing" || status=1
}

exact_all_the_time() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        all_exact || fail 'not exact while nobody writes'
    done
}

copy_fixture "chroma-$SUBJECT"
mount_dir "$DIR" "$MNT"
settle
exact_all_the_time
told=$(chroma "$SUBJECT" "$CHROMAFS_CHROMA/writer.py" "$DIR" 10)
note "mounted, no readers: $told"
settle
exact_all_the_time

start_readers
told=$(chroma "$SUBJECT" "$CHROMAFS_CHROMA/writer.py" "$DIR" 25)
note "with readers: $told"
stop_readers
truth "$SUBJECT" "$DIR" "$WORK/truth.json"
agrees "$WORK/truth.json"
exact_all_the_time
[ "$status" -eq 0 ] || fail 'something could not be read while Chroma wrote'
