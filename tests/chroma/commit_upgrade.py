#!/usr/bin/env python3
"""Collections that are written by one release of Chroma after the other, and what must be in them.

usage: commit_upgrade.py write DIR MODEL    makes the collections if they are not there; else holds them against the model first; then adds, updates, upserts, deletes
       commit_upgrade.py more DIR MODEL     500 more records a collection, updates and deletes
       commit_upgrade.py check DIR MODEL    in a process of its own: all of it is there, and vectors find themselves

The model is what the calls mean, kept in a dict, and knows nothing of Chroma's files. An id that is gone is not used again: 0.4.24 loses vectors then (FORMAT 7).
"""
import json
import os
import random
import sys

import numpy

import truth

DIMENSION = 12
PARAMETERS = {  # the last one is never persisted by Chroma
    "squared": {"hnsw:space": "l2", "hnsw:batch_size": 10, "hnsw:sync_threshold": 40},
    "angles": {"hnsw:space": "cosine", "hnsw:batch_size": 7, "hnsw:sync_threshold": 30},
    "products": {"hnsw:space": "ip", "hnsw:batch_size": 25, "hnsw:sync_threshold": 150},
    "never": {"hnsw:space": "l2", "hnsw:batch_size": 100, "hnsw:sync_threshold": 100000},
}
WORDS = "granite basalt slate marble gneiss tuff \u00e9tude \u6c34\u706b\u571f".split()


def fail(sentence):
    sys.exit("commit_upgrade: " + sentence)


class Writer:
    def __init__(self, collection, model, source):
        self.collection, self.records, self.source = collection, model["records"], source
        self.model, self.has_arrays = model, truth.VERSION >= (1, 5)

    def vector(self):
        return [self.source.randint(-4096, 4096) / 512 for _ in range(DIMENSION)]

    def document(self):
        return " ".join(self.source.choice(WORDS) for _ in range(self.source.randint(1, 6)))

    def metadata(self):
        source = self.source
        found = {"n": source.randint(-2 ** 40, 2 ** 40), "half": source.randint(0, 99) / 2, "word": source.choice(WORDS), "yes": source.random() < .5}
        kept = {key: found[key] for key in source.sample(sorted(found), source.randint(1, len(found)))}
        if self.has_arrays and source.random() < .3:
            kept["list"] = source.choice([["a", "b"], [1, 2, 3], [.5, 1.5], [True, False]])
        return kept

    def some(self, count):
        return self.source.sample(sorted(self.records), min(count, len(self.records)))

    def new_ids(self, count):
        first = self.model["next"]
        self.model["next"] = first + count
        return ["id-%d" % n for n in range(first, first + count)]

    def put(self, call, ids, with_vector=True, with_document=True, with_metadata=True):
        given = {"ids": ids}
        if with_vector:
            given["embeddings"] = [self.vector() for _ in ids]
        if with_document:
            given["documents"] = [self.document() for _ in ids]
        if with_metadata:
            given["metadatas"] = [self.metadata() for _ in ids]
        getattr(self.collection, call)(**given)
        for number, record_id in enumerate(ids):
            record = self.records.setdefault(record_id, {"embedding": None, "document": None, "metadata": {}})
            if with_vector:
                record["embedding"] = given["embeddings"][number]
            if with_document:
                record["document"] = given["documents"][number]
            if with_metadata:
                record["metadata"].update(given["metadatas"][number])

    def delete(self, ids):
        if ids:
            self.collection.delete(ids=ids)
        for record_id in ids:
            del self.records[record_id]

    def write(self, count):
        """In calls of a few, so that what Chroma persists ends somewhere."""
        left = count
        while left > 0:
            ids = self.new_ids(min(left, self.source.randint(1, 40)))
            left -= len(ids)
            self.put("add", ids, with_document=self.source.random() < .8, with_metadata=self.source.random() < .8)
            self.put("update", self.some(5))
            self.put("update", self.some(2), with_metadata=False)
            self.put("update", self.some(2), with_vector=False, with_document=False)
            self.put("update", self.some(2), with_document=False, with_metadata=False)
            self.put("upsert", self.some(3) + self.new_ids(2))
            self.delete(self.some(4))


# --- what is there ---

def near(a, b, space):
    return a == b if space != "cosine" else all(abs(x - y) <= 1e-4 * max(1., abs(y)) for x, y in zip(a, b))


def check_one(name, collection, records):
    ids, space = sorted(records), PARAMETERS[name]["hnsw:space"]
    if collection.count() != len(ids) or sorted(collection.get(include=[])["ids"]) != ids:
        fail("%s: %d records, and not %d" % (name, collection.count(), len(ids)))
    for first in range(0, len(ids), 100):
        answer = collection.get(ids=ids[first:first + 100], include=["embeddings", "documents", "metadatas"])
        for record_id, vector, document, metadata in zip(answer["ids"], answer["embeddings"], answer["documents"], answer["metadatas"]):
            expected = records[record_id]
            if not near([float(x) for x in vector], expected["embedding"], space) or document != expected["document"] or (metadata or {}) != expected["metadata"]:
                fail("%s: %s is %s, and not %s" % (name, record_id, (list(vector), document, metadata), expected))
    check_documents(name, collection, records)
    check_queries(name, collection, records, space)


def check_documents(name, collection, records):
    for word in ("granite", "marble", "\u6c34\u706b\u571f"):
        found = sorted(collection.get(where_document={"$contains": word}, include=[])["ids"])
        if found != sorted(i for i, record in records.items() if word in (record["document"] or "")):
            fail("%s: $contains %s gives %d records" % (name, word, len(found)))
    found = sorted(collection.get(where={"yes": True}, include=[])["ids"])
    if found != sorted(i for i, record in records.items() if record["metadata"].get("yes") is True):
        fail("%s: where yes gives %d records" % (name, len(found)))


def check_queries(name, collection, records, space):
    """The nearest record, by distances that are counted here."""
    ids = sorted(records)
    matrix, some = numpy.array([records[i]["embedding"] for i in ids]), ids[::max(1, len(ids) // 60)]
    if space == "cosine":
        matrix = matrix / numpy.linalg.norm(matrix, axis=1, keepdims=True)
    missed = 0
    for record_id in some:
        vector = matrix[ids.index(record_id)]
        distances = ((matrix - vector) ** 2).sum(axis=1) if space == "l2" else 1 - matrix @ vector
        answer = collection.query(query_embeddings=[records[record_id]["embedding"]], n_results=5, include=["distances"])
        missed += abs(float(answer["distances"][0][0]) - float(distances.min())) > 1e-3 * max(1., abs(float(distances.min())))
    if missed > len(some) / 20:
        fail("%s: %d of %d queries miss the nearest record" % (name, missed, len(some)))


def collection_of(client, name):
    return client.get_collection(name, embedding_function=None)


def check(directory, model):
    client = truth.open_client(directory)
    for name in PARAMETERS:
        check_one(name, collection_of(client, name), model[name]["records"])
    print("%s: %d records" % (".".join(map(str, truth.VERSION)), sum(len(model[name]["records"]) for name in PARAMETERS)))


def make(client):
    for name, parameters in PARAMETERS.items():
        client.create_collection(name, metadata=parameters, embedding_function=None)
    return {name: {"next": 0, "records": {}} for name in PARAMETERS}


def write(directory, model, count):
    client = truth.open_client(directory)
    if not model:
        model.update(make(client))
    else:
        check(directory, model)
    for name in PARAMETERS:
        collection = collection_of(client, name)
        Writer(collection, model[name], random.Random("%s %s %d" % (name, truth.VERSION, model[name]["next"]))).write(count)
        check_one(name, collection, model[name]["records"])


def main():
    command, directory, path = sys.argv[1:]
    model = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            model = json.load(file)
    if command == "check":
        return check(directory, model)
    write(directory, model, 500 if command == "more" else 120)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(model, file)
    return None


if __name__ == "__main__":
    main()
