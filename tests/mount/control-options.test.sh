#!/bin/sh
# Options: what each control takes, skip= and the mount's -o skip, values that are percent-encoded, and what is refused, with its sentence.
# limit: 60
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"

# refused CONTROL LINE TEXT
refused() {
    assert_errno EINVAL put "$MNT/$1" "$2"
    assert_said "$1: "
    assert_said "$3"
}

copy_fixture chroma-1.5.9
fill_log "$DIR" 1000
change "$DIR" "UPDATE collections SET name = 'a b,c%/é' WHERE name = 'unicode'"
mount_dir "$DIR" "$MNT"

refused clean 'nothing=1' "'nothing"
assert_said skip
refused clean 'vacuum=2' vacuum
refused clean 'keep=-1' keep
refused clean 'dry_run=yes' dry_run
refused clean 'vacuum=%4' '%'
refused clean 'skip=types skip=docs' skip
refused clean 'skip=' skip
refused clean 'skip=nobody' nobody
refused clean 'skip=types,nobody' nobody
refused clean '1 skip=types' ''
refused collections/types/clean 'skip=types' skip
refused backup '1' to
refused backup 'to=copy' to
refused cancel 'vacuum=0' vacuum
assert_eq 0 "$(wc -c <"$MNT/history.jsonl")" 'what refused commands left in the history'

# --- skip= ----------------------------------------------------------------

left=$(rows_of_log "$DIR")
put "$MNT/clean" 'skip=emptied,types vacuum=0'
assert_eq "$left" "$(rows_of_log "$DIR")" 'rows after a clean without that collection'
# The name as it is in collections/ is percent-encoded already, and a comma ends a name.
entry=$(find "$MNT/collections" -mindepth 1 -maxdepth 1 -name 'a b*' -printf '%f')
assert_eq 'a b,c%25%2Fé' "$entry" 'the entry'
put "$MNT/clean" 'dry_run=1 skip=a%20b%2Cc%2525%252F%C3%A9'
put "$MNT/clean" 'dry_run=1 skip=a%20b%2Cc%25%2F%C3%A9,emptied'
unmount

mount_dir "$DIR" "$MNT" -o skip=emptied
put "$MNT/clean" 'vacuum=0'
assert_eq "$left" "$(rows_of_log "$DIR")" 'rows after a clean in a mount without that collection'
refused clean 'skip=emptied' emptied
unmount
mount_dir "$DIR" "$MNT"
put "$MNT/collections/types/clean" 'vacuum=0'
assert_eq "$left" "$(rows_of_log "$DIR")" 'rows after a clean of another collection'
put "$MNT/collections/emptied/clean" 'vacuum=0'
assert_eq "$((left - 1000))" "$(rows_of_log "$DIR")" 'rows after a clean of the collection'
unmount
