#!/bin/sh
# Persist directories and mount points with odd names, relative ones, and two mounts of one directory.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

NEWLINE=$(printf 'new\nline')

# check_at DIR MNT: mounts in the background, looks, unmounts
check_at() {
    mkdir -p "$2"
    run_program "$1" "$2"
    assert_eq 0 "$STATUS" "status for '$1' at '$2': $(cat "$WORK/err")"
    assert_eq '' "$(cat "$WORK/err" "$WORK/out")" 'output'
    mountpoint -q "$2" || fail "'$2' is no mount point"
    path=$(realpath "$1")
    assert_eq "$path
$path/chroma.sqlite3" "$(jq -r '.persist_directory, .system_database_path' "$2/info.json")" 'paths in info.json'
    [ -s "$2/collections/types/info.json" ] || fail "'$1' at '$2' has nothing in it"
    end_background "$2"
}

# Each with the directory and with the mount point; libfuse splits options at commas, and mountinfo writes blanks in another way.
check_names() {
    for name in 'with blanks  in it' 'comma,ro,fsname=x' 'back\slash\054' "$NEWLINE" "quote'\"s" 'ümläut-名' '-o' 'star*?' '%2F' 'a=b:c'; do
        mv "$DIR" "./$name"
        check_at "./$name" mnt
        mv "./$name" "$DIR"
        check_at "$DIR" "./mnt-$name"
        check_at "$DIR" "$WORK/mnt-$name/below"
    done
}

# The daemon goes to another directory; what it was told stays.
check_relative() {
    mkdir -p elsewhere/mnt
    (cd elsewhere && check_at ../chroma-1.5.9 mnt)
    (cd chroma-1.5.9 && check_at . ../mnt)
    ln -s chroma-1.5.9 link
    check_at link mnt
    cp -a chroma-1.5.9 moved-later
    run_program moved-later mnt
    mv moved-later moved
    [ -s mnt/collections/types/info.json ] || fail 'a directory that was renamed while it is mounted'
    end_background mnt
}

check_two_mounts() {
    mount_dir "$DIR" "$WORK/one"
    mount_dir "$DIR" "$WORK/two" -o ro
    wait_measured "$WORK/one"
    wait_measured "$WORK/two"
    for file in collections/types/info.json config/fts_tokenizer README; do assert_same_file "$WORK/one/$file" "$WORK/two/$file"; done
    change "$DIR" "UPDATE collections SET name = 'renamed' WHERE name = 'types'"
    for mount in one two; do
        assert_eq renamed "$(jq -r .name "$WORK/$mount/collections/renamed/info.json")" "$mount"
    done
    unmount "$WORK/one"
    assert_eq renamed "$(jq -r .name "$WORK/two/collections/renamed/info.json")" 'the second after the first has gone'
    unmount "$WORK/two"
    change "$DIR" "UPDATE collections SET name = 'types' WHERE name = 'renamed'"
}

copy_fixture chroma-1.5.9
mkdir mnt
check_names
check_two_mounts
check_relative
