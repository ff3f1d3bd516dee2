#!/bin/sh
# What bash, dash, Python and the common tools get when they write to a control, open it, truncate it or touch it.
# limit: 60
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"

copy_fixture chroma-1.5.9
mount_dir "$DIR" "$MNT"
cd "$MNT"

# runs: how many operations were run, by what last says and the history has
runs() { wc -l <history.jsonl; }

# assert_runs NUMBER WHAT: so many since the last time
COUNT=0
assert_runs() {
    now=$(runs)
    assert_eq "$1" "$((now - COUNT))" "operations that $2 ran"
    COUNT=$now
}

# --- it works -------------------------------------------------------------

for shell in bash dash; do
    assert_status 0 "$shell" -c 'echo 1 > clean && echo vacuum=0 > clean'
    assert_runs 2 "$shell"
    assert_status 0 "$shell" -c 'echo > clean; echo 1 >> clean; printf 1 > clean'
    assert_runs 3 "$shell"
done
# One write is one command: bash writes each line by itself, dash all at once.
assert_status 0 bash -c 'printf "1\n1\n" > clean'
assert_runs 2 'two lines'
assert_status 1 dash -c 'printf "1\n1\n" > clean'
assert_runs 0 'two lines in one write'

/bin/echo 1 >clean
echo 1 | tee clean >"$WORK/out"
echo 1 | dd of=clean conv=notrunc status=none
echo 1 >"$WORK/one"
cp "$WORK/one" clean
cat "$WORK/one" >clean
assert_runs 5 'the tools'
assert_status 0 python3 -c '
with open("clean", "w") as f:
    f.write("1\n")'
assert_status 0 python3 -c '
import os
with open("clean", "w") as f:
    f.write("1\n")
    f.flush()
    os.fsync(f.fileno())'
assert_runs 2 Python

# --- nothing runs ---------------------------------------------------------

for shell in bash dash; do
    assert_status 0 "$shell" -c ': > clean; : >> clean; true 3<>clean; truncate -s 0 clean; truncate -s 100 clean; touch clean; touch -d 2020-01-01 clean'
done
assert_status 0 python3 -c 'import os; f = os.open("clean", os.O_WRONLY | os.O_APPEND); os.ftruncate(f, 0); os.fsync(f); os.utime(f); os.close(f)'
assert_status 0 sync clean
assert_runs 0 'opening, truncating and touching'
assert_errno EPERM chmod u+x clean
assert_errno EPERM rm -f clean
assert_errno EPERM mv clean other
[ "$(id -u)" -ne 0 ] || assert_errno EPERM chown 1 clean

# --- it fails -------------------------------------------------------------

bad='no_such_option=1'
assert_status 1 bash -c "echo $bad > clean"
assert_contains "$WORK/err" 'echo: write error: Invalid argument'
assert_said 'clean: '
assert_said no_such_option
assert_status 1 dash -c "echo $bad > clean"
assert_contains "$WORK/err" 'echo: I/O error'
assert_status 1 bash -c "printf '1\n$bad\n1\n' > clean"
COUNT=$(runs)
export WORK
# shellcheck disable=SC2016  # the shells expand it
for command in '/bin/echo BAD > clean' 'echo BAD | tee clean' 'echo BAD | dd of=clean' 'echo BAD > "$WORK/bad"; cp "$WORK/bad" clean' 'cat "$WORK/bad" > clean'; do
    assert_status 1 bash -c "$(echo "$command" | sed "s/BAD/$bad/")"
    assert_contains "$WORK/err" 'Invalid argument'
done
# The second try at close is the same failure, not another run: of one that would run, see control-cancel.
assert_status 1 python3 -c "
with open('clean', 'w') as f:
    f.write('$bad\\n')"
assert_contains "$WORK/err" 'OSError: [Errno 22] Invalid argument'
assert_status 1 python3 -c "
import os
f = os.open('clean', os.O_WRONLY)
os.write(f, b'$bad')"
for shell in bash dash; do
    assert_status 1 "$shell" -ec "echo $bad > clean; echo 1 > clean"
    assert_status 1 "$shell" -c "echo $bad > clean && echo 1 > clean"
done
assert_runs 0 'what failed, and what would have come behind it'

# --- no commands ----------------------------------------------------------

assert_errno EINVAL put clean '# a comment'
assert_errno EINVAL put clean '1 # a comment'
assert_errno EINVAL put clean '2'
assert_errno EINVAL put clean 'yes'
assert_errno EINVAL put clean 'vacuum'
assert_errno EINVAL put clean 'vacuum=0 vacuum=0'
assert_status 1 bash -c 'printf "1\0" > clean'
head -c 70000 /dev/zero | tr '\0' ' ' >"$WORK/long"
assert_errno EINVAL cp "$WORK/long" clean
assert_said 'at most 65536'
head -c 3000000 /dev/zero | tr '\0' ' ' >"$WORK/long"
assert_errno EINVAL cp "$WORK/long" clean
assert_runs 0 'what is no command'

# --- a line in several writes ---------------------------------------------

# The newline by itself would be a command, too: the real run behind a dry one.
assert_status 0 bash -c "python3 -u -c 'print(\"dry_run=1\")' > clean"
assert_status 0 bash -c 'stdbuf -o0 /bin/echo dry_run=1 > clean'
assert_status 0 bash -c '{ printf dry_run=1; echo; } > clean'
assert_runs 0 'dry_run=1 with a newline in a write of its own'
assert_eq true "$(jq .last.dry_run status.json)" 'the last one was dry'
assert_status 0 bash -c "python3 -u -c 'print(1)' > clean"
assert_runs 1 '1 with a newline in a write of its own'
assert_status 1 bash -c '{ printf dry_run=1; echo " vacuum=0"; } > clean'
assert_runs 0 'the rest of a line that has been run'
# stdio cuts a line at the end of its buffer: what is left of skip= would run, and so would what comes behind.
skip=types$(awk 'BEGIN { for (i = 0; i < 2000; i++) printf ",types" }')
for echo in echo /bin/echo; do
    assert_status 1 bash -c "$echo skip=\$1 vacuum=0 > clean" bash "$skip"
done
echo "skip=$skip" >"$WORK/long"
assert_errno EINVAL dd if="$WORK/long" of=clean bs=512 conv=notrunc status=none
assert_runs 0 'lines that were cut'
assert_said 'clean: '
assert_said newline
assert_status 0 dd if="$WORK/long" of=clean bs=64k conv=notrunc status=none
assert_runs 1 'a long line'
