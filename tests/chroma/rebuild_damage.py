#!/usr/bin/env python3
"""Collections for rebuild_damage_files.py to damage, and what Chroma makes of them when they were rebuilt.

usage: rebuild_damage.py make DIR OLDER STATE           collections, and their documents and metadata
       rebuild_damage.py judge DIR CASES STATE AFTER    everything that can be had back is there, and nothing else; then goes on writing: AFTER is what should be there then
       rebuild_damage.py again DIR AFTER                in a process of its own: that it is

OLDER gets the pickles of the first time that an index was written.
"""
import json
import random
import shutil
import sqlite3
import sys

import numpy

import hnsw_files
import rebuild_damage_kinds
import truth
from rebuild_damage_files import OF_FIXTURE
from rebuild_damage_mount import CHURN

DIMENSION = 6
BATCH, SYNC = 10, 20
MORE, MOST = 300, 2000
CHURNED = 4000
HAS_CHURN = truth.VERSION[:2] in ((0, 6), (1, 5))
SENTINEL = "the-last-row"
TEXTS = ("alpha beta gamma", "delta epsilon", "zeta eta theta iota")


def fail(sentence):
    sys.exit("rebuild_damage: " + sentence)


def near(a, b, space):
    """Bits, where the space keeps them."""
    if a is None or b is None or len(a) != len(b):
        return a is b
    if space != "cosine":
        return [numpy.float32(x) for x in a] == [numpy.float32(x) for x in b]
    size = max(map(abs, b))
    return all(abs(x - y) <= 1e-6 * max(size, 1) for x, y in zip(a, b))


# --- make ---

class Source:
    def __init__(self, name, dimension=DIMENSION):
        self.random, self.dimension = random.Random(name), dimension

    def vectors(self, count):
        return [[float(numpy.float32(self.random.uniform(-2, 2))) for _ in range(self.dimension)] for _ in range(count)]

    def records(self, ids):
        return {"ids": ids, "embeddings": self.vectors(len(ids)),
                "documents": [self.random.choice(TEXTS) + " " + record_id for record_id in ids],
                "metadatas": [{"n": self.random.randint(0, 99), "of": record_id} for record_id in ids]}


def create(client, name, space, m=16, batch=BATCH, sync=SYNC):
    if truth.VERSION < (1, 0, 0):
        metadata = {"hnsw:space": space, "hnsw:batch_size": batch, "hnsw:sync_threshold": sync, "hnsw:M": m, "hnsw:num_threads": 1}
        return client.create_collection(name, metadata=metadata, embedding_function=None)
    hnsw = {"space": space, "max_neighbors": m, "batch_size": batch, "sync_threshold": sync}
    return client.create_collection(name, configuration={"hnsw": hnsw}, embedding_function=None)


def ids(prefix, first, count):
    return ["%s%02d" % (prefix, i) for i in range(first, first + count)]


def vector_segment(directory, name):
    with sqlite3.connect("file:%s/chroma.sqlite3?mode=ro" % directory, uri=True) as db:
        return db.execute("SELECT segments.id FROM segments JOIN collections ON collections.id = segments.collection"
                          " WHERE scope = 'VECTOR' AND name = ?", (name,)).fetchone()[0]


def history(collection, source, directory, older):
    """Every kind of operation, written to the index; and fewer than SYNC (and BATCH, for the oldest) behind it."""
    collection.add(**source.records(ids("a", 0, 14)))
    collection.add(**source.records(ids("a", 14, 8)))
    shutil.copy("%s/%s/index_metadata.pickle" % (directory, vector_segment(directory, collection.name)), "%s/%s" % (older, collection.name))
    collection.delete(ids=["a03", "a04", "a05"])
    collection.update(**source.records(["a06", "a07"]))
    collection.upsert(**source.records(["a08", "b00"]))
    collection.add(**source.records(["a12"]))  # ignored
    collection.add(**source.records(ids("b", 1, 21)))
    collection.update(**source.records(["a09", "b07"]))
    collection.upsert(**source.records(["a10", "a04"]))
    collection.add(**source.records(["c00"]))
    collection.delete(ids=["b05"])
    collection.add(**source.records(["b08"]))  # ignored


def churn(client):
    source = Source(CHURN)
    collection = create(client, CHURN, "l2", batch=100, sync=500)
    names = ["k%04d" % i for i in range(CHURNED)]
    for first in range(0, CHURNED, 250):
        collection.add(ids=names[first:first + 250], embeddings=source.vectors(250))
    source.random.shuffle(names)
    for first in range(0, CHURNED // 2, 250):
        collection.delete(ids=names[first:first + 250])
    for first in range(CHURNED // 2, CHURNED * 8 // 10, 200):
        collection.upsert(ids=names[first:first + 200], embeddings=source.vectors(200))


def set_purge(directory, automatically):
    if truth.VERSION >= (0, 5, 6):
        with sqlite3.connect(directory + "/chroma.sqlite3") as db:
            db.execute("INSERT OR REPLACE INTO embeddings_queue_config VALUES (1, ?)", (
                '{"automatically_purge": %s, "_type": "EmbeddingsQueueConfigurationInternal"}' % ("true" if automatically else "false"),))


def texts(collection):
    answer = collection.get(include=["documents", "metadatas"])
    return {record_id: [document, metadata or None]
            for record_id, document, metadata in zip(answer["ids"], answer["documents"], answer["metadatas"])}


def make(directory, older, state):
    set_purge(directory, False)
    client = truth.open_client(directory)
    found = {name: texts(client.get_collection(name, embedding_function=None)) for name in OF_FIXTURE}
    for n, (name, _, space, _) in enumerate(rebuild_damage_kinds.cases()):
        collection = create(client, name, space, 16 if n % 4 < 2 else 7)
        history(collection, Source(name), directory, older)
        found[name] = texts(collection)
    if HAS_CHURN:
        churn(client)
    create(client, SENTINEL, "l2").add(ids=["last"], embeddings=[[1.0, 2.0]])
    with open(state, "w", encoding="utf-8") as file:
        json.dump(found, file)


# --- judge ---

def at_once(collection, vectors, space):
    """0.4.3 gives the vectors in another order than the ids."""
    answer = collection.get(ids=list(vectors), include=["embeddings"])
    found = [[float(x) for x in vector] for vector in answer["embeddings"]]
    expected = [vectors[record_id] for record_id in answer["ids"]]
    if truth.VERSION < (0, 4, 4):
        found, expected = sorted(found), sorted(expected)
    return len(found) == len(expected) == len(vectors) and all(near(a, b, space) for a, b in zip(found, expected))


class Judge:
    def __init__(self):
        self.wrong = []

    def say(self, name, sentence, *values):
        self.wrong.append("%s: %s" % (name, sentence % values))

    def vectors(self, collection, vectors, space):
        """One by one where they don't agree at once: where some are missing, Chroma gives others."""
        bad, there = [], [record_id for record_id in vectors if vectors[record_id] is not None]
        agrees = there and at_once(collection, {record_id: vectors[record_id] for record_id in there}, space)
        for record_id, expected in vectors.items():
            if agrees and expected is not None:
                continue
            found, _ = truth.embedding_of(collection, record_id)
            if not near(found, expected, space):
                bad.append("%s: %s, not %s" % (record_id, found, expected))
        if bad:
            self.say(collection.name, "%d of %d vectors: %s", len(bad), len(vectors), bad[:2])

    def texts(self, collection, expected):
        found = texts(collection)
        if set(found) != set(expected):
            self.say(collection.name, "records: %s more, %s less", sorted(set(found) - set(expected)), sorted(set(expected) - set(found)))
        wrong = [record_id for record_id in expected if record_id in found and found[record_id] != expected[record_id]]
        if wrong:
            self.say(collection.name, "%d documents or metadata are others: %s", len(wrong), wrong[:3])

    def neighbours(self, collection, vectors, space, share):
        """Each vector finds itself, or a share of them where Chroma has changed the graph; for ip there are nearer ones than itself."""
        some = [record_id for record_id in vectors if vectors[record_id] is not None]
        if space == "ip" or not some:
            return
        answer = collection.query(query_embeddings=[vectors[record_id] for record_id in some], n_results=min(3, len(some)), include=["distances"])
        missed = [record_id for record_id, found in zip(some, answer["ids"]) if record_id not in found]
        if len(missed) > (1 - share) * len(some):
            self.say(collection.name, "%d of %d vectors don't find themselves: %s", len(missed), len(some), missed[:3])

    def end(self):
        if self.wrong:
            fail("%d sentences:\n%s" % (len(self.wrong), "\n".join(self.wrong[:60])))


def write_more(collection, vectors, text, count):
    """What should be there then."""
    old = sorted(vectors)
    source = Source(collection.name + "+", next((len(vector) for vector in vectors.values() if vector is not None), DIMENSION))
    lost = [record_id for record_id in old if vectors[record_id] is None]
    more = ids("m", 0, count)
    changed = [record_id for record_id in old if record_id not in lost][:4] + more[:8]

    def apply(call, names):
        records = source.records(names)
        call(**records)
        vectors.update(zip(names, records["embeddings"]))
        for record_id, document, metadata in zip(names, records["documents"], records["metadatas"]):
            before = text.get(record_id, [None, None])[1] or {}
            text[record_id] = [document, {**before, **metadata}]

    for first in range(0, count, 500):
        part = more[first:first + 500]
        embeddings = source.vectors(len(part))
        collection.add(ids=part, embeddings=embeddings)
        vectors.update(zip(part, embeddings))
        text.update((record_id, [None, None]) for record_id in part)
    apply(collection.update, changed)
    apply(collection.upsert, lost[:2] + ["new"])
    gone = more[8:16] + old[-2:]
    collection.delete(ids=gone)
    for record_id in gone:
        vectors.pop(record_id)
        text.pop(record_id)


def look(judge, collection, case, text, share):
    judge.texts(collection, text)
    judge.vectors(collection, case["vectors"], case["space"])
    judge.neighbours(collection, case["vectors"], case["space"], share)


def judge_churn(judge, client):
    collection = client.get_collection(CHURN, embedding_function=None)
    answer = collection.get(include=["embeddings"])
    vectors = [[float(x) for x in vector] for vector in answer["embeddings"]]
    if len(vectors) != CHURNED // 2:
        judge.say(CHURN, "%d vectors", len(vectors))
    found = []
    for first in range(0, len(vectors), 500):
        found += collection.query(query_embeddings=vectors[first:first + 500], n_results=1, include=["distances"])["ids"]
    missed = sum(record_id not in answers for record_id, answers in zip(answer["ids"], found))
    print("churned records that don't find themselves: %d of %d" % (missed, len(vectors)))
    if missed:
        judge.say(CHURN, "%d of %d vectors don't find themselves", missed, len(vectors))


def judge_all(directory, path, state, after):
    set_purge(directory, True)
    client, judge = truth.open_client(directory), Judge()
    with open(path, encoding="utf-8") as file, open(state, encoding="utf-8") as other:
        cases, expected = json.load(file), json.load(other)
    for n, (name, case) in enumerate(cases.items()):
        collection = client.get_collection(name, embedding_function=None)
        try:
            look(judge, collection, case, expected[name], 1)
            write_more(collection, case["vectors"], expected[name], MOST if n == 0 else MORE)
        except Exception as error:  # the others are looked at, too
            judge.say(name, "%s: %s", type(error).__name__, str(error)[:300])
    if HAS_CHURN:
        judge_churn(judge, client)
    with open(after, "w", encoding="utf-8") as file:
        json.dump([cases, expected], file)
    judge.end()


def again(directory, after):
    client, judge = truth.open_client(directory), Judge()
    with open(after, encoding="utf-8") as file:
        cases, expected = json.load(file)
    for name, case in cases.items():
        collection = client.get_collection(name, embedding_function=None)
        try:
            if hnsw_files.load("%s/%s" % (directory, vector_segment(directory, name)))[0]["count"] < MORE:
                judge.say(name, "its index was not written")
            look(judge, collection, case, expected[name], 0.95)
        except Exception as error:  # the others are looked at, too
            judge.say(name, "%s: %s", type(error).__name__, str(error)[:300])
    judge.end()


if __name__ == "__main__":
    {"make": make, "judge": judge_all, "again": again}[sys.argv[1]](*sys.argv[2:])
