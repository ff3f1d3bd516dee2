"""What hnsw_speed.c does, with the chroma-hnswlib that is installed: FOLDER THREADS. Prints the same numbers."""

import sys
import time

import hnswlib
import numpy

QUERIES, K, EF, M, EF_CONSTRUCTION = 1000, 10, 50, 16, 100


def memory(name):
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))


folder, threads = sys.argv[1], int(sys.argv[2])
queries = numpy.fromfile(f"{folder}/queries", numpy.float32).reshape(QUERIES, -1)
dimension = queries.shape[1]
vectors = numpy.fromfile(f"{folder}/vectors", numpy.float32).reshape(-1, dimension)
truth = numpy.fromfile(f"{folder}/truth", numpy.uint32).reshape(QUERIES, K)
before, started, used = memory("VmRSS:"), time.monotonic(), time.process_time()
index = hnswlib.Index("l2", dimension)
index.init_index(max_elements=len(vectors), M=M, ef_construction=EF_CONSTRUCTION)
index.add_items(vectors, numpy.arange(len(vectors)), num_threads=threads)
seconds, processor, peak = time.monotonic() - started, time.process_time() - used, memory("VmHWM:") - before
index.set_ef(EF)
found, _ = index.knn_query(queries, k=K, num_threads=1)
recall = numpy.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), truth.tolist())])
size = len(vectors) * (8 * M + 4 + 4 * dimension + 8 + 4)
print(f"{len(vectors) / seconds:.0f} {recall:.4f} {peak / size:.2f} {len(vectors) / processor:.0f}")
