#!/bin/sh
# What an operation takes away can be brought back: it is in the trash, byte for byte, for as many days as keep= says, 7 else; keep=0 keeps nothing. What is
# due goes at the next mount, and nothing else does.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"

TRASH=.chromafs/trash

# orphan NUMBER: a directory that no collection owns, and has not for long
orphan() {
    ORPHAN=$(printf '%08d-2222-4222-8222-222222222222' "$1")
    mkdir "$DIR/$ORPHAN"
    cp "$DIR/$(segment_of "$DIR" space_l2 VECTOR)"/* "$DIR/$ORPHAN"
    chmod 640 "$DIR/$ORPHAN"/*
    touch -d '2026-01-02 03:04:05 UTC' "$DIR/$ORPHAN"/* "$DIR/$ORPHAN"
}

# take LINE: runs clean-orphans; TAKEN is the folder of the trash that it made, or nothing
take() {
    ls "$DIR/$TRASH" >had 2>/dev/null || :
    put "$MNT/clean-orphans" "$1"
    [ ! -e "$DIR/$ORPHAN" ] || fail "it is still there: $(status .last.result.kept)"
    TAKEN=$(find "$DIR/$TRASH" -mindepth 1 -maxdepth 1 -printf '%f\n' | grep -vxF -f had || :)
}

copy_fixture chroma-1.5.9
mount_dir "$DIR" "$MNT"
put "$MNT/clean-orphans" keep=0 # those of the fixture
assert_eq '' "$(ls "$DIR/$TRASH")" 'what keep=0 keeps'

orphan 1
fingerprint "$DIR/$ORPHAN" | sed -E 's/ [0-9.]+ [0-9]+ $/ ctime inode/' >before
take 1
[ -n "$TAKEN" ] || fail 'it is not in the trash'
fingerprint "$DIR/$TRASH/$TAKEN/$ORPHAN" | sed -E 's/ [0-9.]+ [0-9]+ $/ ctime inode/' | diff before - >&2 || fail 'what is in the trash is something else'
assert_eq 'clean-orphans 7' "$(jq -r '"\(.operation) \(.keep_days)"' "$DIR/$TRASH/$TAKEN/trash.json")" 'what the trash says of it'
assert_eq "trash/$TAKEN" "$(status .last.result.trash)" 'where the result says that it is'
assert_eq 700 "$(stat -c %a "$DIR/$TRASH/$TAKEN")" 'mode of the trash'
week=$TAKEN

orphan 2
take keep=30
month=$TAKEN
assert_eq 30 "$(jq .keep_days "$DIR/$TRASH/$month/trash.json")" 'days'

orphan 3
take keep=0
assert_eq '' "$TAKEN" 'what keep=0 keeps'
assert_eq null "$(status .last.result.trash)" 'where the result says that it is'
unmount

# As if they had been made eight days ago, and something that is not ours.
mkdir "$DIR/$TRASH/somebody"
old_week=$(date -u -d '8 days ago' +%Y%m%dT000000Z) old_month=$(date -u -d '9 days ago' +%Y%m%dT000000Z)
mv "$DIR/$TRASH/$week" "$DIR/$TRASH/$old_week"
mv "$DIR/$TRASH/$month" "$DIR/$TRASH/$old_month"
sed -i "s/\"time\": *\"[^T]*T/\"time\": \"$(date -u -d '8 days ago' +%Y-%m-%d)T/" "$DIR/$TRASH"/*/trash.json
mount_dir "$DIR" "$MNT"
is_emptied() { [ ! -e "$DIR/$TRASH/$old_week" ]; }
wait_until is_emptied
assert_eq "$(printf '%s\n' "$old_month" somebody | sort)" "$(ls "$DIR/$TRASH")" 'what is left in the trash'
unmount
