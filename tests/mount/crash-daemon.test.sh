#!/bin/sh
# limit: 300
# The mount ends while everything is read, in every way that there is: no reader hangs, the directory is as it was, and it can be
# mounted again at the same place.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

have_begun() {
    [ "$(cat turns.* | wc -l)" -ge 8 ]
}

# start_readers: eight that read everything, until the mount is gone
start_readers() {
    rm -f turns.*
    readers=
    for reader in 1 2 3 4 5 6 7 8; do
        (
            cd "$WORK" || exit
            while mountpoint -q "$MNT"; do
                find "$MNT" -type f -exec cat {} + >/dev/null 2>&1 || :
                echo turn >>"turns.$reader"
            done
        ) 2>/dev/null &
        readers="$readers $!"
    done
    wait_until have_begun
}

# end_readers: they end by themselves, since what they do fails
end_readers() {
    for reader in $readers; do
        wait_until sh -c "! kill -0 $reader 2>/dev/null || grep -q '^State:.Z' /proc/$reader/status"
        wait "$reader" || :
    done
}

assert_untouched() {
    assert_eq "$before" "$(directory_state)" "the directory after $1"
}

# daemon_ended HOW STATUS
daemon_ended() {
    status=0
    wait "$daemon" || status=$?
    assert_eq "$2" "$status" "status of the daemon after $1"
}

lazy_unmount() {
    fusermount3 -uz "$MNT"
    end_readers
    daemon_ended 'fusermount3 -uz' 0
}

terminate() {
    kill -TERM "$daemon"
    daemon_ended SIGTERM 0
    end_readers
}

crash() {
    kill -KILL "$daemon"
    daemon_ended SIGKILL 137
    assert_fails cat "$MNT/README" 2>/dev/null
    fusermount3 -uz "$MNT"
    end_readers
}

copy_fixture chroma-1.5.9
before=$(directory_state)
for way in lazy_unmount terminate crash lazy_unmount; do
    note "$way: $(date +%T)"
    mount_dir "$DIR" "$MNT"
    daemon=$DAEMON
    start_readers
    forget_daemon "$MNT"
    "$way"
    assert_fails mountpoint -q "$MNT"
    assert_untouched "$way"
done
note 'a file that is open over the end'
mount_dir "$DIR" "$MNT"
exec 8<"$MNT/info.json"
kill_daemon "$MNT"
timeout 60 cat <&8 >/dev/null 2>&1 || :
exec 8<&-
mount_dir "$DIR" "$MNT"
assert_readable_but ''
unmount
assert_untouched everything
