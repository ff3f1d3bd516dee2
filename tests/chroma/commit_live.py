#!/usr/bin/env python3
"""Chroma below which a commit is forced.

usage: commit_live.py write DIR READY GO   writes, makes the file READY, waits for the file GO, writes more
       commit_live.py check DIR            in a process of its own: that all of it is there
"""
import os
import sys
import time

import chromadb
from chromadb.config import Settings

COUNT = 400
FIRST = 75


def fail(sentence):
    sys.exit("commit_live: " + sentence)


def vector(i):
    return [float(i), float(i * i % 97), 1.0]


def open_it(directory):
    client = chromadb.PersistentClient(directory, settings=Settings(anonymized_telemetry=False))
    return client.get_or_create_collection("live", metadata={"hnsw:sync_threshold": 50, "hnsw:batch_size": 10})


def add(collection, first, last):
    some = range(first, last)
    collection.add(ids=["i%d" % i for i in some], embeddings=[vector(i) for i in some], documents=["text %d" % i for i in some])


def write(directory, ready, go):
    collection = open_it(directory)
    add(collection, 0, FIRST)
    collection.update(ids=["i3"], embeddings=[[7.0, 7.0, 7.0]])
    collection.delete(ids=["i5"])
    with open(ready, "w", encoding="ascii"):
        pass
    while not os.path.exists(go):
        time.sleep(0.05)
    collection.update(ids=["i4"], embeddings=[[8.0, 8.0, 8.0]])
    collection.delete(ids=["i6"])
    for first in range(FIRST, COUNT, 25):
        add(collection, first, min(first + 25, COUNT))
    if collection.count() != COUNT - 2:
        fail("%d records in the process itself" % collection.count())


def check(directory):
    collection = open_it(directory)
    answer = collection.get(include=["embeddings"])
    found = {record_id: [float(x) for x in row] for record_id, row in zip(answer["ids"], answer["embeddings"])}
    expected = {"i%d" % i: vector(i) for i in range(COUNT) if i not in (5, 6)}
    expected.update(i3=[7.0, 7.0, 7.0], i4=[8.0, 8.0, 8.0])
    wrong = sorted(record_id for record_id in expected.keys() | found.keys() if expected.get(record_id) != found.get(record_id))
    if wrong:
        fail("%d records are wrong: %s" % (len(wrong), wrong[:5]))
    some = ["i%d" % i for i in range(10, COUNT, 13)]
    answer = collection.query(query_embeddings=[expected[record_id] for record_id in some], n_results=1)
    if [ids[0] for ids in answer["ids"]] != some:
        fail("some vectors don't find themselves")


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]](*sys.argv[2:])
