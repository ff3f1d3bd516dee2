#!/bin/sh
# Every release loads indexes that were loaded and saved, or built anew, in place of its own: it answers the same, adds 2,000 records, updates, deletes, persists, is
# started again, and all of it is there; and what it persists then is loaded again.
# limit: 900
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"
build=${CHROMAFS%/*}/tests/chroma/hnsw_build

# answers DIR FILE: of a copy
answers() {
    rm -rf "$WORK/answers-copy"
    cp -a "$1" "$WORK/answers-copy"
    chroma "$version" "$CHROMAFS_CHROMA/answers.py" "$WORK/answers-copy" >"$2"
}

# replace DIR HOW SHAPE: every persisted index of it
replace() {
    python3 "$CHROMAFS_CHROMA/hnsw_work.py" segments "$1" >"$WORK/segments"
    [ -s "$WORK/segments" ] || fail 'there is no index'
    while read -r segment space; do
        if [ "$2" = copy ]; then
            "$build" copy "$space" "$1/$segment" "$WORK/new" "$3"
        else
            "$build" rebuild "$space" "$library" "$1/$segment" "$WORK/new" "$3"
        fi
        rm -r "${1:?}/$segment"
        mv "$WORK/new" "$1/$segment"
    done <"$WORK/segments"
    note "$2, $3: $(wc -l <"$WORK/segments") indexes"
}

# go_on: what 0.5.11 purges are rows of other collections too, and so it loses vectors by itself. Without FULL=1 one directory a release does.
go_on() {
    [ "$version" != 0.5.11 ] || return 0
    [ -n "${FULL-}" ] || [ "$version" = "$SUBJECT" ] || return 0
    chroma "$version" "$CHROMAFS_CHROMA/hnsw_work.py" work "$1" "$WORK/state.json"
    note "collections that went on: $(chroma "$version" "$CHROMAFS_CHROMA/hnsw_work.py" check "$1" "$WORK/state.json")"
    replace "$1" copy "$shape"
    chroma "$version" "$CHROMAFS_CHROMA/hnsw_work.py" check "$1" "$WORK/state.json" >/dev/null
}

# play HOW SHAPE
play() {
    rm -rf "$WORK/played"
    cp -a "$DIR" "$WORK/played"
    replace "$WORK/played" "$1" "$2"
    answers "$WORK/played" "$WORK/after.json"
    python3 "$CHROMAFS_CHROMA/hnsw_work.py" compare "$WORK/before.json" "$WORK/after.json"
    [ "$1" = rebuild ] || assert_same_file "$WORK/before.json" "$WORK/after.json"
}

version=$(jq -r .chroma_version "$CHROMAFS_FIXTURES/chroma-$SUBJECT/truth.json")
copy_fixture "chroma-$SUBJECT"
answers "$DIR" "$WORK/before.json"
case $version in
    1.*) library=rust shape=dict ;;
    *) library=python shape=instance ;;
esac
play copy instance
[ -z "${FULL-}" ] || go_on "$WORK/played"
play rebuild "$shape"
go_on "$WORK/played"
