#!/bin/sh
# usage: tests/bench/run.sh
#
# Measures speed and memory on directories that it makes itself, and prints Markdown tables. Medians of several runs (operations, commit, rebuild: the best); nothing is
# asserted: times differ from machine to machine, ratios within one run hardly do.
#
# Environment: CHROMAFS, CHROMAFS_FIXTURES (as for the tests), BENCH_PROGRAMS (folder of make_index and the others), CHOPS (path of a chops
# executable, e.g. "$(tests/chroma/venvs.sh --path chops-0.6.3)/bin/chops": compared as well), BENCH ("look wal operations hnsw commit rebuild": which parts).
#   look   RECORDS (100000), DIMENSION (384), COLLECTIONS (10000), LIST_LIMIT (seconds that listing all collections may take: 60)
#   wal    ROUNDS (5), LOGS ("100000x384 20000x1536": rows and dimensions), LARGE_ROWS (1000000, of 384 dimensions: twice 2 GB of disk,
#          and again for a copy), COLLECTIONS; WAL ("speed large many": which of these)
#   operations  ROUNDS (5), LOGS ("100000x32 1000000x32 100000x384"), DOCUMENTS ("10000 100000"), COLLECTIONS (20 rows each);
#          OPERATIONS ("clean many fts backup": which of these); 3 GB of disk
#   hnsw   ROUNDS (2), INDEXES ("20000x384 100000x128": vectors and dimensions); 10 minutes
#   commit ROUNDS (3), LOGS ("20000x384 100000x128"), MORE (1000: rows that an index gets besides), LARGE ("1000000x8": once);
#          COMMIT ("fresh large": which of these); with the Chroma of tests/chroma/venvs.sh 0.5.23 1.5.9 chops-0.5.23 as far as they are installed;
#          30 minutes, 4 GB of disk
#   rebuild ROUNDS (3), INDEXES ("20000x384 100000x128": three in ten of them are deleted), LARGE ("1000000x8": once), CHOPS_MOST (20000: what has more is
#          rebuilt without chops), QUERIES (1000), EFS ("10 50 100"); REBUILD ("indexes large": which of these); with chops-0.6.3 of
#          tests/chroma/venvs.sh if it is installed; 15 minutes, 3 GB of disk
set -eu
cd "$(dirname "$0")/../.."
for part in ${BENCH:-look wal operations hnsw commit rebuild}; do
    "tests/bench/$part.sh"
    echo
done
