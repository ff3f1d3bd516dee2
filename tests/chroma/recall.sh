#!/bin/sh
# On real data an index of ours finds as much as one of Chroma's library, built by one thread or two, and after deletions and updates.
# limit: 1800
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

case $SUBJECT in
digits) space=l2 count=2000 queries=0 ;;
glove) space=cosine count=${RECALL_VECTORS:-50000} queries=2000 ;;
*) fail "no data of that name: $SUBJECT" ;;
esac
[ -z "${FULL-}" ] || count=1000000 # all
data=$("$CHROMAFS_CHROMA/data.sh" "$SUBJECT")
mkdir "$WORK/recall"
chroma 0.6.3 "$CHROMAFS_CHROMA/recall.py" "$(dirname "$CHROMAFS")/tests/bench/hnsw_recall" "$WORK/recall" $space "$count" $queries "$data"
