#!/bin/sh
# On every fixture, what is said of the vector indexes agrees with their files, read here by code of its own, and with their pickles, read
# by Python when the fixture was made; files/ has them byte for byte.
# limit: 600
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

directories() {
    find "$1" -mindepth 1 -maxdepth 1 -type d
}

# Lines `<segment id>/...: what is said there`. Of an index that was persisted there are labels and fragmentation, which is the share of
# the labels ever added that belong to no record any more, in percent. Orphan labels are those of live records that the pickle does not know.
expected_values() {
    jq -r --slurpfile pickles "$1" --slurpfile orphans orphans '
        select(.id as $id | $orphans | index($id) | not) | $pickles[0][.id] as $pickle |
        "\(.id)/dimension:\(.dimension)",
        "\(.id)/info.json: header \(.elements) \(.capacity) \(.dimension) \(.m) \(.ef_construction)",
        if $pickle == null then empty else
            $pickle.total_elements_added as $added | ($pickle.labels | length) as $known |
            (.live - $pickle.labels | length) as $orphan |
            "\(.id)/labels:total \(.elements)",
            "\(.id)/labels:active \(.elements - .deleted)",
            "\(.id)/labels:deleted \(.deleted)",
            "\(.id)/labels:allocated \(.capacity)",
            "\(.id)/labels:orphan \($orphan)",
            "\(.id)/info.json: labels \(.elements) \(.elements - .deleted) \(.deleted) \(.capacity) \($orphan)",
            "\(.id)/info.json: pickle \($added) \($known)",
            "\(.id)/fragmentation \(if $added == 0 then 0 else 100 * ($added - $known) / $added end * 1e6 | round)"
        end' indexes | sort
}

found_values() {
    {
        (cd "$MNT/segments" && grep -H . -- */dimension */labels)
        (cd "$MNT/segments" && jq -r '"\(input_filename) \(. * 1e6 | round)"' -- */fragmentation)
        jq -r '"\(.id)/info.json: " as $begin |
            (.index // empty | select(.elements != null) | $begin + "header \(.elements) \(.max_elements) \(.dimension) \(.m) \(.ef_construction)"),
            (.labels // empty | $begin + "labels \(.total) \(.active) \(.deleted) \(.allocated) \(.orphan_total)"),
            (.index // empty | select(.total_labels != null) | $begin + "pickle \(.total_elements_added) \(.total_labels)")' \
            "$MNT"/segments/*/info.json
    } | sort
}

# The sums of the files of all segments: the directory of one that is not in segments/ must be in orphans/.
check_files() {
    (cd "$DIR" && find . -mindepth 2 -type f -exec sha256sum {} +) | grep -vF -f orphan-paths | sort >expected
    (cd "$MNT/segments" && find . -path './*/files/*' -type f -exec sha256sum {} +) | sed 's|/files/|/|' | sort >found
    [ -s expected ] || fail "$1 has no index"
    diff expected found >&2 || fail "$1: sums of the files below files/"
}

# What an orphan's info.json says of its directory.
check_orphans() {
    for orphan in "$MNT"/orphans/*; do
        id=${orphan##*/}
        find "$DIR/$id" -printf '%y %s %Ts\n' | awk '
            $1 == "f" { size += $2; files++ }
            $3 > since { since = $3 }
            END { printf "%d %d %s\n", size, files, since }' >numbers
        jq -r '"\(.size) \(.files) \(.since | fromdate)"' "$orphan/info.json" | diff numbers - >&2 || fail "$orphan: size, files, since"
        jq -e --slurpfile pickles "$2" '$pickles[0][.directory] as $pickle | $pickle == null or .labels == ($pickle.labels | length)' \
            "$orphan/info.json" >/dev/null || fail "labels of $orphan"
        case $(jq -r .since "$orphan/info.json") in
        *Z) ;;
        *) fail "$orphan: since is not in UTC" ;;
        esac
    done
}

check() {
    wait_measured
    pickles=${TRUTH%/*}/pickles.json
    directories "$MNT/orphans" | sed 's|.*/\(.*\)|"\1"|' >orphans
    directories "$MNT/orphans" | sed 's|.*/\(.*\)| ./\1/|' >orphan-paths
    [ -s orphans ] || fail "$1 has no orphan: this test would not notice what is missing of one"
    directories "$DIR" | helper index_numbers >indexes
    expected_values "$pickles" >expected
    grep -q fragmentation expected || fail "$1 has no persisted index"
    found_values >found
    diff expected found >&2 || fail "$1: what is said of the indexes: expected (<), found (>)"
    check_files "$1"
    check_orphans "$1" "$pickles"
}

for_each_fixture check
