#!/bin/sh
# Options, wrong usage and what can't be mounted: exit statuses, and one line on stderr that says why.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

check_help() {
    for option in --help -h; do
        run_program "$option"
        assert_eq 0 "$STATUS" "status of $option"
        assert_eq 0 "$(wc -c <err)" "bytes on stderr of $option"
        for text in PERSIST_DIR MOUNTPOINT skip= privacy allow_other ro -f -d --version 'fusermount3 -u'; do assert_contains out "$text"; done
    done
    for option in --version -V; do
        run_program "$option"
        assert_eq 0 "$STATUS" "status of $option"
        head -n 1 out | grep -qx 'chromafs [0-9][0-9.]*[^ ]*' || fail "$option: $(cat out)"
        assert_contains out libfuse
        assert_contains out SQLite
    done
}

check_wrong_usage() {
    assert_refused 2 'mount point'
    assert_refused 2 'mount point' "$DIR"
    assert_refused 2 third "$DIR" mnt third
    assert_refused 2 no-such-option -o no-such-option "$DIR" mnt
    assert_refused 2 --no-such-option --no-such-option "$DIR" mnt
    assert_refused 2 -x -x "$DIR" mnt
    assert_refused 2 skip -o skip= "$DIR" mnt
    assert_refused 2 '%zz' -o skip=a:%zz "$DIR" mnt
}

check_directories() {
    assert_refused 1 "$(errno_text ENOENT)" missing mnt
    mkdir empty
    assert_refused 1 chroma.sqlite3 empty mnt
    : >file
    assert_refused 1 file file mnt
    mkdir garbage
    printf '%5000s' 'this is no database' >garbage/chroma.sqlite3
    assert_refused 1 garbage garbage mnt
    mkdir other
    sqlite3 other/chroma.sqlite3 'CREATE TABLE something_else (a)'
    assert_refused 1 other other mnt
    mkdir zero
    : >zero/chroma.sqlite3
    assert_refused 1 zero zero mnt
    mkdir -p odd/chroma.sqlite3
    assert_refused 1 odd odd mnt
}

check_mountpoints() {
    assert_refused 1 "$(errno_text ENOENT)" "$DIR" missing
    mkdir "$DIR/inside"
    assert_refused 1 inside "$DIR" "$DIR/inside"
    ln -s "$DIR/inside" looks-outside
    assert_refused 1 inside "$DIR" looks-outside
    assert_refused 1 inside "$DIR" "$DIR"
    rmdir "$DIR/inside"
    # The kernel would mount it, and every access would then fail.
    assert_refused 1 'irectory' "$DIR" file
}

copy_fixture chroma-1.5.9
mkdir mnt
before=$(fingerprint "$DIR" | sha256sum)
check_help
check_wrong_usage
check_directories
assert_eq "$before" "$(fingerprint "$DIR" | sha256sum)" 'the directory after all refusals'
check_mountpoints
assert_fails mountpoint -q mnt
