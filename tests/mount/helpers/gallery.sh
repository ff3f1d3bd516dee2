# Many damaged indexes in one directory, so that one mount shows them all. Source it after damage.sh. A test writes a plan, a line an
# index, and then lets it be made and looked at:
#     variant damaged header.bin 'header.bin cut 57'
#     gallery_make COLLECTION && gallery_check
# shellcheck shell=sh

GALLERY_VECTOR=00000000-0000-4000-b000
# What a value of a damaged index may fail with.
GALLERY_ALLOWED="$(errno_text EILSEQ)|$(errno_text EIO)|$(errno_text ENOENT)|File too large"

# variant EXPECTED TEXT DAMAGE: one more line of the plan. Expected is a list with commas:
#     damaged     the collection has the problem index_damaged, with the text in its sentence
#     well        it has no problem
#     CODE        it has that problem
#     root        the info.json of the root lists index_damaged with the text for it, too
#     any         it can be looked at
# Damage is `FILE ACTION ARGUMENT`, or several with `;` between them:
#     cut SIZE    or made larger, with nothing in it
#     poke AT HEX
#     add TEXT    at the end
#     noise       in the whole file, the same every time
#     copy PATH   the content of another file
variant() {
    printf '%s|%s|%s\n' "$1" "$2" "$3" >>"$WORK/plan"
}

# --- making them ----------------------------------------------------------

# copies TABLE CONDITION SETTINGS: SQL for a copy of those rows for each row of the table n, with some columns set; x is its number
copies() {
    echo "CREATE TEMP TABLE copy AS SELECT n.x, original.* FROM n, $1 AS original WHERE $2;
        UPDATE copy SET $3;
        ALTER TABLE copy DROP COLUMN x;
        INSERT INTO main.$1 SELECT * FROM copy;
        DROP TABLE copy;"
}

id_of() { echo "printf('$1-%012d', x)"; }

# copies_of_segment ID NEW_ID: with its position and records
copies_of_segment() {
    copies segments "id = '$1'" "id = $2, collection = $new"
    copies max_seq_id "segment_id = '$1'" "segment_id = $2"
    copies embeddings "segment_id = '$1'" "id = NULL, segment_id = $2"
}

# gallery_rows COLLECTION COUNT: SQL. A record that is in the log alone has its vector there: the log is copied, too, and is applied.
gallery_rows() {
    old=$(sql_value "SELECT id FROM collections WHERE name = '$1'")
    new=$(id_of 00000000-0000-4000-a000) vector=$(id_of "$GALLERY_VECTOR") metadata=$(id_of 00000000-0000-4000-c000)
    echo "BEGIN; CREATE TEMP TABLE n AS WITH RECURSIVE n(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x < $2 - 1) SELECT x FROM n;"
    copies collections "id = '$old'" "id = $new, name = 'variant-' || x"
    copies collection_metadata "collection_id = '$old'" "collection_id = $new"
    copies_of_segment "$(vector_segment "$1")" "$vector"
    copies_of_segment "$(sql_value "SELECT id FROM segments WHERE collection = '$old' AND scope = 'METADATA'")" "$metadata"
    copies embeddings_queue "topic LIKE '%$old'" "seq_id = NULL, topic = replace(topic, '$old', $new)"
    echo "UPDATE max_seq_id SET seq_id = (SELECT max(seq_id) FROM embeddings_queue) WHERE segment_id LIKE '00000000-0000-4000-c000-%'
        AND EXISTS (SELECT 1 FROM embeddings_queue WHERE topic LIKE '%$old'); COMMIT;"
}

# escaped HEX: as the format of printf; no process, since there are hundreds
escaped() {
    escaped_rest=$1 escaped_text=
    while [ -n "$escaped_rest" ]; do
        escaped_text="$escaped_text\\x${escaped_rest%"${escaped_rest#??}"}"
        escaped_rest=${escaped_rest#??}
    done
}

noise() {
    awk -v n="$1" 'BEGIN { srand(7); while (n-- > 0) printf "%c", int(rand() * 256) }'
}

# damage FOLDER FILE ACTION [ARGUMENT...]
damage() {
    case $3 in
    cut) truncate -s "$4" "$1/$2" ;;
    poke)
        escaped "$5"
        env printf "$escaped_text" | dd of="$1/$2" bs=1 seek="$4" conv=notrunc status=none
        ;;
    add) printf %s "$4" >>"$1/$2" ;;
    noise) noise "$(stat -c %s "$1/$2")" >"$1/$2.noise" && mv "$1/$2.noise" "$1/$2" ;;
    copy) cat "$4" >"$1/$2" ;;
    *) fail "unknown damage: $*" ;;
    esac
}

# gallery_make COLLECTION: gives $DIR a collection variant-N for line N of the plan, from 0, a copy of COLLECTION with its index damaged.
# All is a minute old: a file that was written just now may be one that is not finished.
gallery_make() {
    gallery_index=$DIR/$(vector_segment "$1")
    number=0
    while IFS='|' read -r _ _ actions; do
        [ -n "$actions" ] || fail "line $number of the plan damages nothing"
        folder=$DIR/$(printf '%s-%012d' "$GALLERY_VECTOR" "$number")
        cp -r "$gallery_index" "$folder"
        while [ -n "$actions" ]; do
            # shellcheck disable=SC2086  # words
            damage "$folder" ${actions%%;*}
            case $actions in
            *\;*) actions=${actions#*;} ;;
            *) actions= ;;
            esac
        done
        number=$((number + 1))
    done <"$WORK/plan"
    find "$DIR/$GALLERY_VECTOR"-* -exec touch -d '1 minute ago' {} +
    gallery_rows "$1" "$number" >"$WORK/.rows"
    sql "$(cat "$WORK/.rows")"
}

# --- looking at them ------------------------------------------------------

# gallery_problems: a line for each that has other problems than those expected
gallery_problems() {
    # shellcheck disable=SC2016  # for jq
    timeout -k 5 200 jq -n -r --rawfile plan "$WORK/plan" --slurpfile root "$WORK/root" '
        def has($code; $text): any(.code == $code and (.sentence | contains($text)));
        def is($word; $text; $entry):
            if $word == "any" then true
            elif $word == "well" then . == []
            elif $word == "root" then [$root[0].problems[] | select(.where | startswith($entry))] | has("index_damaged"; $text)
            elif $word == "damaged" then has("index_damaged"; $text)
            else has($word; $text) end;
        ($plan | rtrimstr("\n") | split("\n") | map(split("|"))) as $lines
        | ([inputs | {key: .name, value: .problems}] | from_entries) as $found
        | range($lines | length) as $number
        | $lines[$number] as [$expected, $text, $damage]
        | ($found["variant-\($number)"] // "missing") as $problems
        | $expected | split(",")[] | . as $word
        | select($problems | type != "array" or (is($word; $text; "collections/variant-\($number)") | not))
        | "WRONG: \($damage): expected \($word) \($text): \($problems)"' "$MNT"/collections/variant-*/info.json
}

# gallery_files FOLDER: sizes of all, and checksums but for the huge ones, below the segments
gallery_files() {
    (
        cd "$1" || exit
        find "$GALLERY_VECTOR"-* -type f -path "$2" -printf '%p %s\n'
        find "$GALLERY_VECTOR"-* -type f -path "$2" -size -1048576k -exec cksum {} +
    ) | sed 's|/files/|/|' | sort
}

# gallery_values: what of the segments can't be read, but honestly so
gallery_values() {
    (cd "$MNT/segments" && timeout -k 5 200 find "$GALLERY_VECTOR"-* -maxdepth 1 -type f -exec cat {} + 2>&1 >/dev/null) |
        grep -v -E -e "/[a-z_]*: ($GALLERY_ALLOWED)\$" || :
    # there is always one of these
    (cd "$MNT/segments" && cat "$GALLERY_VECTOR"-*/info.json >/dev/null) 2>&1 || :
}

# gallery_is_exact: nothing is still being measured
gallery_is_exact() {
    jq -n -e 'all(inputs; .exact)' "$MNT"/collections/variant-*/info.json
}

# gallery_check: the mount shows what is expected, everything else can be read or fails as a damaged file does, files/ is what is on
# the disk
gallery_check() {
    wait_until gallery_is_exact
    cat "$MNT/info.json" >"$WORK/root"
    gallery_problems >"$WORK/wrong" || fail "status $? of jq"
    gallery_values >>"$WORK/wrong"
    note "$(wc -l <"$WORK/plan") damaged indexes, $(wc -l <"$WORK/wrong") wrong"
    [ ! -s "$WORK/wrong" ] || {
        cat "$WORK/wrong"
        fail 'not as expected'
    }
    gallery_files "$DIR" '*' >"$WORK/on-disk"
    [ "$(wc -l <"$WORK/on-disk")" -ge "$(wc -l <"$WORK/plan")" ] || fail 'there is no file'
    gallery_files "$MNT/segments" '*/files/*' >"$WORK/shown-files"
    assert_same_file "$WORK/on-disk" "$WORK/shown-files"
}
