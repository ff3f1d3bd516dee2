#!/bin/sh
# limit: 240
# To look at the tree reads no index, and to read a large check.json keeps nobody waiting: other files answer meanwhile, and so does a
# check that somebody else waits for; who is killed while he waits goes away. It is checked once for each state of the files. While Chroma
# writes, what is told is of one state of the files, or that nothing is known.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/damage.sh
. "${CHROMAFS_LIB%/*}/helpers/damage.sh"

# bytes_read: by the daemon
bytes_read() {
    sed -n 's/^rchar: //p' "/proc/$(daemon_of "$MNT")/io"
}

# reading_costs COMMAND...: what the daemon reads meanwhile
reading_costs() {
    costs_before=$(bytes_read)
    "$@" >/dev/null
    echo $(($(bytes_read) - costs_before))
}

# grow: a hole of many elements behind those that are there, with labels in it so that it is read; the pickle does not know them
grow() {
    record=$(od -An -t u8 -j 28 -N 8 "$index/header.bin" | tr -d ' ')
    truncate -s $((record * 3000000)) "$index/data_level0.bin"
}

# rewrite: the length file is all there, or not
rewrite() {
    while [ -e going ]; do
        truncate -s 3 "$index/length.bin"
        cat kept/length.bin >"$index/length.bin"
        sleep 0.3
    done
}

copy_fixture chroma-1.5.9
index=$DIR/$(vector_segment space_l2)
cp -a "$index" kept
grow
touch -d '1 minute ago' "$index"/* "$index"
mount_dir "$DIR" "$MNT"
checked=$MNT/segments/${index##*/}/check.json
size=$(stat -c %s "$index/index_metadata.pickle")
wait_measured

# looking costs nothing that reading the index would
cost=$(reading_costs find "$MNT/segments" -name check.json -ls)
[ "$cost" -lt 500000 ] || fail "find -ls made the daemon read $cost bytes"
first=$(reading_costs cat "$checked")
again=$(reading_costs cat "$checked")
[ "$first" -gt "$size" ] || fail "the first read cost $first bytes"
[ "$again" -lt "$first" ] || fail "the second read cost $again bytes, the first one $first"
assert_eq true "$(json "$checked" .ok)" 'whole index'

# somebody writes again and again: an answer comes, and is of one state
: >going
rewrite &
rewriter=$!
timeout 60 cat "$checked" >got || fail 'no answer while it is written to'
jq -e '.ok == null and .complete == false and .findings == [] or (.ok | type == "boolean")' got >/dev/null || fail "$(cat got)"
jq -e '[.findings[].kind] - ["size"] == []' got >/dev/null || fail "$(cat got)"

# one who waits is killed, and others are not kept
rm going
wait "$rewriter"
truncate -s 3 "$index/length.bin"
cat "$checked" >/dev/null &
reader=$!
sleep 0.2
timeout 10 cat "$MNT/README" "$MNT/collections/space_l2/info.json" "$MNT"/segments/*/type >/dev/null || fail 'others are kept waiting'
kill "$reader"
wait "$reader" || :
assert_alive
cp -p kept/* "$index/"
assert_eq true "$(json "$checked" .ok)" 'restored index'
unmount
