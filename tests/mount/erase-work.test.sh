#!/bin/sh
# What chromafs-erase finds, in every form, wherever bytes fall, and what it leaves: after it nothing stands in any file, but where the user keeps it or it is told.
# limit: 300
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"
# shellcheck source=tests/mount/helpers/maintain.sh
. "${CHROMAFS_LIB%/*}/helpers/maintain.sh"

SECRET='tell nobody about Zanzibar'

# found FILE: how often before and after, in that file, as the table says
found() { awk -v file="$1" '$3 == file { print $1, $2; none = 1 } END { if (!none) print "0 0" }' out; }

# assert_found TIMES ARGUMENT...: a scan finds it so often in the file `planted`, and nowhere else
assert_found() {
    times=$1
    shift
    run_erase -n "$@" "$DIR"
    if [ "$times" -eq 0 ]; then
        assert_eq 0 "$STATUS" "status of a scan that finds nothing: $*: $(cat out err)"
    else
        assert_eq 3 "$STATUS" "status of a scan: $*: $(cat err)"
        assert_eq "$times $times" "$(found planted)" "found: $*"
        assert_eq 2 "$(wc -l <out)" "lines of the table: $*: $(cat out)"
    fi
    assert_nothing_left
}

# few_files: for what is only searched
few_files() {
    DIR=$WORK/few
    mkdir "$DIR" "$DIR/.chromafs"
    : >"$DIR/chroma.sqlite3"
    head -c 20000 /dev/zero >"$DIR/.chromafs/zeros"
}

texts() {
    few_files
    printf '%s\0%s\n' "$SECRET" "$SECRET" >"$DIR/planted"
    assert_found 2 --text="$SECRET"
    printf '%s\r\nanother one\n' "$SECRET" >texts
    assert_found 2 --text-file=texts
    assert_found 0 --text="$SECRET."
    assert_found 0 --text='T[a-z].*b'
    # As the log has it, from Python and from Rust, and as rejected.jsonl has that.
    printf '"Gr\\u00fc\\u00dfe \\ud83e\\udd8a \\"x\\""\0"Gr\303\274\303\237e \360\237\246\212 \\"x\\""\0\\"Gr\\\\u00fc\\\\u00dfe \\\\ud83e\\\\udd8a \\\\\\"x\\\\\\"' >"$DIR/planted"
    printf 'Gr\303\274\303\237e \360\237\246\212 "x"\n' >texts
    assert_found 3 --text-file=texts
    # Of a long one any piece, on its own and around the border of two pages.
    i=0
    while [ "$i" -lt 60 ]; do printf 'part %d of it, ' "$i" && i=$((i + 1)); done >texts
    head -c 400 texts | tail -c 272 >"$DIR/planted"
    assert_found 4 --text-file=texts
    # Not what is no piece of it.
    printf 'part 61 of it, part 62 of it, part 63 of it, part 64 of it, part 65 of it, part 66 of it' >"$DIR/planted"
    assert_found 0 --text-file=texts
    # Bytes that are no UTF-8.
    printf 'x\377\201\210y\n' >texts
    printf 'x\377\201\210y' >"$DIR/planted"
    assert_found 1 --text-file=texts
    printf '%s\n' "$SECRET" >"$DIR/planted"
    printf '%s' "$SECRET" >texts
    STATUS=0
    $ERASE -n --text-file=- "$DIR" <texts >out 2>err || STATUS=$?
    assert_eq 3 "$STATUS" "status of a scan for what is on standard input: $(cat err)"
    rm -rf "$DIR"
}

vectors() {
    few_files
    # Newlines and NULs: 0.53921568, 2.15625, 8.000009, 1
    odd='\012\012\012\077\000\000\012\100\012\000\000\101\000\000\200\077'
    # shellcheck disable=SC2059  # bytes
    printf "$odd" >odd
    for before in '' 'x' '\000' '\n\n' 'abcdefghijklmnopqrstuvwxyz'; do
        # shellcheck disable=SC2059
        printf "$before$odd$before$odd" >"$DIR/planted"
        assert_found 2 --vector=odd
    done
    # Half a byte off in its digits, it is another one.
    printf '\240\240\240\243\360\000\000\240\244\000\240\000\004\020\000\010\003\360' >"$DIR/planted"
    assert_found 0 --vector=odd
    # Where od's output is looked at in parts.
    for length in 16370 16380 16384 16390 32760 65530; do
        { head -c "$length" /dev/zero && cat odd && head -c 5000 /dev/zero; } >"$DIR/planted"
        assert_found 1 --vector=odd
    done
    # As JSON, and normalized: (3, 4) becomes (0.6, 0.8)
    echo '[3, 4.0e0]' >numbers
    printf '\000\000\100\100\000\000\200\100' >"$DIR/planted"
    assert_found 1 --vector=numbers
    printf '\232\231\031\077\315\314\114\077' >"$DIR/planted"
    assert_found 1 --vector=numbers
    printf '\000\000\100\100\000\000\200\100' >bytes
    assert_found 1 --vector=bytes
    printf '[1.5,-2.25,\n0]' >numbers
    printf '\000\000\300\077\000\000\020\300\000\000\000\000' >"$DIR/planted"
    assert_found 1 --vector=numbers
    # As a line of the log has it.
    printf '{"vector": "AADAPwAAEMAAAAAA"}' >"$DIR/planted"
    assert_found 1 --vector=numbers
    # Half of a long one: it was cut, or overwritten.
    i=0
    while [ "$i" -lt 32 ]; do
        # shellcheck disable=SC2059  # bytes
        printf "\\2$((i / 8 + 1))$((i % 8))\\3$((i % 8))1\\1$((i % 8))7\\077"
        i=$((i + 1))
    done >bytes
    head -c 70 bytes | tail -c 68 >"$DIR/planted"
    assert_found 1 --vector=bytes
    head -c 30 bytes >"$DIR/planted"
    assert_found 0 --vector=bytes
    rm -rf "$DIR"
}

# as_other COMMAND...: without rights on what is another's, or nobody's
as_other() {
    if [ "$(id -u)" -eq 0 ]; then
        as_nobody env TMPDIR="$DIR/tmp" "$@"
    else
        "$@"
    fi
}

# A file that was not seen may have it.
unreadable() {
    few_files
    mkdir "$DIR/closed" "$DIR/tmp"
    chmod 777 "$DIR/tmp"
    chmod 755 "$DIR" "$DIR/.chromafs"
    printf '%s' "$SECRET" >"$DIR/closed/planted"
    chmod 0 "$DIR/closed"
    ERASE="as_other $WORK/bin/chromafs-erase"
    run_erase -n --text="$SECRET" "$DIR"
    ERASE=$WORK/bin/chromafs-erase
    assert_eq 1 "$STATUS" "status with a folder that can't be read: $(cat out err)"
    assert_contains err "not all of $DIR can be read: "
    assert_fails grep -q 'found in no file' out
    chmod 700 "$DIR/closed"
    run_erase -n --text="$SECRET" "$DIR"
    assert_eq 3 "$STATUS" 'status with a folder that can be read'
    rm -rf "$DIR"
}

# assert_vector STATUS TEXT: that of a scan for a file with it; status 3: it is taken for (3, 4), which is planted
assert_vector() {
    # shellcheck disable=SC2059  # bytes
    printf "$2" >numbers
    run_erase -n --vector=numbers "$DIR"
    assert_eq "$1" "$STATUS" "status with the vector $2: $(cat out err)"
    [ "$1" -ne 2 ] || assert_eq 1 "$(wc -l <err)" "lines with the vector $2: $(cat err)"
}

# What is not understood, whole, is no vector: its bytes stand nowhere.
misunderstood() {
    few_files
    printf '\000\000\100\100\000\000\200\100' >"$DIR/planted"
    for right in '[3,4]' '[[3,4]]' ' [ [ 3.0 , 0.4e+1 ] ]\n' '\n[30E-1,\r\n\t4]' '3 4' '3,4\n' '3\n4' '[\0003\000,\0004\000]\000'; do
        assert_vector 3 "$right"
    done
    for wrong in '[[3,4],[3,4]]' '[[[3,4]]]' '{"embeddings":[[3,4]]} ' '{"a":"\303\274","b":[[3,4]]}  ' '[3,4' '3,4]' '[[3,4]' '[3,4]]' '[3,4]\n[3,4]' '[3,,4]' '[3,4,]' '[,3,4]' '[3 4]' '[1e,--,.]' '1e,--,.' '[.5,4]' '[5.,4]' \
        '[+3,4]' '[0x3,4]' '[3,NaN]' '[3,null]' '[3,1e39]' '[3,1e999]' '[3,-1e999]' '[]' '[[]]' '[' '   ' 'array([3., 4.])' '\357\273\277[3,4]  ' '\377\376[\0003\000,\0004\000]\000' '\000[\0003\000,\0004\000]\377' '\000\000\200\177\000\000\200\100' '\000\000\300\377'; do
        assert_vector 2 "$wrong"
    done
    rm -rf "$DIR"
}

# They can be read only once.
pipes() {
    few_files
    printf '\000\000\100\100\000\000\200\100%s' "$SECRET" >"$DIR/planted"
    mkfifo pipe
    for wanted in '--vector:[3,4]' '--vector:\000\000\100\100\000\000\200\100' "--text-file:$SECRET"; do
        for file in pipe /dev/stdin; do
            STATUS=0
            # shellcheck disable=SC2059  # bytes
            if [ "$file" = pipe ]; then
                printf "${wanted#*:}" >pipe &
                $ERASE -n "${wanted%%:*}=pipe" "$DIR" >out 2>err </dev/null || STATUS=$?
                # It waits for a reader that there may not have been.
                kill "$!" 2>/dev/null || :
                wait "$!" || :
            else
                printf "${wanted#*:}" | $ERASE -n "${wanted%%:*}=$file" "$DIR" >out 2>err || STATUS=$?
            fi
            assert_eq 3 "$STATUS" "status with $wanted through $file: $(cat err)"
            assert_eq '1 1' "$(found planted)" "found with $wanted through $file"
        done
    done
    rm -rf "$DIR" pipe
}

# Each thing that stood nowhere is named, though others were found; what only stands in another one, or in part, was found.
unseen() {
    copy_fixture chroma-1.5.9
    printf '\000\000\100\100\000\000\200\100%s' "$SECRET about" >"$DIR/planted"
    printf '[3,4]' >there
    printf '[3,5]' >nowhere
    printf '\000\012\012\077' >odd-nowhere
    printf '%s\nZanzibar\nZanzibar about\n\nno such thing\nanother such thing\n' "$SECRET" >texts
    run_erase --vector=there --vector=nowhere --vector=odd-nowhere --text-file=texts --text="$SECRET" --text='nor this' "$DIR"
    assert_eq 3 "$STATUS" 'status of what stands in a file of the user'
    sed -n 's/^chromafs-erase: \(.*\) stands nowhere in .*: that it does not afterwards proves nothing$/\1/p' err >told
    printf '%s\n' 'the vector of nowhere' 'the vector of odd-nowhere' 'line 5 of texts' 'line 6 of texts' 'the text of --text number 2' | diff - told >&2 || fail "what stood nowhere: $(cat err)"
    # One that grep can't find.
    printf '\000\012\012\077' >>"$DIR/planted"
    run_erase --vector=odd-nowhere --vector=nowhere "$DIR"
    assert_eq 1 "$(grep -c 'stands nowhere' err)" "those that stand nowhere: $(cat err)"
    assert_contains err 'the vector of nowhere stands nowhere'
    rm -rf "$DIR"
}

# It stands in the log, in a table, in free room of a page, in an old trash; in another collection's index there is a vector.
erased() {
    copy_fixture chroma-1.5.9-nopurge
    change "$DIR" "INSERT INTO embeddings_queue (operation, topic, id, vector, encoding, metadata)
            SELECT 0, 'persistent://default/default/' || id, 'late', zeroblob(4 * dimension), 'FLOAT32', '{\"chroma:document\":\"$SECRET\"}' FROM collections WHERE name = 'unicode';
        INSERT INTO embeddings_queue (operation, topic, id, metadata) SELECT 3, 'persistent://default/default/' || id, 'late', '{}' FROM collections WHERE name = 'unicode'"
    run_erase --text="$SECRET" "$DIR"
    assert_eq '0 ' "$STATUS $(cat err)" 'status and errors'
    assert_eq '1 0' "$(found chroma.sqlite3)" 'before and after'
    assert_contains out "found in no file of $DIR"
    assert_eq '' "$(find "$DIR/.chromafs/trash" -mindepth 1)" 'the trash'
    assert_eq "$(sql "$DIR" "SELECT count(*) FROM segments WHERE scope = 'VECTOR'")" "$(sql "$DIR" 'SELECT count(*) FROM collections')" 'segments'
    # Every index was made anew, with nothing in the room that it has for more.
    operations "$DIR" | tr ' ' '\n' | sort | uniq -c | awk '{ print $2 }' | tr '\n' ' ' >ran
    assert_eq 'clean-orphans:done clean:done commit:done rebuild-fts:done rebuild-hnsw:done ' "$(cat ran)" 'operations'
    assert_sound "$DIR"
    rm -rf "$DIR"
}

kept() {
    copy_fixture chroma-1.5.9
    maintain "$DIR"
    set -- "$DIR"/.chromafs/trash/*
    printf '%s\n' "$SECRET" >"$1/file"
    run_erase --text="$SECRET" "$DIR"
    assert_eq 3 "$STATUS" "status with an old trash: $(cat err)"
    assert_contains err '--empty-trash removes it'
    assert_contains err 'found in 1 files of'
    [ -e "$1/file" ] || fail 'the trash was emptied'
    # A problem remains: it may be needed.
    cp -a "$DIR" torn
    tear torn fragmented data_level0.bin 10000
    run_erase --empty-trash --text="$SECRET" torn
    assert_eq 3 "$STATUS" "status with a torn index: $(cat err)"
    assert_contains err 'stays as it is, since problems remain'
    # Where it is a link, what it leads to is not ours.
    mkdir elsewhere
    : >elsewhere/precious
    rm -rf torn
    cp -a "$DIR" torn
    rm -rf torn/.chromafs/trash
    ln -s "$WORK/elsewhere" torn/.chromafs/trash
    run_erase --empty-trash torn
    [ "$STATUS" -ne 0 ] || fail 'a trash that is a link is no failure'
    [ -e elsewhere/precious ] || fail 'it was emptied through a link'
    change "$DIR" "INSERT INTO embedding_metadata (id, key, string_value) SELECT max(id), 'x', 'y' FROM embeddings; CREATE TABLE t (a); INSERT INTO t VALUES (zeroblob(3000000)); DROP TABLE t"
    ln -s /dev/null "$DIR/link"
    printf '{"id":"x"}\n' >"$DIR/.chromafs/rejected.jsonl"
    run_erase --empty-trash --text="$SECRET" "$DIR"
    assert_eq '' "$(find "$DIR/.chromafs/trash" -mindepth 1)" 'the trash with --empty-trash'
    assert_contains err 'rejected.jsonl has whole rows of the log'
    assert_contains err "link is a symbolic link"
    rm -rf "$DIR" torn
}

# An index with records that have no vector can only be made anew without them; then what was deleted from it goes, too.
salvaged() {
    copy_fixture chroma-1.5.9
    tear "$DIR" fragmented data_level0.bin 20000
    # The second time its files are in order.
    for _ in first second; do
        old=$(segment_of "$DIR" fragmented VECTOR)
        run_erase "$DIR"
        assert_eq 3 "$STATUS" "status without --salvage: $(cat err)"
        assert_contains err 'with --salvage they stay, without one'
        assert_eq "$old" "$(segment_of "$DIR" fragmented VECTOR)" 'the index without --salvage'
        change "$DIR" 'CREATE TABLE t (a); INSERT INTO t VALUES (zeroblob(3000000)); DROP TABLE t'
        run_erase --salvage "$DIR"
        assert_eq 0 "$STATUS" "status with --salvage: $(cat err)"
        assert_contains err '.chromafs/lost.jsonl lists records that have no vector any more'
        assert_fails test -e "$DIR/$old"
    done
    assert_sound "$DIR"
    rm -rf "$DIR"
}

mistakes() {
    copy_fixture chroma-1.5.9
    mkdir empty
    : >nothing
    printf 'abc' >three
    for line in '-n' '--bad' '--text=abc' '--text=' '--text-file=no-such' '--text-file=nothing' '--text-file=empty' '--vector=no-such' '--vector=nothing' '--vector=three' '--text' '--vector' '--threads=0'; do
        run_erase "$line" "$DIR"
        assert_eq 2 "$STATUS" "status of $line: $(cat err)"
        assert_eq 1 "$(wc -l <err)" "lines of $line: $(cat err)"
    done
    run_erase
    assert_eq 2 "$STATUS" 'status without a directory'
    run_erase --text="$SECRET" empty
    assert_eq 1 "$STATUS" 'status of a directory that is none'
    run_erase --text="$SECRET" no-such
    assert_eq 1 "$STATUS" 'status of what is not there'
    for option in -h --help; do
        run_erase "$option"
        assert_eq 0 "$STATUS" "status of $option"
        sed -n 's/^\*\(-[^*]*\)\*.*/\1/p' "${CHROMAFS_LIB%/tests/mount/lib.sh}/man/chromafs-erase.1.scd" | tr -d '*=,' | tr ' ' '\n' | grep '^-' >options
        while read -r shown; do assert_contains out "$shown"; done <options
    done
    run_erase --version
    assert_eq "chromafs-erase $("$CHROMAFS" --version | sed -n '1s/.* //p')" "$(cat out)" --version
    # Somebody has it open.
    fingerprint "$DIR" >before
    sh -c 'exec sleep 600' 7<>"$DIR/chroma.sqlite3" &
    holder=$!
    # shellcheck disable=SC2317  # it is called by its name
    holds() { [ "$(readlink "/proc/$holder/fd/7")" = "$DIR/chroma.sqlite3" ] && [ "$(cat "/proc/$holder/comm")" = sleep ]; }
    wait_until holds
    run_erase --empty-trash --text="$SECRET" "$DIR"
    assert_eq 75 "$STATUS" "status beside another process: $(cat err)"
    fingerprint "$DIR" | diff before - >&2 || fail 'changed beside another process'
    kill "$holder"
    wait "$holder" || :
    # A grep that can't do it would find nothing.
    mkdir other
    printf '#!/bin/sh\nexit 1\n' >other/grep
    chmod 755 other/grep
    (PATH=$WORK/other:$PATH && run_erase --text="$SECRET" "$DIR" && assert_fails test "$STATUS" -eq 0)
    rm -rf "$DIR"
}

each_shell() {
    shells >list
    while read -r shell <&9; do
        note "$shell"
        ERASE="$shell $WORK/bin/chromafs-erase"
        copy_fixture chroma-1.5.9
        printf 'x\0%s' "$SECRET" >"$DIR/planted"
        printf 'x\377\201\210y\n%s\n' "$SECRET" >texts
        assert_found 1 --text-file=texts --vector=odd
        rm "$DIR/planted"
        run_erase --text-file=texts --vector=odd -q "$DIR"
        assert_eq 0 "$STATUS" "status with $shell: $(cat err)"
        assert_eq '' "$(cat out)" "output with $shell and -q"
        rm -rf "$DIR"
    done 9<list
    ERASE=$WORK/bin/chromafs-erase
}

# It ends what it has started, and leaves nothing.
ended() {
    copy_fixture chroma-1.5.9
    fill_log "$DIR" 400000
    env --default-signal=INT,QUIT "$ERASE" "$DIR" >out 2>err &
    run=$!
    # shellcheck disable=SC2317  # it is called by its name
    is_cleaning() {
        own=$(find "$TMPDIR" -maxdepth 2 -path '*/chromafs-maintain.*/mnt')
        [ -n "$own" ] && has_started clean "$own"
    }
    wait_until is_cleaning
    kill "$run"
    status=0
    wait "$run" || status=$?
    assert_eq 143 "$status" "status after SIGTERM: $(cat err)"
    assert_nothing_left
    wait_until has_no_daemon "$DIR"
    assert_eq clean:canceled "$(operations "$DIR" | tr ' ' '\n' | grep . | tail -n 1)" 'the last operation'
    assert_sound "$DIR"
    rm -rf "$DIR"
}

for part in ${PARTS:-texts vectors unreadable misunderstood pipes unseen erased kept salvaged mistakes each_shell ended}; do
    note "$part"
    "$part"
done
