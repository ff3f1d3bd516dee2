#!/usr/bin/env python3
"""Writes to a persist directory with the running Chroma for a while: adds,
updates, upserts and deletes, in collections that are persisted often.

usage: writer.py DIR SECONDS

Prints how long the writes took. Fails with the first exception of Chroma, and
if a collection ends with another number of records than it was given.
"""
import random
import statistics
import sys
import time

import chromadb
from chromadb.config import Settings

COLLECTIONS = ("live-1", "live-2", "live-3")
DIMENSION = 32


class Writer:
    def __init__(self, client, name):
        self.collection = client.get_or_create_collection(
            name, embedding_function=None,
            metadata={"hnsw:batch_size": 10, "hnsw:sync_threshold": 25})
        self.known = set(self.collection.get(include=[])["ids"])
        self.next = 10 ** 6 + len(self.known) * 1000

    def batch(self, ids):
        return {"ids": ids, "documents": ["document %s " % i * 5 for i in ids],
                "embeddings": [[random.random() for _ in range(DIMENSION)] for _ in ids],
                "metadatas": [{"n": random.randint(0, 9), "of": i} for i in ids]}

    def some(self, most):
        return random.sample(sorted(self.known), min(len(self.known), random.randint(1, most)))

    def add(self):
        ids = ["r%d" % n for n in range(self.next, self.next + random.randint(1, 20))]
        self.next += len(ids)
        self.known.update(ids)
        return self.collection.add, self.batch(ids)

    def change(self):
        if not self.known:
            return self.add()
        return random.choice((self.collection.update, self.collection.upsert)), self.batch(self.some(5))

    def delete(self):
        if len(self.known) < 50:
            return self.add()
        ids = self.some(10)
        self.known.difference_update(ids)
        return self.collection.delete, {"ids": ids}

    def write(self):
        """Milliseconds that Chroma took."""
        call, arguments = random.choice((self.add, self.change, self.delete))()
        started = time.monotonic()
        call(**arguments)
        return (time.monotonic() - started) * 1000

    def check(self):
        count = self.collection.count()
        if count != len(self.known):
            sys.exit("%s has %d records, not %d" % (self.collection.name, count, len(self.known)))


def main():
    directory, seconds = sys.argv[1], float(sys.argv[2])
    client = chromadb.PersistentClient(directory, settings=Settings(anonymized_telemetry=False))
    writers = [Writer(client, name) for name in COLLECTIONS]
    took, end = [], time.monotonic() + seconds
    while not took or time.monotonic() < end:
        took.append(random.choice(writers).write())
    for writer in writers:
        writer.check()
    print("%d writes, median %.1f ms, slowest %.1f ms"
          % (len(took), statistics.median(took), max(took)))


if __name__ == "__main__":
    main()
