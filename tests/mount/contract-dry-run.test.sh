#!/bin/sh
# dry_run=1 works everywhere: every file that can be written to takes it, says in status.json what would be done, and changes not one byte or time of the
# directory. And README is one screen of text that names what is there.
# limit: 240
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"

# line_for CONTROL: something that it would do
line_for() {
    case $1 in
    */config/resize_factor) echo '1.75 dry_run=1' ;;
    */config/*) echo "$(($(sed 's/^default$/100/' "$MNT/$1") + 1)) dry_run=1" ;;
    config/automatically_purge) echo "$(sed 's/true/x/; s/false/true/; s/x/false/' "$MNT/$1") dry_run=1" ;;
    backup) echo "dry_run=1 to=$WORK/copy" ;;
    rebuild-fts) echo 'tokenizer=unicode61 dry_run=1' ;;
    *) echo 'dry_run=1' ;;
    esac
}

# check_control CONTROL: the one that has run is the one that was asked, but for cancel, which is none
check_control() {
    shown=$(cat "$MNT/$1")
    put "$MNT/$1" "$(line_for "$1")" || fail "$FIXTURE: $1: $(cat "$MNT/last_error")"
    case $1 in
    cancel) return ;;
    *config/*) assert_eq "$shown" "$(cat "$MNT/$1")" "$FIXTURE: $1 after a dry run" ;;
    *) assert_eq "${1##*/} ${1%%/*}" "$(status .last.operation) ${1%%/*}" "$FIXTURE: what ran" ;;
    esac
    assert_eq 'true done' "$(status '.last | "\(.dry_run) \(.status)"')" "$FIXTURE: $1"
    jq -e '.last.result | objects | length > 0' "$MNT/status.json" >/dev/null || fail "$FIXTURE: $1 does not say what it would do"
}

check() {
    FIXTURE=$1
    copy_fixture "$1"
    fingerprint "$DIR" >before
    mount_dir "$DIR" "$MNT"
    (cd "$MNT" && find . -maxdepth 2 -type f -perm -200 && find collections/types -type f -perm -200) | sed 's|^\./||' | sort >controls
    for control in cancel commit clean rebuild-fts clean-orphans backup collections/types/commit collections/types/clean collections/types/rebuild-hnsw; do
        grep -qxF "$control" controls || fail "$FIXTURE: $control can't be written to"
    done
    while read -r control <&3; do check_control "$control"; done 3<controls
    assert_eq 0 "$(wc -c <"$MNT/history.jsonl")" "$FIXTURE: bytes of the history"
    [ ! -e copy ] || fail "$FIXTURE: a dry run made a copy"
    unmount
    fingerprint "$DIR" | diff before - >&2 || fail "$FIXTURE: a dry run changed the directory"
}

for name in chroma-0.4.24 chroma-0.5.23-nopurge chroma-1.5.9-nopurge; do check "$name"; done

# --- README ---------------------------------------------------------------

mount_fixture chroma-1.5.9
[ "$(wc -l <"$MNT/README")" -le 36 ] || fail 'README is longer than a screen'
[ "$(wc -L <"$MNT/README")" -le 128 ] || fail 'README is wider than a screen'
(cd "$MNT" && ls) | while read -r entry; do [ "$entry" = README ] || assert_contains "$MNT/README" "$entry"; done
unmount
