#!/bin/sh
# Records are added, written to disk and deleted in Chroma. Their texts and vectors stand in the database and in the indexes; after chromafs-erase in no file, which a search without our code
# finds as well; all other records are there, Chroma answers what it did before, and goes on. Beside a live Chroma it is refused.
# limit: 300
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"
# shellcheck source=tests/mount/helpers/maintain.sh
. "${CHROMAFS_LIB%/*}/helpers/maintain.sh"

DIR=$WORK/dir
SECRETS=$WORK/secrets

step() { chroma "$SUBJECT" "$CHROMAFS_CHROMA/erase.py" "$@"; }

# answers FILE: of Chroma, on a copy
answers() {
    rm -rf "$WORK/asked"
    cp -a "$DIR" "$WORK/asked"
    chroma "$SUBJECT" "$CHROMAFS_CHROMA/answers.py" "$WORK/asked" >"$1"
}

# places FILE: what a table has: how often before, after, path
places() { sed -n 's/^ *\([0-9][0-9]*\) *\([0-9][0-9]*\)  \(.*\)/\1 \2 \3/p' "$1"; }

# files_of FILE: paths of what `scan` has printed
files_of() { sed 's/^[0-9]* //' "$1" | sort; }

erase() {
    run_erase "$@" --text-file="$SECRETS/texts" --vector="$SECRETS/plain.json" --vector="$SECRETS/quoted.bin" --vector="$SECRETS/long.bin" "$DIR"
}

mkdir "$DIR"
# It purges what other collections still need (FORMAT 4).
[ "$SUBJECT" != 0.5.11 ] || chroma "$SUBJECT" "$CHROMAFS_CHROMA/../fixtures/make.py" keep-wal "$DIR"
step fill "$DIR" "$SECRETS"
step delete "$DIR"
step scan "$DIR" "$SECRETS" >before
note "before: $(tr '\n' ' ' <before)"
assert_eq 3 "$(grep -c data_level0.bin before)" 'indexes with vectors of deleted records'
# What deletes overwrites, where SQLite was built so, is not there: only the releases' own SQLite leaves it.
case $SUBJECT in
0.4.* | 1.*) assert_contains before chroma.sqlite3 ;;
esac
# 0.4.24 leaves the text in the full-text index.
case $SUBJECT in
0.4.24) assert_eq 3 "$(sql "$DIR" "SELECT count(*) FROM embedding_fulltext_search WHERE string_value LIKE '%Featherstonehaugh%'")" 'stale rows of the full-text index' ;;
esac

note 'it finds what is there, and changes nothing'
fingerprint "$DIR" >"$WORK/state"
erase --scan
assert_eq 3 "$STATUS" "status of a scan: $(cat err)"
places out | cut -d ' ' -f 3- | sort >found
# It may find more: 0.x writes what its memory had by chance into the room for more elements.
assert_eq '' "$(files_of before | comm -23 - found)" 'files that a scan does not find'
fingerprint "$DIR" | diff "$WORK/state" - >&2 || fail 'a scan has changed something'

note 'a live Chroma'
"$("$CHROMAFS_CHROMA/venvs.sh" --path "$SUBJECT")/bin/python" "$CHROMAFS_CHROMA/erase.py" hold "$DIR" "$WORK/held" 2>"$WORK/chroma.log" &
holder=$!
wait_until test -e held
fingerprint "$DIR" >"$WORK/state"
erase
assert_eq 75 "$STATUS" "status beside a live Chroma: $(cat err)"
assert_contains err "pid $holder ("
fingerprint "$DIR" | diff "$WORK/state" - >&2 || fail 'changed beside a live Chroma'
rm held
wait "$holder" || fail 'the live Chroma failed'

note 'erased'
answers answers.before
erase
assert_eq 0 "$STATUS" "status: $(cat err)"
# A text that was nowhere before is told, and no other one.
grep -v 'stands nowhere in .*: that it does not afterwards proves nothing$' err >errors || :
assert_eq '' "$(cat errors)" 'errors'
case $SUBJECT in
0.5.23 | 0.6.3) ;; # they purge the log at once, by a SQLite that overwrites
*) assert_eq '' "$(cat err)" 'texts that were nowhere' ;;
esac
assert_contains out 'found in no file of '
step scan "$DIR" "$SECRETS" >after
assert_eq '' "$(cat after)" 'files that still have something of the deleted records'
[ "$(places out | awk '$1 > 0 { n++ } $2 > 0 { exit 1 } END { print n + 0 }')" -ge 3 ] || fail "the table: $(cat out)"
assert_eq '' "$(find "$DIR/.chromafs/trash" -mindepth 1)" 'the trash'
assert_sound "$DIR"
answers answers.after
python3 "$CHROMAFS_CHROMA/maintain.py" answers.before answers.after
assert_nothing_left
step go-on "$DIR"
step go-on "$DIR"
