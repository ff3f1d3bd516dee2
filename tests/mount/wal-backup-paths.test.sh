#!/bin/sh
# chromafs-wal-backup with odd, relative and wrong paths, wrong usage, and without the programs that it needs.
# limit: 300
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal_backup.sh
. "${CHROMAFS_LIB%/*}/helpers/wal_backup.sh"

NEWLINE=$(printf 'new\nline')
ENDING=$(printf 'ends\n.')
ENDING=${ENDING%.}
NAMES=names_of_folder
names_of_folder() { generations "$folder"; }

# check_to FOLDER ARGUMENT...: the last ones lead there
check_to() {
    folder=$1
    shift
    back_up "$@"
    assert_generation "$folder/$GENERATION" "$WORK/reference"
}

check_names() {
    # shellcheck disable=SC2016  # no variable
    for name in 'with blanks  in it' 'comma,ro,fsname=x' 'back\slash\054' "$NEWLINE" "$ENDING" "quote'\"s" 'ümläut-%s' '-o' 'star*?[x]' '#$HOME' 'a=b'; do
        mv "$DIR" "./$name"
        check_to "$WORK/to/$name" -- "./$name" "$WORK/to/$name"
        check_to "$WORK/to-$name" -- "$name" "./to-$name"
        mkdir "mnt-$name"
        # In the background, so that lib.sh need not know the name.
        run_program "./$name" "./mnt-$name"
        run_backup -v -- "$name" "to-$name"
        assert_eq 0 "$STATUS" "status with a mount: $(cat err)"
        printf 'the log is read from %s\n' "$WORK/mnt-$name" >expected
        assert_eq "$(cat expected)" "$(head -n "$(wc -l <expected)" out)" "the mount of '$name'"
        end_background "./mnt-$name"
        mv "./$name" "$DIR"
    done
}

check_relative() {
    mkdir elsewhere
    ln -s "$DIR" link
    (cd elsewhere && check_to "$WORK/elsewhere/dest" ../chroma-1.5.9 dest)
    (cd elsewhere && check_to "$WORK/elsewhere/dest" ../link ./dest//)
    (cd "$DIR" && check_to "$WORK/elsewhere/dest" . ../elsewhere/dest/)
    (cd elsewhere/dest && check_to "$WORK/elsewhere/dest" "$DIR" .)
    ln -s elsewhere/dest dest-link
    check_to "$WORK/elsewhere/dest" chroma-1.5.9 dest-link
    # Behind a slash a colon makes no remote.
    check_to "$WORK/a:b" chroma-1.5.9 ./a:b
    mkdir "tmp/with blanks $NEWLINE"
    TMPDIR="$TMPDIR/with blanks $NEWLINE"
    check_to "$WORK/a:b" chroma-1.5.9 ./a:b
    TMPDIR=$WORK/tmp
}

check_wrong_usage() {
    assert_backup_fails 2 'are needed'
    assert_backup_fails 2 'are needed' "$DIR"
    assert_backup_fails 2 'too many' "$DIR" to extra
    assert_backup_fails 2 empty "$DIR" ''
    assert_backup_fails 2 empty '' to
    assert_backup_fails 2 'no option: --bad' --bad "$DIR" to
    assert_backup_fails 2 'no option: -x' -x "$DIR" to
    for number in '' 0 -1 1x 01 '1 2' 99999999999999999999; do
        assert_backup_fails 2 --keep "--keep=$number" "$DIR" to
    done
    assert_backup_fails 2 'rsync' --rsync-option=x "$DIR" to
    for option in '' -- --delete --del --delete-excluded --remove-source-files; do
        assert_backup_fails 2 'rsync' "--rsync-option=$option" "$DIR" to
    done
    for inside in "$DIR" "$DIR/" "$DIR/new" chroma-1.5.9/new link/new "$DIR/../chroma-1.5.9/new"; do
        assert_backup_fails 2 inside "$DIR" "$inside"
    done
    assert_eq '' "$(find "$DIR" -name 'new*' -o -name '*.lock')" 'in the persist directory'
}

check_failures() {
    mkdir empty
    : >file
    assert_backup_fails 1 "$(errno_text ENOENT)" nothing folder
    assert_backup_fails 1 'chroma.sqlite3' empty folder
    assert_backup_fails 1 directory file folder
    assert_backup_fails 1 "$(errno_text ENOENT)" "$DIR" nothing/below
    assert_backup_fails 1 "$(errno_text EEXIST)" "$DIR" file
    assert_backup_fails 1 "$(errno_text ENOTDIR)" "$DIR" file/below
    TMPDIR=$WORK/nothing run_backup "$DIR" folder
    assert_eq 1 "$STATUS" 'status without a folder for temporary files'
    assert_contains err temporary
    assert_backup_fails 1 'rsync' --rsync-option=--no-such-option "$DIR" folder
    assert_eq '' "$(generations folder)" 'generations after failures'
    mkdir without
    for program in rsync flock chromafs; do
        find /usr/bin /bin -maxdepth 1 ! -type d ! -name "$program" -exec ln -sft without {} +
        [ "$program" = chromafs ] || ln -sf "$WORK/bin/chromafs" without/
        cp bin/chromafs-wal-backup without/
        # shellcheck disable=SC2123  # that is what is meant
        (PATH=$WORK/without && assert_backup_fails 1 "$program" "$DIR" folder)
        rm -rf without/*
    done
}

# An option for rsync that would write into older generations does not.
check_options() {
    folder=options
    back_up "$DIR" options
    first=options/$GENERATION
    before=$(logs "$first")
    add_rows "$DIR" types 2
    back_up --rsync-option=--inplace --rsync-option=--append "--rsync-option=--rsync-path=it's not used" "$DIR" options
    assert_generation "options/$GENERATION"
    assert_eq "$before" "$(logs "$first")" 'an older generation'
    folder=$WORK/options
    mkdir options/mine options/20200101T000000Z.partial
    echo mine >options/mine/file
    back_up --rsync-option=--chmod=Fg=r '--rsync-option=--include=*' '--rsync-option=--filter=protect *' --keep=9 "$DIR" options
    assert_generation "options/$GENERATION"
    assert_eq mine "$(cat options/mine/file)" 'what is not ours, with filters'
    [ ! -e options/20200101T000000Z.partial ] || fail 'a filter has protected an unfinished generation'
    assert_eq 640 "$(stat -c %a "options/$GENERATION/wal.jsonl")" 'mode with an option'
    for option in -h --help; do
        run_backup "$option"
        assert_eq 0 "$STATUS" "status of $option"
        for shown in --keep --rsync-option --verbose --version; do assert_contains out "$shown"; done
    done
    run_backup --version
    assert_eq "chromafs-wal-backup $("$CHROMAFS" --version | sed -n '1s/.* //p')" "$(cat out)" --version
}

copy_fixture chroma-1.5.9
mkdir to
mount_fixture chroma-1.5.9
mkdir reference
cp -a mnt/wal.jsonl mnt/collections reference/
unmount
check_names
check_relative
check_wrong_usage
check_failures
check_options
