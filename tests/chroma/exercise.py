#!/usr/bin/env python3
"""Works on a persist directory as its users do, and checks afterwards that all of it is there.

usage: exercise.py work DIR STATE ROUND      adds, updates, upserts and deletes in every collection that has a dimension, and
                                             checks each step at once; what should be there afterwards goes to STATE
       exercise.py check DIR STATE           in a process of its own: that it is
"""
import json
import random
import sys

import truth

ADDED = 25


def vectors_of(count, dimension, seed):
    source = random.Random(seed)
    return [[round(source.uniform(-1, 1), 3) for _ in range(dimension)] for _ in range(count)]


def fail(sentence):
    sys.exit("exercise: " + sentence)


def get(collection, record_id):
    answer = collection.get(ids=[record_id], include=["documents", "metadatas", "embeddings"])
    if answer["ids"] != [record_id]:
        return None
    vectors = answer["embeddings"]
    return {"document": answer["documents"][0], "metadata": answer["metadatas"][0],
            "embedding": None if vectors is None or len(vectors) == 0 else [float(x) for x in vectors[0]]}


def is_same(record, expected):
    if (record is None) != (expected is None):
        return False
    if record is None:
        return True
    if record["document"] != expected["document"] or (record["metadata"] or {}) != expected["metadata"]:
        return False
    vector = record["embedding"]
    return vector is not None and len(vector) == len(expected["embedding"]) and \
        all(abs(a - b) < 1e-4 for a, b in zip(vector, expected["embedding"]))


def expect(collection, record_id, expected):
    record = get(collection, record_id)
    if not is_same(record, expected):
        fail("%s: %r is %s, and not %s" % (collection.name, record_id, record, expected))


def first_word(collection, state, number, dimension):
    """One record alone: a number of the log that is handed out twice would lose it."""
    record_id = "alone-%d" % number
    vector = vectors_of(1, dimension, record_id)[0]
    collection.add(ids=[record_id], embeddings=[vector], documents=["alone quartz"], metadatas=[{"n": number}])
    state[record_id] = {"document": "alone quartz", "metadata": {"n": number}, "embedding": vector}
    expect(collection, record_id, state[record_id])
    found = collection.query(query_embeddings=[vector], n_results=1, include=["distances"])
    if not found["ids"][0]:
        fail("%s: %r is found by no query" % (collection.name, record_id))
    if record_id not in collection.get(where_document={"$contains": "quartz"}, include=[])["ids"]:
        fail("%s: %r is not found by its document" % (collection.name, record_id))


def add_many(collection, state, number, dimension):
    ids = ["new-%d-%d" % (number, i) for i in range(ADDED)]
    vectors = vectors_of(ADDED, dimension, ids[0])
    documents = ["word%d obsidian" % i for i in range(ADDED)]
    metadatas = [{"i": i, "round": number} for i in range(ADDED)]
    collection.add(ids=ids, embeddings=vectors, documents=documents, metadatas=metadatas)
    for i, record_id in enumerate(ids):
        state[record_id] = {"document": documents[i], "metadata": metadatas[i], "embedding": vectors[i]}
    return ids


def change(collection, state, ids, dimension):
    moved = vectors_of(5, dimension, "moved" + ids[0])
    collection.update(ids=ids[:5], embeddings=moved, documents=["moved basalt"] * 5)
    for record_id, vector in zip(ids[:5], moved):
        state[record_id]["embedding"] = vector
        state[record_id]["document"] = "moved basalt"
    collection.upsert(ids=ids[5:7], embeddings=moved[:2], documents=["upserted slate"] * 2, metadatas=[{"u": 1}] * 2)
    for record_id, vector in zip(ids[5:7], moved):
        state[record_id]["embedding"] = vector
        state[record_id]["document"] = "upserted slate"
        state[record_id]["metadata"] = dict(state[record_id]["metadata"], u=1)
    collection.delete(ids=ids[7:12])
    for record_id in ids[7:12]:
        state[record_id] = None


def work(directory, states, number):
    for entry in truth.dump(directory)["collections"]:
        vectors = [record["embedding"] for record in entry["records"] if record["embedding"]]
        if not vectors or "missing" in entry:
            continue
        client = truth.open_client(directory, entry["tenant"], entry["database"])
        collection = client.get_collection(entry["name"], embedding_function=None)
        state, dimension = states.setdefault(entry["id"], {}), len(vectors[0])
        first_word(collection, state, number, dimension)
        ids = add_many(collection, state, number, dimension)
        change(collection, state, ids, dimension)
        old = [record["id"] for record in entry["records"] if record["id"] not in state]
        if len(old) > 2:
            collection.delete(ids=old[:1])
            state[old[0]] = None
        if collection.count() != len(entry["records"]) + 1 + ADDED - 5 - (1 if len(old) > 2 else 0):
            fail("%s: %d records" % (collection.name, collection.count()))
        check_one(collection, state)


def check_one(collection, state):
    for record_id, expected in state.items():
        expect(collection, record_id, expected)


def check(directory, states):
    seen = set()
    for entry in truth.dump(directory)["collections"]:
        client = truth.open_client(directory, entry["tenant"], entry["database"])
        check_one(client.get_collection(entry["name"], embedding_function=None), states.get(entry["id"], {}))
        seen.add(entry["id"])
    if not set(states) <= seen:
        fail("collections are gone: %s" % sorted(set(states) - seen))


def main():
    command, directory, path = sys.argv[1:4]
    try:
        with open(path, encoding="utf-8") as file:
            states = json.load(file)
    except FileNotFoundError:
        states = {}
    if command == "check":
        return check(directory, states)
    work(directory, states, int(sys.argv[4]))
    with open(path, "w", encoding="utf-8") as file:
        json.dump(states, file)


if __name__ == "__main__":
    main()
