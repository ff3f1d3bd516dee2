# Verbs for the tests with real Chroma releases, on top of those of tests/mount/lib.sh. A test is run through a link that
# is called NAME-SUBJECT.test.sh (see run.sh): $SUBJECT is the version or the fixture to test with.
# shellcheck shell=sh
: "${CHROMAFS_CHROMA:?}"
# In the cache of the user, which the tests themselves don't have.
CHROMAFS_VENVS=$(dirname "$("$CHROMAFS_CHROMA/venvs.sh" --path any)")
export CHROMAFS_VENVS
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

SUBJECT=$(basename "$0" .test.sh)
SUBJECT=${SUBJECT#*-}
export PYTHONDONTWRITEBYTECODE=1 PYTHONUTF8=1

# chroma VERSION SCRIPT ARGUMENT...: with the Python of that release
chroma() {
    chroma_python=$("$CHROMAFS_CHROMA/venvs.sh" --path "$1")/bin/python
    shift
    "$chroma_python" "$@" 2>>"$WORK/chroma.log" || {
        chroma_status=$?
        tail -n 15 "$WORK/chroma.log" >&2
        fail "status $chroma_status: $*"
    }
}


# write_fresh VERSION DIR: other records than the fixture of that version has, by other steps
write_fresh() {
    for step in small drop append; do
        chroma "$1" "$CHROMAFS_CHROMA/../fixtures/make.py" "$step" "$2"
    done
}

# truth VERSION DIR FILE: what that Chroma says of a copy of DIR
truth() {
    rm -rf "$WORK/truth-copy"
    cp -a "$2" "$WORK/truth-copy"
    chroma "$1" "$CHROMAFS_CHROMA/truth.py" "$WORK/truth-copy" >"$3"
}

all_exact() {
    jq -e -s 'all(.exact == true)' "$MNT/info.json" "$MNT"/collections/*/info.json >/dev/null
}

# settle: until everything is measured, which is soon while nobody writes
settle() { wait_until all_exact; }

# agrees TRUTH: everything that the mount says of the collections is what that file says
agrees() {
    settle
    python3 "$CHROMAFS_CHROMA/compare_info.py" "$MNT" "$1"
}

# agrees_on_parameters VERSION DIR: the parameters of each index are those that Chroma uses
agrees_on_parameters() {
    rm -rf "$WORK/parameters-copy"
    cp -a "$2" "$WORK/parameters-copy"
    chroma "$1" "$CHROMAFS_CHROMA/parameters.py" "$WORK/parameters-copy" >"$WORK/parameters.json"
    python3 "$CHROMAFS_CHROMA/compare_parameters.py" "$MNT" "$WORK/parameters.json"
}

# state DIR: of each file its bytes, mtime, size and mode. The mtime of a directory tells of files that came and went.
state() {
    (cd "$1" && find . -printf '%P %y %m %s %T@\n' | sort && find . -type f -exec sha256sum {} + | sort)
}

# read_all MNT: every byte of every file
read_all() {
    ls -lR "$1" >/dev/null
    find "$1" -type f -exec cat {} + >/dev/null
    rm -rf "$WORK/copied"
    cp -r "$1/segments" "$WORK/copied"
}
