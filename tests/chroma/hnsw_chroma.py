#!/usr/bin/env python3
"""What a release of 1.x makes of some vectors, by one thread, for hnsw_build to repeat.

usage: RAYON_NUM_THREADS=1 hnsw_chroma.py OUT SPACE-DIMENSION-M-EF...

Makes for each CASE OUT/CASE/db, and OUT/CASE/rust, a link to the segment's directory. OUT/CASE/rust.steps has the vectors in the order of
internal ids: Chroma hands the records of a batch to its library in the order of a hash table.
"""
import os
import pickle
import sqlite3
import struct
import sys

import chromadb
import numpy

import hnsw_files

COUNT = 700


def make(out, space, dimension, m, ef):
    os.mkdir(out)
    client = chromadb.PersistentClient(out + "/db")
    configuration = {"hnsw": {"space": space, "ef_construction": ef, "max_neighbors": m, "sync_threshold": COUNT}}
    collection = client.create_collection("same", configuration=configuration, embedding_function=None)
    source = numpy.random.default_rng(dimension * 1000 + m)
    vectors = source.uniform(-1, 1, (COUNT, dimension)).astype(numpy.float32)
    for first in range(0, COUNT, 100):
        collection.add(ids=["id%d" % i for i in range(first, first + 100)], embeddings=vectors[first:first + 100])
    with sqlite3.connect(out + "/db/chroma.sqlite3") as db:
        segment = "%s/rust" % out
        os.symlink("db/%s" % db.execute("SELECT id FROM segments WHERE scope = 'VECTOR'").fetchone()[0], segment)
    with open(segment + "/index_metadata.pickle", "rb") as file:
        ids = pickle.load(file)["label_to_id"]
    if len(ids) != COUNT:
        sys.exit("%d records are in the index" % len(ids))
    with open(out + "/rust.steps", "wb") as file:
        for element in hnsw_files.load(segment)[1]:
            label = element["label"]
            file.write(struct.pack("<IQ", 0, label) + vectors[int(ids[label][2:])].tobytes())


def main():
    for case in sys.argv[2:]:
        space, *numbers = case.split("-")
        make("%s/%s" % (sys.argv[1], case), space, *(int(number) for number in numbers))
    os._exit(0)  # threads of its own may still run


if __name__ == "__main__":
    main()
