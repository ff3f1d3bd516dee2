#!/bin/sh
# chromafs-maintain with odd and wrong paths, wrong usage, in every shell that is there, without rights, without room, beside whoever uses the directory: what it says, and
# that nothing is changed or left.
# limit: 600
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"
# shellcheck source=tests/mount/helpers/maintain.sh
. "${CHROMAFS_LIB%/*}/helpers/maintain.sh"

IGNORE=--ignore=fragmented
NEWLINE=$(printf 'new\nline')
ENDING=$(printf 'ends\n.')
ENDING=${ENDING%.}

# check_name NAME: as directory, as backup's, and as mount point
check_name() {
    copy_fixture chroma-1.5.9
    mv "$DIR" "./$1"
    maintain "$IGNORE" "--backup=to-$1" -- "$1"
    assert_eq 19 "$(rows "./$1")" "rows of '$1'"
    assert_eq 111 "$(rows "./to-$1")" "rows of the backup of '$1'"
    mkdir -p "mnt-$1"
    # In the background, so that lib.sh need not know the name.
    run_program "./to-$1" "./mnt-$1"
    maintain "$IGNORE" --backup="$WORK/more-$1//" -- "mnt-$1"
    end_background "./mnt-$1"
    assert_eq '19 111' "$(rows "./to-$1") $(rows "./more-$1")" "rows of 'to-$1', which is mounted, and of its backup"
    rm -rf "./$1" "to-$1" "more-$1"
}

names() {
    # shellcheck disable=SC2016  # no variable
    for name in 'with blanks  in it' 'comma,ro,skip=x' 'back\slash\054' "$NEWLINE" "$ENDING" "quote'\"s" 'ümläut-%s%20' '-o' '-' '#$HOME*?[x]'; do
        check_name "$name"
    done
    mkdir "tmp/with blanks $NEWLINE"
    copy_fixture chroma-1.5.9
    (TMPDIR="$TMPDIR/with blanks $NEWLINE" && maintain "$IGNORE" "$DIR")
    rm -rf "$DIR"
}

each_shell() {
    shells >list
    while read -r shell <&9; do
        note "$shell"
        MAINTAIN="$shell $WORK/bin/chromafs-maintain"
        check_name "100% $NEWLINE"
        assert_maintain 2 'no option: --bad' --bad "$DIR"
        copy_fixture chroma-1.5.9
        tear "$DIR" fragmented data_level0.bin 20000
        run_maintain --ignore=left --backup="$WORK/backup" "$DIR/."
        assert_eq 3 "$STATUS" "status with $shell: $(cat err)"
        assert_eq 'backup:done commit:done rebuild-hnsw:done rebuild-hnsw:failed commit:done clean-orphans:done clean:done ' "$(operations "$DIR")" "operations with $shell"
        assert_eq 'lost index_damaged fragmented damaged_source' "$(sed 's/.*\[\(.*\)\]$/\1/' err | awk '!seen[$0]++ { all[n++] = $0 } END { for (i = 1; i < n; i++) printf "%s ", all[i]; printf "%s", all[0] }')" "problems that $shell tells"
        rm -rf "$DIR" backup
    done 9<list
    MAINTAIN=$WORK/bin/chromafs-maintain
}

wrong_usage() {
    copy_fixture chroma-1.5.9
    fingerprint "$DIR" >before
    assert_maintain 2 'is needed'
    assert_maintain 2 'is needed' -v
    assert_maintain 2 'too many' "$DIR" "$DIR"
    assert_maintain 2 empty ''
    for option in --bad -x --commit --force --no-backup --backup --skip --keep --keep= --keep=x --keep=-1 --keep=36501 --keep=007 --fragmentation --fragmentation=101 --fragmentation=3.5 --threads=0 --threads=1025 \
        --backup= --skip= --ignore= --ignore=A --ignore='a b'; do
        assert_maintain 2 "${option%%=*}" "$option" "$DIR"
    done
    # In any order.
    for option in --keep=3 --no-clean --no-vacuum --skip=types; do
        assert_maintain 2 '--erase leaves nothing out' --erase "$option" "$DIR"
        assert_maintain 2 '--erase leaves nothing out' "$option" --erase "$DIR"
    done
    fingerprint "$DIR" | diff before - >&2 || fail 'wrong usage has changed something'
    for option in -h --help; do
        run_maintain "$option"
        assert_eq 0 "$STATUS" "status of $option"
        sed -n 's/^\*\(-[^*]*\)\*.*/\1/p' "${CHROMAFS_LIB%/tests/mount/lib.sh}/man/chromafs-maintain.1.scd" | tr -d '*=,' | tr ' ' '\n' | grep '^-' >options
        while read -r shown; do assert_contains out "$shown"; done <options
        [ "$(wc -l <options)" -gt 10 ] || fail 'the manual page has no options'
    done
    run_maintain --version
    assert_eq "chromafs-maintain $("$CHROMAFS" --version | sed -n '1s/.* //p')" "$(cat out)" --version
    rm -rf "$DIR"
}

wrong_directories() {
    mkdir empty
    : >file
    copy_fixture chroma-1.5.9
    assert_maintain 1 "nothing/.': $(errno_text ENOENT)" nothing
    assert_maintain 1 "$(errno_text ENOTDIR)" file
    assert_maintain 1 "$(errno_text ENOTDIR)" "$DIR/chroma.sqlite3"
    assert_maintain 1 'empty is no Chroma persist directory' empty
    assert_maintain 1 'no Chroma persist directory' /
    TMPDIR=$WORK/nothing run_maintain "$DIR"
    assert_eq 1 "$STATUS" 'status without a folder for temporary files'
    assert_contains err temporary
    printf 'x' | dd of="$DIR/chroma.sqlite3" conv=notrunc status=none
    assert_maintain 1 'SQLite' "$DIR"
    rm -rf "$DIR"
}

wrong_mounts() {
    mount_fixture chroma-1.5.9 -o ro
    assert_maintain 1 'is mounted read-only' "$IGNORE" "$MNT"
    # The directory has a mount of its own.
    maintain "$IGNORE" "$DIR"
    unmount
    mount_dir "$DIR" "$MNT"
    kill -KILL "$DAEMON"
    wait "$DAEMON" 2>/dev/null || :
    assert_maintain 1 'Transport endpoint is not connected' "$MNT"
    maintain "$IGNORE" "$DIR"
    forget_daemon "$MNT"
    fusermount3 -uz "$MNT"
    rm -rf "$DIR"
    copy_fixture chroma-1.5.9
    change "$DIR" "INSERT INTO migrations SELECT dir, 99, '00099-new.sqlite.sql', sql, hash FROM migrations WHERE dir = 'sysdb' ORDER BY version DESC LIMIT 1"
    assert_maintain 1 'newer than all known' "$DIR"
    rm -rf "$DIR"
    [ "$(id -u)" -eq 0 ] || return 0
    mount_fixture chroma-1.5.9
    mkdir part
    mount --bind "$MNT/collections/types" part
    assert_maintain 1 'there is no control cancel in ' part
    umount part
    unmount
    rm -rf "$DIR"
}

wrong_backups() {
    copy_fixture chroma-1.5.9
    mkdir there
    : >file
    fingerprint "$DIR" >before
    assert_maintain 1 'there is there already' "$IGNORE" --backup=there "$DIR"
    assert_maintain 1 'backup: ' "$IGNORE" --backup=file "$DIR"
    assert_maintain 1 'backup: ' "$IGNORE" --backup=file/below "$DIR"
    assert_maintain 1 'backup: ' "$IGNORE" --backup=no/such/folder "$DIR"
    assert_maintain 1 'backup: ' "$IGNORE" --backup="$DIR/inside" "$DIR"
    assert_maintain 1 'backup: ' "$IGNORE" --backup=/ "$DIR"
    assert_eq 111 "$(rows "$DIR")" 'rows: without a backup nothing else is done'
    assert_maintain 1 'longer than' "$IGNORE" --backup="$(printf '%0300d' 0)" "$DIR"
    long=$WORK/long
    for _ in 1 2 3 4 5 6 7 8 9; do long=$long/$(printf '%0200d' 0 | tr 0 %); done
    mkdir -p "$long"
    # Percent-encoded it is longer than what a shell writes at once.
    maintain "$IGNORE" --backup="$long/backup" "$DIR"
    mv "$long/backup" short
    assert_eq 111 "$(rows short)" 'rows of a backup with a long path'
    rm -rf "$DIR" long short
}

no_room() {
    need_root
    mkdir disk
    mount -t tmpfs -o size=1m tmpfs disk || skip 'no tmpfs can be mounted here'
    copy_fixture chroma-1.5.9
    blocks=$(df --output=used disk | tail -n 1)
    assert_maintain 1 'backup: ' "$IGNORE" --backup=disk/backup "$DIR"
    assert_eq 111 "$(rows "$DIR")" 'rows: without a backup nothing else is done'
    assert_eq "$blocks" "$(df --output=used disk | tail -n 1)" 'used blocks after a backup without room'
    assert_eq '' "$(ls -A disk)" 'what a backup without room leaves'
    head -c 2M /dev/zero >disk/filler 2>/dev/null || :
    TMPDIR=$WORK/disk
    run_maintain "$DIR"
    assert_eq 1 "$STATUS" "status without room for temporary files: $(cat err)"
    rm disk/filler
    assert_nothing_left
    TMPDIR=$WORK/tmp
    assert_eq 111 "$(rows "$DIR")" 'rows, without room for temporary files'
    umount disk
    # No room in the directory: each step says so, and the directory is as it was.
    mount -t tmpfs -o size=1500k tmpfs disk
    cp -a "$DIR" disk/chroma
    head -c 2M /dev/zero >disk/filler 2>/dev/null || :
    before=$(contents_of disk/chroma)
    run_maintain "$IGNORE" disk/chroma
    assert_eq 1 "$STATUS" "status without room in the directory: $(cat err)"
    assert_contains err 'commit: '
    assert_eq "$before" "$(contents_of disk/chroma)" 'a directory without room'
    assert_nothing_left
    rm disk/filler
    assert_sound disk/chroma
    umount disk
    rm -rf "$DIR"
}

no_rights() {
    need_root
    as_nobody test -w /dev/fuse || return 0
    mkdir user user/tmp
    chmod 755 user
    copy_fixture chroma-1.5.9
    mv "$DIR" user/chroma
    chown -R 65534:65534 user/tmp
    # shellcheck disable=SC2317  # it is called by its name
    as_user() { as_nobody env TMPDIR="$WORK/user/tmp" XDG_CACHE_HOME="$WORK/user/tmp" "$WORK/bin/chromafs-maintain" "$@"; }
    MAINTAIN=as_user
    assert_maintain 1 'is not yours' "$IGNORE" user/chroma
    chmod 700 user/chroma
    assert_maintain 1 "$(errno_text EACCES)" "$IGNORE" user/chroma
    # By its owner; and by root, who leaves it to its owner.
    chown -R 65534:65534 user/chroma
    maintain "$IGNORE" --no-commit --backup="$WORK/user/tmp/backup" user/chroma
    MAINTAIN=$WORK/bin/chromafs-maintain
    maintain "$IGNORE" user/chroma
    assert_eq '' "$(find user/chroma ! -user 65534)" 'what root has made'
    rm -rf user
}

# hold COMMAND...: another process has the database open
hold() {
    sh -c 'exec sleep 600' 7<>"$DIR/chroma.sqlite3" &
    holder=$!
    # shellcheck disable=SC2317
    holds() { [ "$(readlink "/proc/$holder/fd/7")" = "$(readlink -f "$DIR")/chroma.sqlite3" ] && [ "$(cat "/proc/$holder/comm")" = sleep ]; }
    wait_until holds
}

in_use() {
    copy_fixture chroma-1.5.9
    hold
    before=$(contents_of "$DIR")
    assert_maintain 75 "commit: pid $holder (sleep) has chroma.sqlite3 open for writing: end it first" "$DIR"
    assert_fails grep -q force err
    assert_maintain 75 "clean: pid $holder (sleep)" --no-commit --no-rebuild-hnsw --no-clean-orphans "$DIR"
    # A backup is made all the same, and told with -v.
    run_maintain -v --backup=backup "$DIR"
    assert_eq 75 "$STATUS" 'status with a backup'
    assert_contains out 'bytes: '
    assert_eq 111 "$(rows backup)" 'rows of the backup'
    assert_eq "$before" "$(contents_of "$DIR")" 'the directory'
    run_maintain -n "$IGNORE" "$DIR"
    assert_eq '0 ' "$STATUS $(cat err)" 'status and errors of a dry run'
    assert_contains out "pid $holder (sleep) has chroma.sqlite3 open for writing"
    kill "$holder"
    wait "$holder" || :
    # A reader is none.
    sh -c 'exec sleep 600' 7<"$DIR/chroma.sqlite3" &
    holder=$!
    wait_until holds
    maintain "$IGNORE" "$DIR"
    kill "$holder"
    wait "$holder" || :
    rm -rf "$DIR" backup
}

for part in ${PARTS:-names each_shell wrong_usage wrong_directories wrong_mounts wrong_backups in_use no_rights no_room}; do
    note "$part"
    "$part"
done
