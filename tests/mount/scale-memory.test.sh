#!/bin/sh
# limit: 240
# Everything is read and listed over and over: memory does not grow with how often.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

TURNS=20
[ "${FULL-}" != 1 ] || TURNS=300
GENEROUS=16384

# turns COUNT: a commit before each, so that every one reads new generations
turns() {
    for _ in $(seq "$1"); do
        sql "UPDATE collections SET dimension = coalesce(dimension, 0) + 1 WHERE name = 'empty'"
        assert_readable_but ''
    done
}

mount_fixture chroma-1.5.9
turns 5
first=$(rss_kib)
turns "$TURNS"
second=$(rss_kib)
note "$first KiB after 5 times, $second KiB after $TURNS more"
assert_growth "$GENEROUS" "$first" "$second"
unmount
