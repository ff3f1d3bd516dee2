#!/bin/sh
# chromafs-wal-backup to remotes: through a remote shell, and to an rsync daemon; the same as to a folder, and what a remote alone can do wrong.
# limit: 300
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal_backup.sh
. "${CHROMAFS_LIB%/*}/helpers/wal_backup.sh"

# What ssh does, without a network: options, host, and the words of a command for the other end's shell.
make_shell() {
    cat >shell <<'END'
#!/bin/sh
[ "$1" != -l ] || shift 2
[ "$1" = host ] || { echo "ssh: could not resolve hostname $1" >&2; exit 255; }
shift
cd "${0%/*}" && exec sh -c "$*"
END
    chmod +x shell
}

start_daemon() {
    mkdir module
    printf '[backups]\npath = %s/module\nread only = no\nuse chroot = no\n' "$WORK" >rsyncd.conf
    [ "$(id -u)" -ne 0 ] || printf 'uid = 0\ngid = 0\n' >>rsyncd.conf
    printf '[closed]\npath = %s/module\nread only = yes\nuse chroot = no\n' "$WORK" >>rsyncd.conf
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        port=$(shuf -i 20000-32000 -n 1)
        rsync --daemon --no-detach --address=127.0.0.1 --port="$port" --config=rsyncd.conf --log-file=rsyncd.log &
        daemon=$!
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            ! rsync "rsync://127.0.0.1:$port/backups/" >/dev/null 2>&1 || return 0
            kill -0 "$daemon" 2>/dev/null || break
            sleep 0.2
        done
    done
    fail "rsync --daemon did not start: $(cat rsyncd.log)"
}

names_of_folder() { generations "$folder"; }

# check_remote FOLDER ARGUMENT...: FOLDER is where the last argument leads to
check_remote() {
    folder=$1
    shift
    NAMES=names_of_folder
    note "$*"
    back_up "$@"
    first=$folder/$GENERATION
    assert_generation "$first"
    back_up "$@"
    second=$folder/$GENERATION
    assert_generation "$second"
    for log in wal.jsonl collections/types/wal.jsonl; do
        assert_ok same_inode "$first/$log" "$second/$log"
    done
    add_rows "$DIR" types 3
    # What runs that were killed leave there, and what is somebody else's.
    mkdir -p "$folder/20200101T000000Z/collections" "$folder/20200102T000000Z.partial" "$folder/mine"
    echo mine >"$folder/mine/MANIFEST"
    echo row >"$folder/20200101T000000Z/wal.jsonl"
    back_up --keep=2 "$@"
    third=$folder/$GENERATION
    assert_generation "$third"
    assert_fails same_inode "$second/wal.jsonl" "$third/wal.jsonl"
    assert_ok same_inode "$second/collections/docs/wal.jsonl" "$third/collections/docs/wal.jsonl"
    assert_ok cmp -n "$(stat -c %s "$second/wal.jsonl")" "$second/wal.jsonl" "$third/wal.jsonl"
    assert_eq "${second##*/} ${third##*/} mine " "$(find "$folder" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | tr '\n' ' ')" 'what --keep=2 left'
    assert_eq mine "$(cat "$folder/mine/MANIFEST")" 'what is not ours'
    purge "$DIR" types
    back_up --keep=1 "$@"
    assert_generation "$folder/$GENERATION"
    assert_eq "$GENERATION" "$(generations "$folder")" 'generations with --keep=1'
}

check_paths() {
    # shellcheck disable=SC2016  # no variable
    for name in 'with  blanks' "quotes'\"" '-dash' '$HOME' 'star*[x]?' 'back\slash' 'ümläut' '#x;y&z|(a)'; do
        folder=$WORK/remote/$name
        back_up "$shell" "$DIR" "host:remote/$name"
        assert_generation "$folder/$GENERATION"
    done
    for name in 'with  blanks' "quotes'\"" 'below -dash' 'ümläut'; do
        folder=$WORK/module/$name
        back_up "$DIR" "rsync://127.0.0.1:$port/backups/$name"
        assert_generation "$folder/$GENERATION"
    done
}

check_failures() {
    assert_backup_fails 1 'could not resolve' "$shell" "$DIR" nowhere:remote
    assert_backup_fails 1 "$(errno_text ENOENT)" "$shell" "$DIR" host:nothing/there
    assert_backup_fails 1 'Unknown module' "$DIR" "rsync://127.0.0.1:$port/nothing/x"
    assert_backup_fails 1 'read only' "$DIR" "rsync://127.0.0.1:$port/closed"
    assert_backup_fails 1 'Connection refused' "$DIR" rsync://127.0.0.1:9/backups
    assert_backup_fails 2 newline "$shell" "$DIR" "host:new
line"
    assert_backup_fails 2 'no host' -- "$DIR" -oProxyCommand=x:y
}

copy_fixture chroma-1.5.9
make_shell
start_daemon
mkdir remote
shell=--rsync-option=-e$WORK/shell
check_remote "$WORK/remote/a" "$shell" "$DIR" host:remote/a
check_remote "$WORK/remote/b" --rsync-option=-e"$WORK/shell" --rsync-option=-z "$DIR" "user@host:$WORK/remote/b/"
check_remote "$WORK/module/a" "$DIR" "rsync://127.0.0.1:$port/backups/a"
check_remote "$WORK/module/b" --rsync-option=--port="$port" "$DIR" 127.0.0.1::backups/b
rm -rf "${WORK:?}"/module/*
RSYNC_RSH=$WORK/shell
export RSYNC_RSH
check_remote "$WORK/remote/c" "$DIR" host:remote/c
unset RSYNC_RSH
check_paths
check_failures
kill "$daemon"
wait "$daemon" || :
