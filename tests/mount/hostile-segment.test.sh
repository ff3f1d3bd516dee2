#!/bin/sh
# limit: 300
# The directory of a segment, or a file in it, is missing, a link, a FIFO, a directory or somebody else's: nothing outside of the
# persist directory is shown, nothing waits, and every other collection is as it was.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

SECRET=a-secret-that-must-not-be-shown

SHOWN=$WORK/all

# assert_no_secret: neither the names nor the contents nor the errors that were just read have it
assert_no_secret() {
    ! grep -a -n -F "$SECRET" "$SHOWN" "$WORK/.unreadable" || fail 'the mount shows what is outside'
}

# assert_others_well: a collection that nobody touched
assert_others_well() {
    assert_eq '' "$(problems "$MNT/collections/docs/info.json")" 'problems of a healthy collection'
    assert_alive
}

put_back() {
    rm -rf "${DIR:?}/$segment"
    cp -a "$CHROMAFS_FIXTURES/chroma-1.5.9/dir/$segment" "$DIR/$segment"
}

# looks WHAT [PROBLEM]: at everything; info.json of the collection and of the root list the problem
looks() {
    # What was changed within two seconds may be Chroma writing, and is no damage yet.
    find "$DIR" -path "$DIR/$segment*" -exec touch -h -d '1 hour ago' {} +
    assert_readable_but "/$segment/"
    note "$1: $(problems "$info"); unreadable: $(wc -l <"$WORK/.found")"
    assert_no_secret
    assert_others_well
    [ -z "${2-}" ] || assert_problem "$info" "$2"
    [ -z "${2-}" ] || assert_problem "$MNT/info.json" "$2"
}

directory() {
    rm -r "${DIR:?}/$segment"
    looks 'no directory' index_missing
    assert_fails test -e "$MNT/segments/$segment/files"
    assert_fails test -e "$MNT/segments/$segment/labels"
    ln -s "$WORK/outside" "$DIR/$segment"
    looks 'a link to a directory outside' index_damaged
    ln -sfn /etc "$DIR/$segment"
    looks 'a link to /etc' index_damaged
    assert_fails test -e "$MNT/segments/$segment/files/passwd"
    ln -sfn "$(vector_segment types)" "$DIR/$segment"
    looks 'a link to another segment' index_damaged
    rm "$DIR/$segment"
    mkfifo "$DIR/$segment"
    looks 'a FIFO' index_damaged
    rm "$DIR/$segment"
    echo "$SECRET" >"$DIR/$segment"
    looks 'a file' index_damaged
    rm "$DIR/$segment"
    mkdir "$DIR/$segment"
    looks 'an empty directory'
    put_back
}

files() {
    for name in header.bin data_level0.bin length.bin link_lists.bin index_metadata.pickle; do
        file=$DIR/$segment/$name
        rm "$file"
        looks "no $name" index_damaged
        ln -s "$WORK/outside/$name" "$file"
        looks "$name is a link" index_damaged
        assert_fails test -e "$MNT/segments/$segment/files/$name"
        ln -sf /dev/zero "$file"
        looks "$name is a link to /dev/zero" index_damaged
        rm "$file"
        mkfifo "$file"
        looks "$name is a FIFO" index_damaged
        assert_fails test -e "$MNT/segments/$segment/files/$name"
        rm "$file"
        mkdir "$file"
        looks "$name is a directory"
        assert_problem "$info" index_damaged
        put_back
    done
}

# header.bin and the rest come from /etc/shadow, or whatever only root may read: neither its content nor its length is told.
shadow() {
    for name in header.bin data_level0.bin index_metadata.pickle; do
        ln -sf /etc/shadow "$DIR/$segment/$name"
        grep -a '^[^:]*:[^:]' /etc/shadow >shadow-lines 2>/dev/null || :
        (cd "$MNT" && find . -type f -exec cat {} + 2>&1) >all || :
        ! grep -a -q -F -f shadow-lines all || [ ! -s shadow-lines ] || fail '/etc/shadow is shown'
        assert_fails test -e "$MNT/segments/$segment/files/$name"
        assert_fails cat "$MNT/segments/$segment/files/$name" 2>/dev/null
    done
    put_back
}

# Files beside the five are shown as they are, under any name; links and devices among them are not.
more_files() {
    odd=$(printf 'new\nline \377 %s' "it's")
    echo odd >"$DIR/$segment/$odd"
    echo dot >"$DIR/$segment/.hidden"
    ln -s "$WORK/outside/header.bin" "$DIR/$segment/link"
    mknod "$DIR/$segment/zero" c 1 5 2>/dev/null || mkfifo "$DIR/$segment/zero"
    assert_eq odd "$(cat "$MNT/segments/$segment/files/$odd")"
    assert_eq dot "$(cat "$MNT/segments/$segment/files/.hidden")"
    assert_fails test -e "$MNT/segments/$segment/files/link"
    assert_fails test -e "$MNT/segments/$segment/files/zero"
    looks 'odd files beside the five'
    put_back
}

# The directory is replaced while its files are open, and while they are read: what was open is not mixed with what is new.
replaced() {
    exec 8<"$MNT/segments/$segment/files/data_level0.bin"
    mv "$DIR/$segment" aside
    cp -a aside "$DIR/$segment"
    poke "$DIR/$segment/data_level0.bin" 4 123
    touch -r aside/data_level0.bin "$DIR/$segment/data_level0.bin"
    cat <&8 >old
    exec 8<&-
    assert_same_file aside/data_level0.bin old
    assert_same_file "$DIR/$segment/data_level0.bin" "$MNT/segments/$segment/files/data_level0.bin"
    rm -r aside
    put_back
    : >stop
    (
        while [ -e stop ]; do
            mv "$DIR/$segment" aside && ln -s "$WORK/outside" "$DIR/$segment" && rm "$DIR/$segment" && mv aside "$DIR/$segment"
        done
    ) &
    swapper=$!
    for _ in 1 2 3 4 5; do
        unreadable >/dev/null
        assert_no_secret
    done
    rm stop
    wait "$swapper"
    looks 'replaced again and again'
    assert_eq '' "$(problems "$info")" 'problems afterwards'
}

mkdir outside
for name in header.bin data_level0.bin length.bin link_lists.bin index_metadata.pickle passwd; do
    echo "$SECRET" >"outside/$name"
done
copy_fixture chroma-1.5.9
segment=$(vector_segment space_l2)
info=$MNT/collections/space_l2/info.json
mount_dir "$DIR" "$MNT"
assert_eq '' "$(problems "$info")" 'problems at first'
for part in directory files shadow more_files replaced; do
    note "$part"
    "$part"
done
unmount
