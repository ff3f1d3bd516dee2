#!/bin/sh
# usage: tests/docs/run.sh [DOCUMENT...]
#
# Runs the examples of the documents (README.md and the manual pages) as tests, and holds the reference against the program. The last line is
# `N passed, N failed`.
#
# An example is a block between lines of three backquotes whose first line begins with "$ ". Each such line is a command, one test; the lines
# below it are what it prints on stdout and stderr, where "..." on a line of its own stands for any lines. A command that shows an output must
# print it; one that shows none must succeed. The commands of a document run one after another in one shell, with chromafs in PATH, in a
# directory that has `chroma` (a copy of a fixture) and `mnt` (empty). Other blocks are not run.
#
# Environment: CHROMAFS, CHROMAFS_FIXTURES, CHROMAFS_WRAPPER, as for tests/mount/run.sh.
set -eu
cd "$(dirname "$0")/../.."
. scripts/count.sh
CHROMAFS=$(absolute "${CHROMAFS:-build/chromafs}")
CHROMAFS_FIXTURES=$(absolute "${CHROMAFS_FIXTURES:-build/fixtures}")
fixture=$CHROMAFS_FIXTURES/chroma-1.5.9/dir
reference=man/chromafs.5.scd
unset RESULT TEST

check() { # STATUS SENTENCE
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
    else
        echo "  FAIL    $2"
        failed=$((failed + 1))
    fi
}

# --- examples -------------------------------------------------------------

# extract DOCUMENT DIR: DIR/script runs the commands, N.out is what the Nth printed; N.command, N.line, and N.expected where an output is shown
extract() {
    awk -v dir="$2" '
    function begin(command) {
        n++
        base = sprintf("%s/%03d", dir, n)
        print command >(base ".command")
        print FNR >(base ".line")
        close(base ".command")
        close(base ".line")
        printf "{ %s\n} >%s.out 2>&1 </dev/null; echo $? >%s.status\n", command, base, base >(dir "/script")
    }
    /^```/ { inside = !inside; first = inside; example = 0; next }
    first { example = /^\$ /; first = 0 }
    inside && example && /^\$ / { begin(substr($0, 3)); next }
    inside && example { print >(base ".expected") }
    ' "$1"
}

# matches EXPECTED ACTUAL
matches() {
    awk '
    function match_from(i, j) {
        if (i > expected)
            return j > actual
        if (want[i] != "...")
            return j <= actual && want[i] == got[j] && match_from(i + 1, j + 1)
        for (; j <= actual + 1; j++)
            if (match_from(i + 1, j))
                return 1
        return 0
    }
    NR == FNR { want[++expected] = $0; next }
    { got[++actual] = $0 }
    END { exit !match_from(1, 1) }' "$1" "$2"
}

# judge BASE DOCUMENT
judge() {
    status=0
    where="$2:$(cat "$1.line"): $(cat "$1.command")"
    if [ ! -f "$1.status" ]; then
        check 1 "$where: did not end"
    elif [ -f "$1.expected" ]; then
        matches "$1.expected" "$1.out" || status=1
        check "$status" "$where: printed something else:"
        [ "$status" -eq 0 ] || diff "$1.expected" "$1.out" | sed 's/^/          /' || :
    else
        status=$(cat "$1.status")
        check "$status" "$where: status $status: $(head -n 3 "$1.out")"
    fi
}

prepare() {
    mkdir "$1" "$1/bin" "$1/work" "$1/work/mnt" "$1/results"
    cp -a "$fixture" "$1/work/chroma"
    printf '#!/bin/sh\nexec %s "%s" "$@"\n' "${CHROMAFS_WRAPPER-}" "$CHROMAFS" >"$1/bin/chromafs"
    chmod +x "$1/bin/chromafs"
    for script in "$PWD"/scripts/chromafs-*; do
        [ ! -x "$script" ] || ln -s "$script" "$1/bin/"
    done
}

run_examples() {
    dir=$work/$(basename "$1")
    prepare "$dir"
    extract "$1" "$dir/results"
    if [ ! -f "$dir/results/script" ]; then
        check 1 "$1 has no example"
        return
    fi
    (cd "$dir/work" && PATH=$dir/bin:$PATH LC_ALL=C timeout -k 5 120 sh "$dir/results/script") || :
    for command in "$dir"/results/*.command; do
        judge "${command%.command}" "$1"
    done
    left=0
    ! mountpoint -q "$dir/work/mnt" || left=1
    check "$left" "$1: its examples leave something mounted"
    unmount "$dir/work/mnt"
}

# --- the reference --------------------------------------------------------

unmount() {
    ! mountpoint -q "$1" || fusermount3 -u "$1" || fusermount3 -uz "$1"
}

# check_named NAME WHAT: the reference has it in bold or underlined
check_named() {
    status=0
    sed 's/\\//g' "$reference" | grep -qE "(\*|_|/)$1(\*|_)" || status=1
    check "$status" "$reference says nothing of $2 $1"
}

# Every problem that there can be, every file of a mount, and every member of every info.json in it.
check_reference() {
    codes=$(sed -n 's/.*add(problems, "\([a-z_]*\)".*/\1/p' fs/problems.c | sort -u)
    [ -n "$codes" ] || check 1 'fs/problems.c has no problem'
    for code in $codes; do
        check_named "$code" 'the problem'
    done
    dir=$work/reference
    prepare "$dir"
    "$dir/bin/chromafs" "$dir/work/chroma" "$dir/work/mnt"
    for name in $(find "$dir/work/mnt" -type f -not -path '*/files/*' -printf '%f\n' | sort -u); do
        check_named "$name" 'the file'
    done
    # What is inside the metadata of a collection is the user's.
    for member in $(find "$dir/work/mnt" -name info.json -exec jq -r 'del(.metadata) | paths | .[-1] | strings' {} + | sort -u); do
        check_named "$member" 'the member'
    done
    unmount "$dir/work/mnt"
}

end_run() {
    for mount in "$work"/*/work/mnt; do
        unmount "$mount" || :
    done
    rm -rf "$work"
}

work=$(mktemp -d "${TMPDIR:-/tmp}/chromafs-docs.XXXXXX")
trap end_run EXIT
trap 'exit 1' INT TERM HUP
export XDG_CACHE_HOME="$work/cache" # the user's is not touched
[ $# -gt 0 ] || set -- README.md man/*.scd
for document in "$@"; do
    run_examples "$document"
done
check_reference
finish
