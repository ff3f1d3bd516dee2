#!/bin/sh
# Creates the virtual environments in which the real Chroma releases (and the
# peer tool chops) run, one per argument; without arguments all of them.
#
# usage: venvs.sh [--path NAME] [NAME ...]
#   NAME    a Chroma version, or chops-VERSION (that Chroma plus chromadb-ops)
#   --path  only print where the environment of NAME is
#
# Every package is pinned and installed with --no-deps: Chroma declares a
# server, a tracing exporter and an ML runtime as dependencies, some 700 MB
# each time, of which a PersistentClient with embeddings given by the caller
# uses nothing. What is imported all the same, but never called, is an empty
# module (see write_stubs).
#
# An environment counts as complete only once its stamp is there, and the
# stamp holds its package list: killed half-way or changed below, it is made
# again from nothing.
set -eu

ALL='0.4.3 0.4.24 0.5.0 0.5.11 0.5.23 0.6.3 1.0.20 1.5.9 chops-0.5.23 chops-0.6.3'
CACHE=${CHROMAFS_VENVS:-${XDG_CACHE_HOME:-$HOME/.cache}/chromafs-tests/venvs}
PYTHON=${PYTHON:-/usr/bin/python3}
SOURCE_WHEELS=$CACHE/.wheels
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() { printf '%s\n' "$*"; }
die() { printf 'venvs.sh: %s\n' "$*" >&2; exit 1; }

# --- which packages -------------------------------------------------------

COMMON='numpy==1.26.4 typing-extensions==4.12.2 overrides==7.7.0 PyPika==0.48.9
  tqdm==4.67.1 importlib-resources==6.4.5'
TRACING='opentelemetry-api==1.27.0 opentelemetry-sdk==1.27.0
  opentelemetry-semantic-conventions==0.48b0 Deprecated==1.2.18 wrapt==1.17.2
  importlib-metadata==8.4.0 zipp==3.21.0 tenacity==9.0.0 PyYAML==6.0.2'
HTTP='httpx==0.28.1 httpcore==1.0.7 h11==0.14.0 anyio==4.8.0 sniffio==1.3.1
  idna==3.10 certifi==2024.12.14 orjson==3.10.15'
REQUESTS='requests==2.32.3 urllib3==2.3.0 charset-normalizer==3.4.1
  idna==3.10 certifi==2024.12.14'
PYDANTIC1='pydantic==1.10.21'
PYDANTIC2='pydantic==2.10.6 pydantic-core==2.27.2 annotated-types==0.7.0'
FASTAPI='fastapi==0.115.6 starlette==0.41.3 anyio==4.8.0 sniffio==1.3.1 orjson==3.10.15'
LATER='pydantic-settings==2.7.1 python-dotenv==1.0.1
  jsonschema==4.23.0 jsonschema-specifications==2024.10.1
  referencing==0.36.2 rpds-py==0.22.3 attrs==25.1.0 pybase64==1.4.1'
CHOPS='chromadb-ops==0.1.5 typer==0.9.4 click==8.1.8 rich==13.9.4
  markdown-it-py==3.0.0 mdurl==0.1.2 pygments==2.19.1 shellingham==1.5.4
  colorama==0.4.6 packaging==24.2'

packages_of() {
  case $1 in
    0.4.3) say "chromadb==$1 $COMMON $PYDANTIC1 $REQUESTS" ;;
    0.4.24 | 0.5.0)
      say "chromadb==$1 chroma-hnswlib==0.7.3 $COMMON $TRACING $PYDANTIC2 $REQUESTS $FASTAPI" ;;
    0.5.11 | 0.5.23 | 0.6.3)
      say "chromadb==$1 chroma-hnswlib==0.7.6 $COMMON $TRACING $PYDANTIC2 $HTTP" ;;
    1.*) say "chromadb==$1 $COMMON $TRACING $PYDANTIC2 $HTTP $LATER" ;;
    chops-*) say "$(packages_of "${1#chops-}") $CHOPS" ;;
    *) die "unknown environment '$1'; known: $ALL" ;;
  esac
}

# --- base -----------------------------------------------------------------

need_python() {
  if ! "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null; then
    [ "$(id -u)" = 0 ] || die 'python3 and python3-venv are missing: apt-get install them'
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null
  fi
  "$PYTHON" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info < (3, 12))' ||
    die "$PYTHON is not Python 3.9 to 3.11, for which the pinned wheels exist (set PYTHON)"
}

# One environment with pip serves all others (pip --python): making them
# without pip saves most of the time that venv takes.
need_pip() {
  PIP="$CACHE/.pip/bin/python -m pip"
  if [ -e "$CACHE/.pip/stamp" ] && $PIP --version >/dev/null 2>&1; then return; fi
  rm -rf "$CACHE/.pip"
  "$PYTHON" -m venv "$CACHE/.pip"
  : >"$CACHE/.pip/stamp"
}

# chroma-hnswlib 0.7.1, which 0.4.3 asks for, exists as source only. Without a
# compiler its successor does: same API, same files.
hnswlib_for_0_4_3() {
  wheel=$(find "$SOURCE_WHEELS" -name 'chroma_hnswlib-0.7.1-*.whl' 2>/dev/null | head -n 1)
  if [ -z "$wheel" ] && command -v g++ >/dev/null; then
    mkdir -p "$SOURCE_WHEELS"
    HNSWLIB_NO_NATIVE=1 $PIP -q wheel --no-cache-dir --no-deps -w "$SOURCE_WHEELS" \
      chroma-hnswlib==0.7.1 >"$SOURCE_WHEELS/log" 2>&1 || true
    wheel=$(find "$SOURCE_WHEELS" -name 'chroma_hnswlib-0.7.1-*.whl' | head -n 1)
  fi
  say "${wheel:-chroma-hnswlib==0.7.3}"
}

# --- one environment ------------------------------------------------------

# Imported at the top of a Chroma module, never called by a PersistentClient:
# the ML runtime of the default embedding function, the telemetry client, the
# trace exporter, pandas (a return type of raw_sql in 0.4.3).
write_stubs() {
  for name in onnxruntime tokenizers posthog bcrypt; do
    printf '# stub: imported by Chroma, not used in these tests\n' >"$1/$name.py"
  done
  printf 'def capture(*_, **__): pass\n' >>"$1/posthog.py"
  printf 'class Tokenizer: pass\n' >>"$1/tokenizers.py"
  printf 'class DataFrame: pass\n' >"$1/pandas.py"
  exporter=$1/opentelemetry/exporter/otlp/proto/grpc/trace_exporter
  mkdir -p "$exporter"
  printf 'class OTLPSpanExporter: pass\n' >"$exporter/__init__.py"
}

# A whole round, for a new environment.
serves() {
  scratch=$(mktemp -d)
  "$1/bin/python" - "$scratch" <<'EOF' || { rm -rf "$scratch"; return 1; }
import sys, chromadb
from chromadb.config import Settings
client = chromadb.PersistentClient(sys.argv[1], settings=Settings(anonymized_telemetry=False))
c = client.create_collection("probe")
c.add(ids=["a"], embeddings=[[1.0, 2.0]], documents=["x"], metadatas=[{"k": 1}])
assert c.query(query_embeddings=[[1.0, 1.0]], n_results=1)["ids"] == [["a"]]
EOF
  rm -rf "$scratch"
}

works() {
  "$1/bin/python" -c 'import chromadb; chromadb.PersistentClient' >/dev/null 2>&1 || return 1
  case $1 in */chops-*) "$1/bin/chops" --help >/dev/null 2>&1 ;; esac
}

build() { # NAME PACKAGES
  dir=$CACHE/$1
  rm -rf "$dir"
  "$PYTHON" -m venv --without-pip "$dir"
  extra=
  [ "$1" != 0.4.3 ] || extra=$(hnswlib_for_0_4_3)
  # shellcheck disable=SC2086 # lists of words
  $PIP --python "$dir/bin/python" --disable-pip-version-check -q install \
    --no-deps --no-compile $2 $extra || die "$1: pip failed"
  write_stubs "$("$dir/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
  works "$dir" || die "$1: installed, but does not start"
  serves "$dir" || die "$1: installed, but does not work"
}

ensure() {
  packages=$(packages_of "$1")
  if [ "$(cat "$CACHE/$1/stamp" 2>/dev/null)" = "$packages" ] && works "$CACHE/$1"; then
    say "$1: there"
    return
  fi
  started=$(date +%s)
  build "$1" "$packages"
  say "$packages" >"$CACHE/$1/stamp.new"
  mv "$CACHE/$1/stamp.new" "$CACHE/$1/stamp"
  say "$1: made in $(($(date +%s) - started)) s"
}

if [ "${1-}" = --path ]; then
  [ $# = 2 ] || die 'usage: venvs.sh --path NAME'
  say "$CACHE/$2"
  exit
fi
# shellcheck disable=SC2086 # a list of words
[ $# != 0 ] || set -- $ALL
for name; do packages_of "$name" >/dev/null; done
mkdir -p "$CACHE"
# Two callers at once would delete each other's half-made environments.
exec 9>"$CACHE/.lock"
flock 9
need_python
need_pip

# Two at a time: pip keeps one core busy.
while [ $# != 0 ]; do
  ensure "$1" &
  first=$!
  shift
  if [ $# != 0 ]; then
    ensure "$1" &
    second=$!
    shift
    wait "$second"
  fi
  wait "$first"
done
