#!/bin/sh
# Prints what `chops db info` says of a copy of DIR (chops opens Chroma, which
# may change the directory), with the padding of its tables taken out: rows are
# "│ Property │ Value │". Paths are relative: the copy is called "dir".
#
# usage: chops_info.sh VENV DIR > chops-output.txt
#   VENV  an environment of venvs.sh, e.g. "$(venvs.sh --path chops-0.6.3)"
set -eu

[ $# = 2 ] || { echo 'usage: chops_info.sh VENV DIR' >&2; exit 2; }
case $1 in /*) chops=$1/bin/chops ;; *) chops=$PWD/$1/bin/chops ;; esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cp -a "$2" "$work/dir"
cd "$work"

# So wide that no cell is ever wrapped; the list of orphans is the widest.
if ! LC_ALL=C.UTF-8 COLUMNS=30000 NO_COLOR=1 TERM=dumb "$chops" db info dir >out 2>err; then
  cat out err >&2
  exit 1
fi
LC_ALL=C.UTF-8 sed -e '/^[┏┡└]/d' -e 's/^│ */│ /' -e 's/ *│$/ │/' -e 's/^ *//' -e 's/ *$//' \
  -e 's/──*/──/g' -e 's/^┃ */┃ /' -e 's/ *┃$/ ┃/' out
