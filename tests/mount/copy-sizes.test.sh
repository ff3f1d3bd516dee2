#!/bin/sh
# Every regular file has the size that it says, however it is read.
# limit: 600
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

# each COMMAND...: with all files as arguments, NUL in the list between them
each() {
    xargs -0 -x "$@" <list
}

# What common tools give of each file, one behind the other, is what read_ways gives.
check_tools() {
    each cat | cmp - whole >&2 || fail 'cat'
    each tail -q -c +1 | cmp - whole >&2 || fail 'tail -c +1'
    each head -q -c 1G | cmp - whole >&2 || fail 'head -c 1G'
    each stat -c '%s %n' >sizes
    each wc -c | sed '$d' | awk '{ n = $1; sub(/^ *[0-9]* /, ""); print n " " $0 }' | diff sizes - >&2 || fail 'wc -c'
    each tail -q -c 5 >ends
    # shellcheck disable=SC2016  # the inner shell's
    each sh -c 'for file; do cat "$file" | tail -c 5; done' sh | cmp - ends >&2 || fail 'tail -c 5'
}

# check_links: the size of a symbolic link is the length of its target, which tar and rsync rely on
check_links() {
    find "$MNT" -type l -printf '%s %l\n' | awk '{ if (length($2) != $1) { print; bad = 1 } } END { exit bad }' >&2 || fail 'sizes of links'
}

copy_fixture chroma-1.5.9
mount_settled "$DIR"
find "$MNT" -type f -print0 >list
[ "$(tr -cd '\0' <list | wc -c)" -gt 300 ] || fail "only $(tr -cd '\0' <list | wc -c) files"
tr '\0' '\n' <list | helper read_ways >whole
check_tools
check_links
