#!/bin/sh
# status.json, history.jsonl, last_error and what a control says of itself: while an operation runs, afterwards, in another mount, after a remount.
# limit: 240
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"

# check_form: 4,096 bytes, padded with blanks behind the JSON, and a newline at the end; whatever it says
check_form() {
    cat "$MNT/status.json" >form
    assert_eq 4096 "$(stat -c %s "$MNT/status.json")" 'size of status.json'
    assert_eq 4096 "$(wc -c <form)" 'bytes of status.json'
    assert_eq '0a' "$(tail -c 1 form | od -An -tx1 | tr -d ' ')" 'last byte'
    sed 's/ *$//; s/\.0\(,*\)$/\1/' form >unpadded # jq writes 5.0 as 5
    jq . form | diff - unpadded >&2 || fail 'status.json is not JSON with two blanks a level and blanks behind it'
    assert_eq '["running","last"]' "$(jq -c keys_unsorted form)" 'members'
}

# last_of CONTROL: the JSON behind its usage
last_of() { grep -v '^#' "$MNT/$1" || :; }

copy_fixture chroma-1.5.9
fill_log "$DIR" 400000
mount_dir "$DIR" "$MNT"

# --- before anything ran --------------------------------------------------

check_form
assert_eq 'null null' "$(status '"\(.running) \(.last)"')" 'before anything ran'
for file in last_error history.jsonl; do assert_eq 0 "$(stat -c %s "$MNT/$file")" "size of $file"; done
assert_eq '' "$(last_of clean)" 'what clean says of its last run'
grep '^#' "$MNT/clean" >usage
for word in '# clean: ' 'vacuum=0|1' 'skip=NAME,NAME' dry_run= force= keep=; do assert_contains usage "$word"; done
! grep -q skip= "$MNT/collections/types/clean" || fail 'the control of one collection has skip='
[ ! -e "$DIR/.chromafs" ] || fail 'mounting and looking have made .chromafs'

# --- while one runs -------------------------------------------------------

# A dry run may be over before anybody has looked: then another one begins.
start() { start_writer clean 'dry_run=1 vacuum=0 skip=types'; }
is_seen() {
    cat "$MNT/status.json" >seen
    [ "$(jq '.running | . != null and .done > 0 and .total >= .done and .rate > 0 and .eta_seconds >= 0 and (.phase | length) > 0' seen)" != true ] ||
        return 0
    kill -0 "$WRITER" 2>/dev/null || start
    return 1
}
start
wait_until is_seen
check_form
assert_eq '["operation","collection","options","phase","done","total","rate","eta_seconds","started"]' "$(jq -c '.running | keys_unsorted' seen)" 'members of running'
assert_eq '["clean",null,"dry_run=1 vacuum=0 skip=types"]' "$(jq -c '.running | [.operation, .collection, .options]' seen)" 'what runs'
jq -r .running.started seen | grep -qE '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$' || fail 'started is no time'
first=$(stat -c %Y "$MNT/status.json")
[ "$first" -ge "$(($(date +%s) - 3))" ] || fail "status.json is of $first, $(($(date +%s) - first)) s ago"
end_writer 0
check_form
assert_eq '[null,"clean","done",null,true]' "$(status '[.running, .last.operation, .last.status, .last.errno, .last.dry_run] | tojson')" 'the outcome'
last_of clean >last
jq -e .result last >/dev/null || fail 'clean does not tell the result of its last run'
assert_eq '[]' "$(jq -s 'map(select(.dry_run))' -c "$MNT/history.jsonl")" 'a dry run in the history'
[ ! -e "$DIR/.chromafs" ] || fail 'a dry run has made .chromafs'

# --- of a collection, and a failure ---------------------------------------

put "$MNT/collections/emptied/clean" 'vacuum=0'
id=$(sql "$DIR" "SELECT id FROM collections WHERE name = 'emptied'")
assert_eq "clean $id done" "$(status '.last | .operation + " " + .collection + " " + .status')" 'of a collection'
assert_eq "$id" "$(last_of collections/emptied/clean | jq -r .collection)" 'what its control says'
assert_eq '' "$(last_of collections/types/clean)" 'what that of another one says'
assert_eq true "$(last_of clean | jq .dry_run)" 'what that of the whole directory says still'
assert_eq 1 "$(wc -l <"$MNT/history.jsonl")" 'lines of the history'
cmp "$MNT/history.jsonl" "$DIR/.chromafs/history.jsonl" || fail 'history.jsonl is not the history'
assert_errno EINVAL put "$MNT/clean" 'nothing=1'
assert_said "clean: "
assert_eq "$(stat -c %s "$MNT/last_error")" "$(wc -c <"$MNT/last_error")" 'size of last_error'
assert_errno EINVAL put "$MNT/collections/types/clean" 'vacuum=2'
assert_said 'collections/types/clean: '
assert_errno EPERM put "$MNT/collections/types/config/m" 32
assert_said 'collections/types/config/m: '
assert_said rebuild-hnsw

# --- another mount, and a remount -----------------------------------------

mount_dir "$DIR" "$WORK/second"
assert_eq "$id" "$(status .last.collection "$WORK/second")" 'the last one, in another mount'
put "$WORK/second/clean-orphans" 1
assert_eq clean-orphans "$(status .last.operation)" 'what ran in another mount'
assert_eq "done" "$(last_of clean-orphans | jq -r .status)" 'what its control says'
assert_eq 2 "$(wc -l <"$MNT/history.jsonl")" 'lines of the history'
assert_eq 0 "$(stat -c %s "$WORK/second/last_error")" 'last_error of another mount'
unmount "$WORK/second"
unmount
mount_dir "$DIR" "$MNT" -o ro
check_form
assert_eq 'clean-orphans done' "$(status '.last.operation + " " + .last.status')" 'after a remount'
assert_eq "done" "$(last_of collections/emptied/clean | jq -r .status)" 'what a control says after a remount'
unmount

# --- a history that a stranger wrote --------------------------------------

printf '{"operation":"clean","collection":null,"started":"9999","result":"%s"}\n' "$(head -c 9000 /dev/zero | tr '\0' x)" >>"$DIR/.chromafs/history.jsonl"
printf '[1]\n{"operation":7,"collection":{"id":[]},"started":{}}\nno json\n{"operation":"clean","sentence":"%s","started":"99999"}\ntorn' "$(head -c 9000 /dev/zero | tr '\0' y)" >>"$DIR/.chromafs/history.jsonl"
mount_dir "$DIR" "$MNT"
check_form
assert_eq clean "$(status .last.operation)" 'the last line'
assert_contains "$MNT/clean" yyyyyyyy
put "$MNT/clean-orphans" 1
check_form
unmount
