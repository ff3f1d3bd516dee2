#!/bin/sh
# usage: scripts/quickstart.sh [--keep] [PERSIST_DIR [MOUNTPOINT]]
#
# Installs what is missing, builds chromafs, and mounts:
#   without arguments, a copy of a sample directory that Chroma wrote; it shows what is in there and unmounts it again,
#   unless --keep is given;
#   with arguments, your own Chroma directory (at PERSIST_DIR.mnt unless you say where). Nothing in it is changed by that.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
chromafs=$root/build/chromafs
sample=chroma-1.5.9

say() { printf '%s\n' "$*"; }
die() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}
usage() {
    sed -n 's/^# usage: /usage: /p' "$0" >&2
    exit 2
}

is_mounted() { mountpoint -q -- "$1"; }

check_fuse() {
    [ -e /dev/fuse ] || die 'there is no /dev/fuse: load the kernel module (modprobe fuse); in a container, start it with --device /dev/fuse --cap-add SYS_ADMIN'
    if [ ! -r /dev/fuse ] || [ ! -w /dev/fuse ]; then
        die 'you may not open /dev/fuse'
    fi
}

build() {
    "$root/scripts/install-deps.sh" build >&2
    make -C "$root" -s -j "$(nproc)" all </dev/null
}

# prepare_mountpoint DIR: makes it where needed
prepare_mountpoint() {
    if is_mounted "$1"; then
        die "something is mounted at $1 already; to unmount it: fusermount3 -u '$1'"
    fi
    # A daemon that was killed leaves a mount that answers nothing, not even whether it is one.
    if ! stat "$1" >/dev/null 2>&1 && grep -qF " $1 " /proc/self/mountinfo; then
        die "a dead mount is at $1; to remove it: fusermount3 -uz '$1'"
    fi
    mkdir -p -- "$1"
    [ -z "$(ls -A -- "$1")" ] || die "$1 is not empty"
}

# show TITLE COMMAND...: a bounded piece of what the command prints
show() {
    printf '\n--- %s\n' "$1"
    shift
    "$@" 2>&1 | head -n "${lines:-24}" || :
}

show_tree() {
    lines=60 show 'the tree' find . -maxdepth 3 -not -path './segments/*/*' -not -path './collections/*/*/*'
    show 'cat README' cat README
    show 'head info.json' cat info.json
    for entry in collections/*; do
        [ -e "$entry/info.json" ] || continue
        show "cat $entry/info.json" cat "$entry/info.json"
        break
    done
}

unmount() {
    cd /
    # Someone may still look into it, a desktop for instance.
    for _ in 1 2 3 4 5; do
        ! is_mounted "$1" || fusermount3 -u "$1" 2>/dev/null || { sleep 1 && continue; }
        return 0
    done
    fusermount3 -uz "$1"
}

end_demo() {
    unmount "$work/mnt"
    rm -rf "$work"
}

demo() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/chromafs-sample.XXXXXX")
    trap end_demo EXIT
    trap 'exit 1' INT TERM HUP
    tar -xJf "$root/tests/fixtures/$sample.tar.xz" -C "$work" --no-same-owner
    mkdir "$work/mnt"
    "$chromafs" "$work/$sample/dir" "$work/mnt"
    say "mounted a sample directory: chromafs $work/$sample/dir $work/mnt"
    (cd "$work/mnt" && show_tree)
    if [ "$keep" -eq 1 ]; then
        trap - EXIT
        printf '\nIt stays mounted at %s. To end it: fusermount3 -u %s && rm -r %s\n' "$work/mnt" "$work/mnt" "$work"
    else
        printf '\nUnmounted. For your own directory: scripts/quickstart.sh PERSIST_DIR MOUNTPOINT\n'
    fi
}

own() {
    [ -d "$1" ] || die "$1 is no directory"
    [ -f "$1/chroma.sqlite3" ] || die "$1 is no Chroma directory: it has no chroma.sqlite3"
    prepare_mountpoint "$2"
    "$chromafs" "$1" "$2" || die "chromafs could not mount $1 (see above)"
    say "$1 is mounted at $2. Start with: cat '$2/README'"
    say "To unmount it: fusermount3 -u '$2'"
}

main() {
    keep=0
    while [ $# -gt 0 ]; do
        case $1 in
        --keep) keep=1 ;;
        --help | -h) sed -n '2,/^set/s/^#\( \|$\)//p' "$0" && exit 0 ;;
        --) shift && break ;;
        -*) usage ;;
        *) break ;;
        esac
        shift
    done
    [ $# -le 2 ] || usage
    check_fuse
    build
    if [ $# -eq 0 ]; then
        demo
    else
        own "$(realpath -m -- "$1")" "$(realpath -ms -- "${2:-${1%/}.mnt}")"
    fi
}

main "$@"
