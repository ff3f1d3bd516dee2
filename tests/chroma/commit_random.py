#!/usr/bin/env python3
"""Random histories of few ids each, many of them interleaved in a log. commit_random_judge.py judges what became of them.

usage: commit_random.py make DIR ROWS SEED       the collections, some records through the API
       commit_random.py write DIR ROWS SEED COUNT STAGE
                                                 the rows of a stage (1 to 4) of COUNT histories, into the log, as nobody has applied them
       commit_random.py apply DIR ROWS SEED      Chroma applies and persists what it likes to, and is written to
       commit_random.py ask DIR > answers.json   records, vectors and neighbours
       commit_random.py purged DIR ROWS SEED     says how many rows are not in the log any more

All but write and purged run with the Chroma of the version under test. ROWS tells what was written, and when a process of Chroma started.
"""
import json
import os
import random
import struct
import sys

import commit_metadata
from commit_metadata import ADD, DELETE, UPDATE, UPSERT

DIMENSION = 8
STAGES = 4
LONE = "lone"  # has one record, which is never deleted: of such an index Chroma loses updates (FORMAT 6.5)
CALLS = 12  # of the API, a process and collection
SPACE = {"euclidean": "l2", "cosine": "cosine", "inner-product": "ip", "never": "l2", "lone": "l2"}  # of each collection
NAMES = tuple(SPACE)
MANY = NAMES[:-1]
LONE_ROWS = 40
SAMPLE = 10  # one of so many records is looked for by its vector


def fail(sentence):
    sys.exit("commit_random: " + sentence)


def parameters(name, seed):
    """`never` is never persisted."""
    source = random.Random("%s %s" % (name, seed))
    batch = source.choice([3, 5, 7, 20, 50])
    threshold = batch + source.choice([0, 1, 10, 100])
    if name == LONE:
        batch = threshold = 3
    elif name == "never":
        threshold = 10 ** 6
    return {"hnsw:space": SPACE[name], "hnsw:batch_size": batch, "hnsw:sync_threshold": threshold,
            "hnsw:construction_ef": 200, "hnsw:search_ef": 200}


def vector_of(source):
    """Of multiples of a power of two: each is the same number as a float, a double and a decimal."""
    return [source.randint(-9999, 9999) / 1024 for _ in range(DIMENSION)]


class Log:
    """ROWS: a line for each row, or for the start of a process."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")

    def process(self, what):
        """start or end"""
        self.file.write(json.dumps(what) + "\n")

    def row(self, seq_id, name, operation, record_id, vector):
        self.file.write(json.dumps([seq_id, name, operation, record_id, vector]) + "\n")


# --- rows that no segment has ---

class Histories:
    def __init__(self, db, seed, count):
        self.source, self.count = random.Random(seed), count
        self.values = commit_metadata.Rows(db, seed, False)
        self.rust = self.values.rust

    def row(self, record_id, n, operations):
        """1.x can't open a collection any more after an ADD or UPSERT without a vector."""
        source = self.source
        operation = source.choice(operations)
        chance = {ADD: .9, UPSERT: .9, UPDATE: .6, DELETE: 0}[operation]
        has_vector = source.random() < chance or self.rust and operation in (ADD, UPSERT)
        metadata = {} if operation == DELETE else self.values.metadata(n % 7)
        return operation, record_id, vector_of(source) if has_vector else None, json.dumps(metadata) if metadata or self.rust else None

    def all(self):
        """(moment, collection, row) in the order of the log. Half of the histories are within few rows, so that batches have several of an id."""
        found, source = [], self.source
        for number in range(self.count):
            ids = ["%d-%d" % (number, i) for i in range(source.randint(1, 3))]
            first, width = source.random(), source.choice([20 / (5 * self.count), 20 / (5 * self.count), .1, 1])
            for _ in range(source.randint(1, 8)):
                moment = (first + source.random() * width) % 1
                found.append((moment, MANY[number % len(MANY)], self.row(source.choice(ids), number, [ADD, UPDATE, UPSERT, DELETE])))
        for _ in range(LONE_ROWS):
            # None in the third stage: an update that is applied again is not seen to be lost.
            found.append(((source.choice([0, 1, 3]) + source.random()) / STAGES, LONE, self.row("api-0", 0, [UPDATE, UPSERT])))
        return sorted(found, key=lambda entry: entry[0])

    def stage(self, number):
        return [entry[1:] for entry in self.all() if number - 1 <= entry[0] * STAGES < number]


def topics(db):
    return {name: "persistent://default/default/" + found for found, name in db.execute("SELECT id, name FROM collections")}


def write(directory, path, seed, count, stage):
    db, log = commit_metadata.connect(directory), Log(path)
    topic_of = topics(db)
    for name, (operation, record_id, vector, metadata) in Histories(db, seed, int(count)).stage(int(stage)):
        blob = None if vector is None else struct.pack("<%df" % DIMENSION, *vector)
        done = db.execute("INSERT INTO embeddings_queue (operation, id, vector, encoding, metadata, topic) VALUES (?, ?, ?, ?, ?, ?)",
                          (operation, record_id, blob, "FLOAT32" if blob else None, metadata, topic_of[name]))
        log.row(done.lastrowid, name, operation, record_id, vector)
    db.commit()


def purged(directory, path, _seed):
    with open(path, encoding="utf-8") as file:
        written = sum(1 for line in file if not line.startswith('"'))
    print(written - commit_metadata.connect(directory).execute("SELECT count(*) FROM embeddings_queue").fetchone()[0])


# --- Chroma ---

class Caller:
    """Calls of the API, with the rows that they bring."""

    def __init__(self, directory, collection, log, source):
        self.db, self.collection, self.log, self.source = commit_metadata.connect(directory), collection, log, source
        self.new = 0

    def last(self):
        return self.db.execute("SELECT max(seq_id) FROM embeddings_queue").fetchone()[0] or 0

    def call(self, operation, ids):
        before, last_row = self.last(), {ADD: "add", UPDATE: "update", UPSERT: "upsert"}
        vectors = [vector_of(self.source) for _ in ids]
        if operation == DELETE:
            self.collection.delete(ids=ids)
        else:
            getattr(self.collection, last_row[operation])(
                ids=ids, embeddings=vectors, documents=["document %s" % i for i in ids], metadatas=[{"a": n} for n in range(len(ids))])
        last = self.last()
        # An id that is not there is deleted without a row.
        if last - before not in (0, len(ids)):
            fail("%d rows of %d ids" % (last - before, len(ids)))
        for number in range(last - before):
            self.log.row(before + 1 + number, self.collection.name, operation, ids[number], None if operation == DELETE else vectors[number])

    def random_call(self, process):
        source = self.source
        some = source.sample(range(60), source.randint(1, 9))
        operation = source.choice([ADD, UPDATE, UPSERT, DELETE])
        if self.collection.name == LONE:
            return self.call(UPDATE, ["api-0"])
        ids = ["api-%d" % n for n in some]
        if operation == ADD and source.random() < .7:
            ids = ["api-%s-%d-%d" % (process, self.new, n) for n in some]
            self.new += 1
        return self.call(operation, ids[:1] if operation == DELETE else ids)


def call_all(directory, client, path, seed):
    log, process = Log(path), sum(1 for line in open(path, encoding="utf-8") if line == '"start"\n') if os.path.exists(path) else 0
    log.process("start")
    for name in NAMES:
        collection = client.get_collection(name, embedding_function=None)
        vectors_of(client, collection)
        caller = Caller(directory, collection, log, random.Random("%s %s %s" % (seed, process, name)))
        if process == 0:
            caller.call(ADD, ["api-%d" % n for n in range(1 if name == LONE else 45)])
        for _ in range(CALLS):
            caller.random_call(process)
    log.process("end")


def make(directory, path, seed):
    client = commit_metadata.client_of(directory)
    for name in NAMES:
        client.create_collection(name, metadata=parameters(name, seed), embedding_function=None)
    call_all(directory, client, path, seed)


def apply(directory, path, seed):
    call_all(directory, commit_metadata.client_of(directory), path, seed)


def ids_with_vectors(client, collection):
    """Python's get() mixes the vectors up where one is missing; its vector segment knows which ones there are. None: 1.x, where none is missing."""
    manager = getattr(getattr(client, "_server", client), "_manager", None)
    if manager is None:
        return None, None
    from chromadb.segment import VectorReader
    segment = manager.get_segment(collection.id, VectorReader)
    batch = segment._curr_batch
    return (set(segment._id_to_label) - set(batch.get_deleted_ids())) | set(batch.get_written_ids()), segment


def vectors_of(client, collection):
    """{id: vector}. 0.4.3's get() has the vectors in another order than the ids, its segment in theirs."""
    present, segment = ids_with_vectors(client, collection)
    ids = collection.get(include=[])["ids"]
    wanted = [record_id for record_id in ids if present is None or record_id in present]
    found = {}
    for first in range(0, len(wanted), 200):
        part = wanted[first:first + 200]
        if VERSION < (0, 4, 15) and segment is not None:
            answer = {entry["id"]: entry["embedding"] for entry in segment.get_vectors(ids=part)}
        else:
            both = collection.get(ids=part, include=["embeddings"])
            answer = dict(zip(both["ids"], both["embeddings"]))
            if len(both["embeddings"]) != len(part):
                fail("%s: %d vectors of %d records" % (collection.name, len(both["embeddings"]), len(part)))
        if sorted(answer) != sorted(part):
            fail("%s: get() gives other records than it was asked for" % collection.name)
        found.update(answer)
    return {record_id: [float(x) for x in vector] for record_id, vector in found.items()}


def neighbours_of(collection, vectors):
    found = {}
    for record_id in sorted(vectors)[::SAMPLE]:
        answer = collection.query(query_embeddings=[vectors[record_id]], n_results=1, include=["distances"])
        found[record_id] = [answer["ids"][0][0], float(answer["distances"][0][0])]
    return found


def ask(directory):
    client, result = commit_metadata.client_of(directory), {"version": VERSION}
    for name in NAMES:
        collection = client.get_collection(name, embedding_function=None)
        vectors = vectors_of(client, collection)
        answer = collection.get(include=["documents", "metadatas"])
        result[name] = {"count": collection.count(), "parameters": collection.metadata, "vectors": vectors,
                        "records": {i: [d, m] for i, d, m in zip(answer["ids"], answer["documents"], answer["metadatas"])},
                        "neighbours": neighbours_of(collection, vectors)}
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    if sys.argv[1] not in ("write", "purged"):
        import chromadb
        VERSION = tuple(int(part) for part in chromadb.__version__.split(".")[:3])
    {"make": make, "write": write, "apply": apply, "ask": ask, "purged": purged}[sys.argv[1]](*sys.argv[2:])
