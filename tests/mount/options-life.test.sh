#!/bin/sh
# How a mount begins and ends: -f, -d, in the background, fusermount3 -u, signals, a busy mount point, a directory that goes away.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

# ended_by SIGNAL: the daemon unmounts and exits with 0
ended_by() {
    mount_dir "$DIR" "$MNT"
    [ -s "$MNT/info.json" ] || fail 'nothing there'
    forget_daemon "$MNT"
    kill -"$1" "$DAEMON"
    status=0
    wait "$DAEMON" || status=$?
    assert_eq 0 "$status" "exit status after SIG$1"
    assert_fails findmnt -n "$MNT"
    assert_eq '' "$(cat "$MNT.log")" "output until SIG$1"
}

check_background() {
    run_program "$DIR" "$MNT"
    assert_eq 0 "$STATUS" 'exit status'
    # It is mounted before the command returns, so that the next line of a script can use it.
    mountpoint -q "$MNT" || fail 'not mounted when the command returned'
    [ -s "$MNT/info.json" ] || fail 'nothing there when the command returned'
    daemon=$(daemons_of "$DIR")
    [ -n "$daemon" ] || fail 'there is no daemon'
    assert_eq / "$(readlink "/proc/$daemon/cwd")" 'current directory of the daemon'
    [ "$(ps -o sid= -p "$daemon" | tr -d ' ')" != "$(ps -o sid= -p $$ | tr -d ' ')" ] || fail 'the daemon is in our session'
    case $(readlink "/proc/$daemon/fd/1") in
    "$WORK"/*) fail 'the daemon keeps stdout open' ;;
    esac
    end_background "$MNT"
    assert_fails mountpoint -q "$MNT"
}

# Whoever starts it without stdin, stdout and stderr: nothing else may get their numbers.
check_closed() {
    "$CHROMAFS" "$DIR" "$MNT" <&- >&- 2>&- || fail 'not mounted without stdin, stdout and stderr'
    [ -n "$(ls "$MNT/collections")" ] || fail 'nothing there without stdin, stdout and stderr'
    echo dry_run=1 >"$MNT/clean" || fail "no operation without stdin, stdout and stderr: $(cat "$MNT/last_error")"
    end_background "$MNT"
}

check_debug() {
    mount_dir "$DIR" "$MNT" -d
    cat "$MNT/README" >/dev/null
    assert_contains "$MNT.log" LOOKUP
    unmount
    : >"$MNT.log"
}

# What findmnt, df and mount(8) show.
check_table() {
    mount_dir "$DIR" "$MNT" -o ro
    assert_eq "$DIR" "$(findmnt -n -o SOURCE "$MNT")" 'source'
    assert_eq fuse.chromafs "$(findmnt -n -o FSTYPE "$MNT")" 'type'
    unmount
    # The words that mount(8) hands on.
    mount_dir "$DIR" "$MNT" -o rw,defaults,noauto,nofail,_netdev,nosuid,nodev,noexec,noatime
    [ -s "$MNT/info.json" ] || fail 'nothing there'
    unmount
}

# A daemon that is ended unmounts, wherever it was started from.
check_relative() {
    (cd "${MNT%/*}" && "$CHROMAFS" "$DIR" "${MNT##*/}") || fail 'not mounted at a relative path'
    kill -TERM "$(daemons_of "$DIR")"
    is_unmounted() { ! findmnt -n "$MNT"; }
    wait_until is_unmounted
    ls "$MNT" >/dev/null
}

check_busy() {
    mount_dir "$DIR" "$MNT"
    exec 3<"$MNT/README"
    assert_fails fusermount3 -u "$MNT" 2>/dev/null
    head -n 1 <&3 | grep -q Chroma || fail 'the file that keeps it busy'
    exec 3<&-
    unmount
}

# Without the directory nothing old is shown; the mount stays, and can be ended.
check_gone() {
    mv "$DIR" saved
    cp -a saved "$DIR"
    mount_dir "$DIR" "$MNT"
    rm -r "${DIR:?}"
    assert_fails cat "$MNT/collections/types/info.json" 2>err
    ! cat "$MNT/info.json" >info 2>>err || assert_eq null "$(jq .collections info)" 'collections of a directory that is not there'
    kill -0 "$(daemon_of "$MNT")" || fail "the daemon died: $(cat err)"
    findmnt -n "$MNT" >/dev/null || fail 'not mounted any more'
    unmount
    mv saved "$DIR"
}

copy_fixture chroma-1.5.9
mkdir "$MNT"
# Not INT: the shell starts what it runs in the background with that ignored, and so it stays.
for signal in TERM HUP; do ended_by "$signal"; done
check_background
check_closed
check_debug
check_table
check_relative
check_busy
check_gone
