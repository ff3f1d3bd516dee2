#!/usr/bin/env python3
"""What the module hnswlib of a Python release makes of some steps, by one thread, for hnsw_build to repeat.

usage: hnsw_module.py OUT SPACE-DIMENSION-M-EF...

Makes for each CASE OUT/CASE/persisted (only additions), OUT/CASE/changed (then updates, deletions, additions) and OUT/CASE/*.steps, the
steps to each.
"""
import os
import struct
import sys

import hnswlib
import numpy

COUNT = 700
SAVED_HEADER = 96


class Index:
    """An index, and the file of the steps that led to it."""

    def __init__(self, space, dimension, m, ef, where):
        self.index, self.steps = hnswlib.Index(space=space, dim=dimension), bytearray()
        self.index.init_index(max_elements=4 * COUNT, ef_construction=ef, M=m, random_seed=100,
                              is_persistent_index=True, persistence_location=where)
        self.index.set_num_threads(1)

    def put(self, kind, labels, vectors):
        self.index.add_items(vectors, numpy.array(labels), num_threads=1)
        for label, vector in zip(labels, vectors):
            self.steps += struct.pack("<IQ", kind, label) + vector.tobytes()

    def delete(self, labels):
        for label in labels:
            self.index.mark_deleted(label)
            self.steps += struct.pack("<IQ", 2, label)

    def write_steps(self, path):
        with open(path, "wb") as file:
            file.write(self.steps)


def split(path, segment):
    """A file of save_index() has all that is in memory; the four files of a segment are its parts."""
    with open(path, "rb") as file:
        data = file.read()
    os.mkdir(segment)
    count, record_size = struct.unpack_from("<QQ", data, 16)
    ends = [SAVED_HEADER, SAVED_HEADER + count * record_size, SAVED_HEADER + count * (record_size + 4), len(data)]
    parts = [struct.pack("<i", 1) + data[:ends[0]], data[ends[0]:ends[1]], data[ends[1]:ends[2]], data[ends[2]:]]
    for name, part in zip(("header.bin", "data_level0.bin", "length.bin", "link_lists.bin"), parts):
        with open("%s/%s" % (segment, name), "wb") as file:
            file.write(part)


def make(out, space, dimension, m, ef):
    source = numpy.random.default_rng(dimension * 1000 + m)

    def vectors(count):
        return source.uniform(-1, 1, (count, dimension)).astype(numpy.float32)

    os.makedirs(out + "/persisted")
    index = Index(space, dimension, m, ef, out + "/persisted")
    index.put(0, range(1, COUNT + 1), vectors(COUNT))
    index.index.persist_dirty()
    index.write_steps(out + "/persisted.steps")
    # The entry point of the highest level may be among them; every fourth of the deleted comes back.
    index.delete(range(5, COUNT, 3))
    index.put(1, range(2, COUNT, 7), vectors(len(range(2, COUNT, 7))))
    index.put(1, range(5, COUNT, 12), vectors(len(range(5, COUNT, 12))))
    index.put(0, range(COUNT + 1, COUNT + 201), vectors(200))
    index.put(1, range(COUNT + 1, COUNT + 201, 9), vectors(len(range(COUNT + 1, COUNT + 201, 9))))
    index.index.save_index(out + "/changed.saved")
    index.write_steps(out + "/changed.steps")
    split(out + "/changed.saved", out + "/changed")


def main():
    for case in sys.argv[2:]:
        space, *numbers = case.split("-")
        make("%s/%s" % (sys.argv[1], case), space, *(int(number) for number in numbers))


if __name__ == "__main__":
    main()
