#!/bin/sh
# Writing to the files of config/ sets what they show, and only that, in every version; a value that can't be is refused; one that is so already runs nothing.
# limit: 240
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"

# all_settings: every file of every config/, and what it shows
all_settings() {
    (cd "$MNT" && find config collections/*/config -type f ! -name fts_tokenizer | sort | xargs grep -H .)
}

# other_value NAME: one that nobody has
other_value() {
    case $1 in
    resize_factor) echo 1.75 ;;
    sync_threshold) echo 777 ;;
    batch_size) echo 4 ;;
    num_threads) echo 3 ;;
    *) echo 123 ;;
    esac
}

# set_one FILE VALUE
set_one() {
    all_settings >before
    put "$MNT/$1" "$2" || fail "$fixture: $1 can't be set to $2: $(cat "$MNT/last_error")"
    assert_eq "$2" "$(cat "$MNT/$1")" "$fixture: $1"
    grep -v "^$1:" before >expected
    all_settings | grep -v "^$1:" | diff expected - >&2 || fail "$fixture: setting $1 has changed another one"
    runs=$(wc -l <"$MNT/history.jsonl")
    assert_eq configure "$(status .last.operation)" "$fixture: what ran"
    put "$MNT/$1" "$2"
    assert_eq "$runs" "$(wc -l <"$MNT/history.jsonl")" "$fixture: runs when $1 is $2 already"
}

check_purge() {
    file=config/automatically_purge
    [ -e "$MNT/$file" ] || return 0
    put "$MNT/$file" true
    set_one "$file" false
    set_one "$file" true
    for value in yes 1 '' TRUE 'true false' '# true'; do assert_errno EINVAL put "$MNT/$file" "$value"; done
    put "$MNT/$file" 'false dry_run=1'
    assert_eq true "$(cat "$MNT/$file")" "$fixture: automatically_purge after a dry run"
}

check_collection() {
    config=collections/$1/config
    for file in "$MNT/$config"/*; do
        name=${file##*/}
        case $name in
        space | m | ef_construction)
            assert_errno EPERM put "$file" "$(cat "$file")"
            assert_said "$config/$name: "
            assert_said rebuild-hnsw
            ;;
        *)
            set_one "$config/$name" "$(other_value "$name")"
            for value in 0 -1 many '' 99999999999999999999 nan '#'; do assert_errno EINVAL put "$file" "$value"; done
            assert_said "$config/$name: "
            ;;
        esac
    done
}

for fixture in chroma-0.4.3 chroma-0.4.24-upgraded-1.5.9 chroma-0.5.23 chroma-0.6.3 chroma-1.0.20 chroma-1.5.9; do
    mount_fixture "$fixture"
    check_purge
    check_collection types
    check_collection space.cosine
    unmount
    assert_sound "$DIR"
done
