#!/usr/bin/env python3
"""A Chroma client that stays open and does what a file says.

usage: operations_writer.py DIR CONTROL

CONTROL is a folder, whose name the collections begin with. Its file `phase` has the name of the present phase: `wait...` (Chroma is imported, and DIR is not open), `idle...` (it is open, and
nothing happens), `write...` (adds, updates, upserts and deletes, one after the other, with an index that is persisted often), `write-slowly...` (with pauses between
them, as a program has that computes embeddings) or `stop`. `at` follows it: once `at` has a name, the phase has begun. `journal` is what was done (operations_journal.py). In the end it prints, for each
phase with writes, its name, how many there were, and their median and slowest in ms.
"""
import json
import os
import random
import statistics
import sys
import time

import chromadb
from chromadb.config import Settings

import operations_journal as journal

SIZES = ((10, 25), (5, 12), (10, 40))  # batch_size, sync_threshold
FEWEST = 60  # the only element of an index has troubles of its own


class Writer:
    def __init__(self, directory, control):
        settings = Settings(anonymized_telemetry=False)
        self.client = chromadb.PersistentClient(directory, settings=settings)
        self.control = control
        names = ["%s-%d" % (os.path.basename(control), i) for i in range(len(SIZES))]
        self.collections = {name: self.open(name, *sizes) for name, sizes in zip(names, SIZES)}
        self.known = {name: set() for name in names}
        self.n, self.took = 0, {}
        self.journal = open(os.path.join(control, "journal"), "a", encoding="utf-8")

    def open(self, name, batch_size, sync_threshold):
        return self.client.get_or_create_collection(
            name, embedding_function=None,
            metadata={"hnsw:batch_size": batch_size, "hnsw:sync_threshold": sync_threshold})

    def note(self, line):
        self.journal.write(json.dumps(line) + "\n")
        self.journal.flush()

    def choose(self):
        """(collection, call, ids)"""
        name = random.choice(sorted(self.known))
        known = self.known[name]
        call = "add" if len(known) < FEWEST else random.choice(("add", "update", "upsert", "delete"))
        if call == "add":
            return name, call, ["%s-%d-%d" % (name, self.n, i) for i in range(random.randint(1, 15))]
        if call == "delete" and len(known) < 2 * FEWEST:
            call = "update"
        return name, call, random.sample(sorted(known), random.randint(1, 8))

    def write(self, phase):
        self.n += 1
        name, call, ids = self.choose()
        arguments = {"ids": ids}
        if call != "delete":
            arguments["embeddings"] = [journal.vector_of(i, self.n) for i in ids]
            arguments["documents"] = [journal.document_of(i, self.n) for i in ids]
            arguments["metadatas"] = [journal.metadata_of(i, self.n) for i in ids]
        began = time.time()
        self.note({"n": self.n, "began": began, "collection": name, "call": call, "ids": ids})
        getattr(self.collections[name], call)(**arguments)
        ended = time.time()
        self.note({"n": self.n, "ended": ended})
        self.took.setdefault(phase, []).append((ended - began) * 1000)
        (self.known[name].difference_update if call == "delete" else self.known[name].update)(ids)

    def check(self):
        for name, collection in self.collections.items():
            if collection.count() != len(self.known[name]):
                sys.exit("%s has %d records, not %d" % (name, collection.count(), len(self.known[name])))


def read_phase(control):
    with open(os.path.join(control, "phase"), encoding="utf-8") as file:
        return file.read().strip()


def tell_phase(control, phase):
    path = os.path.join(control, "at")
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(phase + "\n")
    os.rename(path + ".new", path)


def main():
    directory, control = sys.argv[1:]
    writer, told = None, None
    while True:
        phase = read_phase(control)
        if phase == "stop":
            break
        if writer is None and not phase.startswith("wait"):
            writer = Writer(directory, control)
        if phase.startswith("write"):
            writer.write(phase)
        if phase != told:
            tell_phase(control, phase)
            told = phase
        if phase.startswith("write-slowly"):
            time.sleep(random.uniform(0, 0.3))
        else:
            time.sleep(0.002 if phase.startswith("write") else 0.02)
    writer.check()
    for phase, took in writer.took.items():
        print("%s %d %.2f %.1f" % (phase, len(took), statistics.median(took), max(took)))


if __name__ == "__main__":
    main()
