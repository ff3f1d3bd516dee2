# Verbs for tests that damage a directory and look at what a mount then shows. Source it after lib.sh:
#     # shellcheck source=tests/mount/helpers/damage.sh
#     . "${CHROMAFS_LIB%/*}/helpers/damage.sh"
# shellcheck shell=sh

# --- making damage --------------------------------------------------------

# sql STATEMENTS: in the database of $DIR, whatever its schema has come to
sql() {
    sqlite3 -batch -bail -cmd '.timeout 20000' "$DIR/chroma.sqlite3" "PRAGMA foreign_keys=OFF; $1" >"$WORK/.sql" || fail "sqlite3: $1"
}

# sql_value QUERY
sql_value() {
    sqlite3 -batch -bail -readonly "$DIR/chroma.sqlite3" "$1"
}

# vector_segment NAME: the id of a collection's vector segment
vector_segment() {
    sql_value "SELECT s.id FROM segments s JOIN collections c ON s.collection = c.id WHERE s.scope = 'VECTOR' AND c.name = '$1' LIMIT 1"
}

# poke FILE OFFSET OCTAL...: overwrites bytes in place, e.g. poke header.bin 20 377 377
poke() {
    poke_file=$1 poke_at=$2
    shift 2
    poke_bytes=
    for octal in "$@"; do
        poke_bytes="$poke_bytes\\$octal"
    done
    # shellcheck disable=SC2059  # the bytes are the format
    printf "$poke_bytes" | dd of="$poke_file" bs=1 seek="$poke_at" conv=notrunc status=none
}

# --- looking --------------------------------------------------------------

# unreadable [MNT]: looks at everything below it twice, by stat and by reading it to the end, and prints what fails, a line each.
# A request that hangs fails the test. What it sees goes to the file $SHOWN, if that is set.
unreadable() {
    unreadable_status=0
    (
        cd "${1:-$MNT}" || exit
        timeout 100 sh -c 'find . -ls; find . -type f -exec cat {} +; :'
    ) >"${SHOWN:-/dev/null}" 2>"$WORK/.unreadable" || unreadable_status=$?
    [ "$unreadable_status" -eq 0 ] || fail "reading everything: status $unreadable_status: $(tail -n 3 "$WORK/.unreadable")"
    cat "$WORK/.unreadable"
}

# assert_readable_but PATTERN [MNT]: nothing else than what matches the extended regular expression fails; '' for nothing at all
assert_readable_but() {
    unreadable "${2:-$MNT}" >"$WORK/.found"
    others=$(grep -Ev -e "${1:-^\$}" "$WORK/.found" || :)
    [ -z "$others" ] || fail "unreadable, too: $others"
    assert_alive "${2:-$MNT}"
}

# assert_alive [MNT]: the daemon runs and answers
assert_alive() {
    kill -0 "$(daemon_of "${1:-$MNT}")" || fail "the daemon of ${1:-$MNT} is gone: $(cat "${1:-$MNT}.log")"
    timeout 20 grep -q chromafs "${1:-$MNT}/README" || fail "${1:-$MNT}/README can't be read"
}

# problems FILE: the codes in an info.json, in order, each once
problems() {
    jq -r '[.problems[].code] | unique | join(" ")' "$1"
}

# assert_problem FILE CODE [TEXT]: it is listed, and its sentence contains TEXT
assert_problem() {
    jq -e --arg code "$2" --arg text "${3-}" \
        'any(.problems[]; .code == $code and (.sentence | contains($text)))' "$1" >/dev/null || {
        jq .problems "$1" >&2
        fail "$1 does not list the problem $2 ${3-}"
    }
}

# directory_state: names, sizes, times and content of $DIR, to be compared with a later one
directory_state() {
    (cd "$DIR" && find . -printf '%p %y %s %m %T@\n' | sort && find . -type f ! -empty -exec cksum {} + | sort)
}

# rss_kib: the memory of the daemon of $MNT
rss_kib() {
    sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$(daemon_of "$MNT")/status"
}

# has_sanitizer: it keeps what was freed, and measuring memory says nothing then
has_sanitizer() {
    ldd "$CHROMAFS" | grep -q -e libasan -e libtsan
}

# assert_growth MOST BEFORE AFTER: in KiB
assert_growth() {
    [ "$3" -lt $(($2 + $1)) ] || has_sanitizer || fail "the daemon grew from $2 to $3 KiB"
}

# --- a second process at the database -------------------------------------

# sqlite_start: an sqlite3 that runs what sqlite_do gives it, until sqlite_stop
sqlite_start() {
    rm -f "$WORK/.sqlite"
    mkfifo "$WORK/.sqlite"
    sqlite3 "$DIR/chroma.sqlite3" <"$WORK/.sqlite" >"$WORK/.sqlite.out" 2>&1 &
    SQLITE=$!
    exec 9>"$WORK/.sqlite"
}

# sqlite_do STATEMENTS: returns when they are done
sqlite_do() {
    rm -f "$WORK/.done"
    printf '%s\n.shell touch "%s"\n' "$1" "$WORK/.done" >&9
    wait_until test -e "$WORK/.done"
    [ ! -s "$WORK/.sqlite.out" ] || fail "sqlite3: $1: $(cat "$WORK/.sqlite.out")"
}

# A daemon that was started meanwhile has the other end open, too: closing ours is not enough.
sqlite_stop() {
    echo .quit >&9
    exec 9>&-
    wait "$SQLITE"
}
