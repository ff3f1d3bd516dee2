#!/bin/sh
# Operations change nothing that Chroma answers, and what it writes afterwards is there, also after a restart: on the directories that
# each release wrote.
# limit: 300
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

# answers DIR FILE [--right]: of a copy, without what tells of the log alone
answers() {
    rm -rf "$WORK/answers-copy"
    cp -a "$1" "$WORK/answers-copy"
    rm -rf "$WORK/answers-copy/.chromafs"
    chroma "$version" "$CHROMAFS_CHROMA/answers.py" "$WORK/answers-copy" ${3:+"$3"} >"$2.all"
    jq -S 'del(.collections[].containing)' "$2.all" >"$2"
}

# operate NAME LINE: with the sentence if it fails
operate() {
    echo "$2" >"$MNT/$1" || fail "$1: $(cat "$MNT/last_error")"
}

# other_value NAME: that no fixture has, and that changes no answer
other_value() {
    case $1 in
    resize_factor) echo 1.75 ;;
    sync_threshold) echo 11 ;;
    batch_size) echo 3 ;;
    num_threads) echo 3 ;;
    *) echo 150 ;;
    esac
}

# change_settings: all of them, of every collection; Chroma uses what was written, and nothing else has changed
change_settings() {
    mount_dir "$DIR" "$MNT"
    if [ -e "$MNT/config/automatically_purge" ]; then
        purge=$(cat "$MNT/config/automatically_purge")
        operate config/automatically_purge "$([ "$purge" = true ] && echo false || echo true)"
        operate config/automatically_purge "$purge"
    fi
    for config in "$MNT"/collections/*/config; do
        for name in batch_size ef_search num_threads resize_factor sync_threshold; do
            [ ! -e "$config/$name" ] || operate "${config#"$MNT/"}/$name" "$(other_value "$name")"
        done
    done
    agrees_on_parameters "$version" "$DIR"
    unmount
}

# all_operations BACKUP
all_operations() {
    mount_dir "$DIR" "$MNT"
    operate backup "to=$1"
    operate clean 1
    operate rebuild-fts 1
    operate clean-orphans 1
    unmount
    assert_eq ok "$(sqlite3 "$DIR/chroma.sqlite3" 'PRAGMA integrity_check')"
}

# other_metadata: the user's own keys in the metadata, which follow what is set
other_metadata() {
    case $version in
    0.*) python_only='"hnsw:num_threads": 3, "hnsw:batch_size": 3, "hnsw:resize_factor": 1.75,' ;;
    *) python_only= ;;
    esac
    echo "{$python_only \"hnsw:search_ef\": 150, \"hnsw:sync_threshold\": 11}"
}

# unconfigured FILE METADATA: the same answers without the settings, and with those keys of metadata where they are. Vectors that a smaller batch_size has moved
# from memory to an index of cosine have been normalised and back.
unconfigured() {
    jq -S --argjson other "$2" 'del(.collections[].configuration)
        | (.collections[].metadata | objects) |= with_entries(.value = ($other[.key] // .value))
        | (.collections[].records[].embedding | arrays | .[]) |= ((. * 10000 | round) + 0)' "$1" >"$1.unconfigured"
}

# exercise ROUND: 0.5.6 to 0.5.12 purge rows of other collections, and so lose vectors by themselves
exercise() {
    [ "$version" != 0.5.11 ] || return 0
    chroma "$version" "$CHROMAFS_CHROMA/exercise.py" work "$DIR" "$WORK/state.json" "$1"
    chroma "$version" "$CHROMAFS_CHROMA/exercise.py" check "$DIR" "$WORK/state.json"
}

# play ROUND: operations, and what Chroma says of them
play() {
    note "round $1"
    answers "$DIR" "$WORK/before.json"
    all_operations "$WORK/backup"
    answers "$DIR" "$WORK/after.json" --right
    assert_same_file "$WORK/before.json" "$WORK/after.json"
    answers "$WORK/backup" "$WORK/backup.json"
    assert_same_file "$WORK/before.json" "$WORK/backup.json"
    rm -r "$WORK/backup"
    change_settings
    answers "$DIR" "$WORK/settings.json" --right
    unconfigured "$WORK/before.json" "$(other_metadata)"
    unconfigured "$WORK/settings.json" '{}'
    assert_same_file "$WORK/before.json.unconfigured" "$WORK/settings.json.unconfigured"
    exercise "$1"
}

truth=$CHROMAFS_FIXTURES/chroma-$SUBJECT/truth.json
version=$(jq -r .chroma_version "$truth")
copy_fixture "chroma-$SUBJECT"
play 1
[ -z "${FULL-}" ] || play 2
all_operations "$WORK/backup"
[ "$version" = 0.5.11 ] || chroma "$version" "$CHROMAFS_CHROMA/exercise.py" check "$DIR" "$WORK/state.json"
