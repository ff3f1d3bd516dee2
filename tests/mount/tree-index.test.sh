#!/bin/sh
# On every fixture, what is said of the vector indexes agrees with their files, read here with od and Python; files/ has them byte for byte.
# limit: 600
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

# number FILE OFFSET: the 64-bit number there
number() {
    od -An -v -tu8 -j "$2" -N 8 "$1" | tr -d ' '
}

# count_deleted DIR ELEMENTS RECORD_SIZE: bit 0 of byte 2 of a record says that it is deleted
count_deleted() {
    [ "$2" -gt 0 ] || { echo 0 && return; }
    od -An -v -tu1 -w"$3" -N "$(($2 * $3))" "$1/data_level0.bin" | awk '$3 % 2 { n++ } END { print n + 0 }'
}

# live_labels DIR ELEMENTS RECORD_SIZE LABEL_OFFSET: of the records that are not deleted
live_labels() {
    [ "$2" -gt 0 ] || return 0
    od -An -v -tu1 -w"$3" -N "$(($2 * $3))" "$1/data_level0.bin" |
        awk -v at="$4" '$3 % 2 == 0 { n = 0; for (i = 7; i >= 0; i--) n = n * 256 + $(at + i + 1); print n }'
}

read_header() {
    capacity=$(number "$1/header.bin" 12)
    elements=$(number "$1/header.bin" 20)
    record=$(number "$1/header.bin" 28)
    label_at=$(number "$1/header.bin" 36)
    dimension=$(((label_at - $(number "$1/header.bin" 44)) / 4))
    m=$(number "$1/header.bin" 76)
    ef_construction=$(number "$1/header.bin" 92)
}

expected_labels() {
    deleted=$(count_deleted "$1" "$elements" "$record")
    jq -r '.labels[]' pickle | sort >known
    orphan=$(live_labels "$1" "$elements" "$record" "$label_at" | sort | grep -cvxF -f known || :)
    echo "total $elements"
    echo "active $((elements - deleted))"
    echo "deleted $deleted"
    echo "allocated $capacity"
    echo "orphan $orphan"
}

check_header() {
    assert_eq "$dimension" "$(cat "$1/dimension")" "$1/dimension"
    assert_eq "$elements $capacity $dimension $m $ef_construction" \
        "$(jq -r '.index | "\(.elements) \(.max_elements) \(.dimension) \(.m) \(.ef_construction)"' "$1/info.json")" "the header in $1/info.json"
}

# Fragmentation is the share of the labels ever added that belong to no record any more, in percent.
check_persisted() {
    index_pickle "$2/index_metadata.pickle" >pickle
    expected_labels "$2" >labels
    diff labels "$1/labels" >&2 || fail "$1/labels"
    assert_eq "$(sed 's/.* //' labels | tr '\n' ' ')" \
        "$(jq -r '.labels | .total, .active, .deleted, .allocated, .orphan_total' "$1/info.json" | tr '\n' ' ')" "labels in $1/info.json"
    assert_eq "$(jq -r '.total_elements_added as $n | (.labels | length) as $l | "\($n) \($l)"' pickle)" \
        "$(jq -r '.index | "\(.total_elements_added) \(.total_labels)"' "$1/info.json")" "$1: the pickle in info.json"
    jq -e --slurpfile p pickle '($p[0].total_elements_added) as $n | ($p[0].labels | length) as $l |
        (if $n == 0 then 0 else 100 * ($n - $l) / $n end) - . | fabs < 0.000001' "$1/fragmentation" >/dev/null ||
        fail "$1/fragmentation is $(cat "$1/fragmentation"), and the pickle says $(jq -c 'del(.labels) + {labels: (.labels | length)}' pickle)"
    persisted=$((persisted + 1))
}

check_segment() {
    assert_same_tree "$2" "$1/files"
    if [ -s "$2/header.bin" ]; then
        read_header "$2"
        check_header "$1"
    fi
    [ ! -e "$2/index_metadata.pickle" ] || check_persisted "$1" "$2"
}

# What an orphan's info.json says of its directory.
check_orphans() {
    for orphan in "$MNT"/orphans/*; do
        original=$DIR/${orphan##*/}
        assert_eq "$(bytes_in "$original") $(find "$original" -type f | wc -l)" "$(jq -r '"\(.size) \(.files)"' "$orphan/info.json")" "$orphan"
        if [ -e "$original/index_metadata.pickle" ]; then
            assert_eq "$(index_pickle "$original/index_metadata.pickle" | jq '.labels | length')" "$(jq .labels "$orphan/info.json")" "labels of $orphan"
        fi
        assert_eq "$(date -u -d "@$(find "$original" -printf '%Ts\n' | sort -n | tail -n 1)" +%Y-%m-%dT%H:%M:%SZ)" \
            "$(jq -r .since "$orphan/info.json")" "since when $orphan"
    done
}

check() {
    wait_measured
    persisted=0
    for segment in "$MNT"/segments/*; do
        [ ! -d "$segment/files" ] || check_segment "$segment" "$DIR/${segment##*/}"
    done
    [ "$persisted" -gt 0 ] || fail "$1 has no persisted index"
    assert_eq "$(find "$DIR" -mindepth 2 -name header.bin | wc -l)" \
        "$(($(find "$MNT/segments" -name header.bin | wc -l) + $(find "$MNT/orphans" -mindepth 1 -maxdepth 1 | wc -l)))" "$1: indexes in segments/ and in orphans/"
    check_orphans
}

for_each_fixture check
