"""recall.py PROGRAM FOLDER l2|cosine COUNT QUERIES DATA: what an index of PROGRAM (tests/bench/hnsw_recall.c) finds, beside one of chroma-hnswlib.

DATA is glove_6B_50d_emb.npy or digits.csv.gz. COUNT vectors make the index (M 16, ef_construction 100); QUERIES others are searched for (0: they themselves).
Built by one thread and by two, recall@10 at each ef may nowhere be more than 0.2 points below hnswlib's; and when half is deleted and 30 % of the rest have got other vectors,
no fewer may find themselves, but for as many as chance makes of two builds of hnswlib's own. Exits with 1 otherwise.
"""

import os
import subprocess
import sys

import hnswlib
import numpy

K, EFS, SELF_EFS, MARGIN = 10, (10, 50, 100, 200), (10, 50), 0.002


def load(path, count, queries, generator):
    if path.endswith(".npy"):
        vectors = numpy.load(path, mmap_mode="r")
    else:  # 64 numbers and the digit
        vectors = numpy.loadtxt(path, delimiter=",", dtype=numpy.float32)[:, :-1]
    order = generator.permutation(len(vectors))
    vectors = numpy.ascontiguousarray(vectors[order], dtype=numpy.float32)
    count = min(count, len(vectors) - queries)
    return vectors[:count], vectors[count : count + queries] if queries else vectors[:count]


class Truth:
    """Exact distances, in double precision: a result is right if it is no farther than the tenth nearest, since of several that are equally far any will do."""

    def __init__(self, space, vectors, queries):
        self.space = space
        self.vectors, self.queries = self.prepare(vectors), self.prepare(queries)
        self.bound = numpy.concatenate([self.tenth(i) for i in range(0, len(queries), 100)])

    def prepare(self, vectors):
        vectors = vectors.astype(numpy.float64)
        return vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True) if self.space == "cosine" else vectors

    def tenth(self, start):
        some = self.queries[start : start + 100]
        product = some @ self.vectors.T
        distances = 1 - product
        if self.space == "l2":
            distances = (some**2).sum(1)[:, None] - 2 * product + (self.vectors**2).sum(1)[None, :]
        return numpy.partition(distances, K - 1, axis=1)[:, K - 1]

    def recall(self, found):
        near = self.vectors[found]
        if self.space == "l2":
            distances = ((near - self.queries[:, None, :]) ** 2).sum(2)
        else:
            distances = 1 - (near * self.queries[:, None, :]).sum(2)
        return float((distances <= self.bound[:, None] + 1e-7).mean())


class Work:
    def __init__(self, folder, space, vectors, queries, generator):
        self.folder, self.space, self.vectors, self.queries = folder, space, vectors, queries
        order = generator.permutation(len(vectors)).astype(numpy.uint32)
        half = len(vectors) // 2
        self.deleted, live = order[:half], order[half:]
        self.updated = live[: len(live) * 3 // 10]
        noise = generator.normal(0, vectors.std() / 2, (len(self.updated), vectors.shape[1]))
        self.replaced = (vectors[generator.permutation(self.updated)] + noise).astype(numpy.float32)
        self.now = vectors.copy()
        self.now[self.updated] = self.replaced
        self.live = numpy.sort(live)
        for name in ("vectors", "queries", "deleted", "updated", "replaced"):
            getattr(self, name).tofile(f"{folder}/{name}")
        numpy.array([vectors.shape[1]], numpy.uint32).tofile(f"{folder}/dimension")

    def ours(self, program, threads, changes):
        subprocess.run([program, self.folder, self.space, str(threads)] + ["searches"] * (not changes), check=True)
        found = {ef: numpy.fromfile(f"{self.folder}/found.{ef}", numpy.uint32).reshape(-1, K) for ef in EFS}
        return found, changes and {ef: int(numpy.fromfile(f"{self.folder}/self.{ef}", numpy.uint8).sum()) for ef in SELF_EFS}

    def theirs(self, threads, changes):
        index = hnswlib.Index(self.space, self.vectors.shape[1])
        index.init_index(max_elements=len(self.vectors), M=16, ef_construction=100)
        index.add_items(self.vectors, numpy.arange(len(self.vectors)), num_threads=threads)
        found = {ef: self.search(index, self.queries, ef, K)[0] for ef in EFS}
        if not changes:
            return found, None
        for label in self.deleted:
            index.mark_deleted(int(label))
        index.add_items(self.replaced, self.updated, num_threads=1)
        return found, {ef: self.selves(index, ef) for ef in SELF_EFS}

    @staticmethod
    def search(index, queries, ef, k):
        index.set_ef(ef)
        return index.knn_query(queries, k=k, num_threads=2)

    def selves(self, index, ef):
        labels, distances = self.search(index, self.now[self.live], ef, 1)
        return int(((labels[:, 0] == self.live) | (distances[:, 0] < 1e-6)).sum())


def show(threads, what, ef, ours, theirs, is_good):
    print(f"{threads:7}  {what:10} {ef:4}  {ours:.4f}  {theirs:.4f}{'' if is_good else '   WORSE'}", flush=True)
    return not is_good


def main():
    program, folder, space, count, queries, data = sys.argv[1:]
    generator = numpy.random.default_rng(6)
    vectors, queries = load(data, int(count), int(queries), generator)
    truth, work = Truth(space, vectors, queries), Work(folder, space, vectors, queries, generator)
    print(f"{len(vectors)} vectors of {vectors.shape[1]}, {space}, {len(queries)} queries, {len(work.live)} live in the end")
    print("threads               ef    ours  theirs")
    status = 0
    for threads in (1, 2):
        changes = threads == 1 or len(vectors) < 10000 or "FULL" in os.environ  # they take longest
        (found, selves), (their_found, their_selves) = work.ours(program, threads, changes), work.theirs(threads, changes)
        for ef in EFS:
            ours, theirs = truth.recall(found[ef]), truth.recall(their_found[ef])
            status |= show(threads, "recall", ef, ours, theirs, ours >= theirs - MARGIN)
        for ef in SELF_EFS if changes else ():
            ours, theirs = selves[ef] / len(work.live), their_selves[ef] / len(work.live)
            chance = 1e-3 if threads > 1 else 1e-4  # threads make another graph each time
            status |= show(threads, "themselves", ef, ours, theirs, ours >= theirs - chance)
    return status


sys.exit(main())
