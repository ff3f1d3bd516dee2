#!/bin/sh
# A directory that goes through the releases, and is committed at each of them: what each of them and each commit leave is there in the next, by a model of its own
# (commit_upgrade.py). Some steps clean as well. The last release takes 500 more, updates, deletes, is started again.
# limit: 600
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

DIR=$WORK/directory
mkdir "$DIR"

# operate LINE NAME: with the sentence if it fails
operate() { echo "$1" >"$MNT/$2" || fail "$2: $(cat "$MNT/last_error")"; }

result() { sed '/^#/d' "$MNT/commit" | jq -c ".result | $1"; }

upgrade() {
    script_version=$1
    shift
    chroma "$script_version" "$CHROMAFS_CHROMA/commit_upgrade.py" "$@"
}

# committed [clean]: a second commit has nothing to do
committed() {
    mount_dir "$DIR" "$MNT"
    operate 1 commit
    note "committed: $(result '[.collections[] | {status, rows, rejected}]')"
    assert_eq '[0,0]' "$(result '[.left, .rejected]')" "$1"
    operate 1 commit
    assert_eq 0 "$(result .committed)" "$1: a second commit"
    [ -z "${2-}" ] || operate 1 "$2"
    unmount
    assert_eq ok "$(sqlite3 "$DIR/chroma.sqlite3" 'PRAGMA integrity_check')"
}

# step VERSION [clean]: opened, held against the model, written, committed, held against it again by the same release
step() {
    upgrade "$1" write "$DIR" "$WORK/model.json"
    committed "$1" "${2-}"
    upgrade "$1" check "$DIR" "$WORK/model.json"
}

step 0.4.24
step 0.5.23 clean
step 0.6.3
step 1.0.20 clean
step 1.5.9
upgrade 1.5.9 more "$DIR" "$WORK/model.json"
upgrade 1.5.9 check "$DIR" "$WORK/model.json"
committed 1.5.9 clean
upgrade 1.5.9 write "$DIR" "$WORK/model.json"
upgrade 1.5.9 check "$DIR" "$WORK/model.json"
