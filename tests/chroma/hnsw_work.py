#!/usr/bin/env python3
"""Chroma goes on with indexes that were put in place of its own.

usage: hnsw_work.py segments DIR            the persisted vector segments: a line "SEGMENT SPACE" for each
       hnsw_work.py work DIR STATE          2,000 additions, updates and deletions in the collections of some of these segments; what
                                            should be there goes to STATE
       hnsw_work.py check DIR STATE         in a process of its own: that it is, that vectors find themselves, and that the
                                            index on disk has most of it
       hnsw_work.py compare ANSWERS OTHER   what answers.py said: the same, but for the last bits of a float
"""
import itertools
import json
import os
import re
import sqlite3
import sys

import hnsw_files

ADDED = 2000
UPDATED = 200
DELETED = 150
AT_MOST = 100 if os.environ.get("FULL") else 1  # collections


def fail(sentence):
    sys.exit("hnsw_work: " + sentence)


def near(a, b):
    return abs(a - b) <= 2e-4 * max(1.0, abs(a), abs(b))


def vectors_agree(a, b):
    return len(a) == len(b) and all(near(float(x), float(y)) for x, y in zip(a, b))


# --- compare ---

def same(one, other, where):
    if isinstance(one, float) and isinstance(other, (int, float)):
        agree = near(one, other)
    elif isinstance(one, dict) and isinstance(other, dict) and sorted(one) == sorted(other):
        return [found for key in one for found in same(one[key], other[key], where + "/" + key)]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [found for i, (a, b) in enumerate(zip(one, other)) for found in same(a, b, "%s/%d" % (where, i))]
    else:
        agree = one == other
    return [] if agree else ["%s: %s and %s" % (where, str(one)[:100], str(other)[:100])]


def compare(path, other):
    with open(path, encoding="utf-8") as a, open(other, encoding="utf-8") as b:
        found = same(json.load(a), json.load(b), "")
    if found:
        fail("%d differences, the first: %s" % (len(found), found[0]))


# --- segments ---

def space_of(db, collection_id):
    """0.x writes l2 into the configuration whatever the metadata says."""
    row = db.execute("SELECT str_value FROM collection_metadata WHERE collection_id = ? AND key = 'hnsw:space'",
                     (collection_id,)).fetchone()
    if row is not None:
        return row[0]
    columns = [column[1] for column in db.execute("PRAGMA table_info(collections)")]
    for column in ("schema_str", "config_json_str"):
        if column in columns:
            text = db.execute("SELECT %s FROM collections WHERE id = ?" % column, (collection_id,)).fetchone()[0]
            found = re.search(r'"space": ?"(\w+)"', text or "")
            if found:
                return found.group(1)
    return "l2"


def segments(directory):
    with sqlite3.connect("file:%s/chroma.sqlite3?mode=ro" % directory, uri=True) as db:
        for segment, collection_id in db.execute("SELECT id, collection FROM segments WHERE scope = 'VECTOR'").fetchall():
            if os.path.exists("%s/%s/index_metadata.pickle" % (directory, segment)):
                print(segment, space_of(db, collection_id))


# --- work ---

def collections(truth, directory):
    """(collection, its entry) of those whose index has been persisted and works; one of each space comes first."""
    for entry in sorted(truth.dump(directory)["collections"], key=lambda entry: not entry["name"].startswith("space")):
        if "missing" in entry or not any(record["embedding"] for record in entry["records"]):
            continue
        if not os.path.exists("%s/%s/index_metadata.pickle" % (directory, segment_of(directory, entry["id"]))):
            continue
        client = truth.open_client(directory, entry["tenant"], entry["database"])
        yield client.get_collection(entry["name"], embedding_function=None), entry


def segment_of(directory, collection_id):
    with sqlite3.connect("file:%s/chroma.sqlite3?mode=ro" % directory, uri=True) as db:
        return db.execute("SELECT id FROM segments WHERE scope = 'VECTOR' AND collection = ?", (collection_id,)).fetchone()[0]


def work_on(collection, entry, numpy):
    records = {record["id"]: record["embedding"] for record in entry["records"] if record["embedding"]}
    source = numpy.random.default_rng(len(entry["name"]))
    dimension = len(next(iter(records.values())))

    def vectors(ids):
        made = source.uniform(-1, 1, (len(ids), dimension)).astype(numpy.float32)
        return [[float(x) for x in vector] for vector in made]

    ids = ["hnsw-%d" % i for i in range(ADDED)]
    old = sorted(records)
    added = dict(zip(ids, vectors(ids)))
    for first in range(0, ADDED, 250):
        part = ids[first:first + 250]
        collection.add(ids=part, embeddings=[added[record_id] for record_id in part])
    records.update(added)
    updated = ids[:UPDATED] + old[:max(1, len(old) // 3)]
    moved = vectors(updated)
    for first in range(0, len(updated), 100):
        collection.update(ids=updated[first:first + 100], embeddings=moved[first:first + 100])
    records.update(zip(updated, moved))
    deleted = ids[UPDATED // 2:UPDATED // 2 + DELETED] + old[1:2]
    for first in range(0, len(deleted), 100):
        collection.delete(ids=deleted[first:first + 100])
    for record_id in deleted:
        del records[record_id]
    return records


def expect(collection, records):
    answer = collection.get(include=["embeddings"])
    lost = set(records) - set(answer["ids"])
    if lost:
        fail("%s: %d of %d records are gone: %s" % (collection.name, len(lost), len(records), sorted(lost)[:5]))
    if len(answer["embeddings"]) != len(answer["ids"]):
        fail("%s: %d vectors of %d records" % (collection.name, len(answer["embeddings"]), len(answer["ids"])))
    # 0.4.3 gives the vectors in another order than the ids.
    found = sorted([round(float(x), 3) for x in vector] for vector in answer["embeddings"])
    expected = dict(zip(answer["ids"], answer["embeddings"]))
    expected.update(records)
    expected = sorted([round(float(x), 3) for x in vector] for vector in expected.values())
    wrong = sum(not vectors_agree(a, b) for a, b in zip(found, expected))
    if wrong > len(found) / 100 and not is_close(found, expected):
        fail("%s: %d of %d vectors are others" % (collection.name, wrong, len(found)))


def is_close(found, expected):
    """Rounding may sort two vectors otherwise."""
    left = {}
    for vector in expected:
        left.setdefault(tuple(round(x, 2) for x in vector), []).append(vector)
    return all(tuple(round(x, 2) for x in vector) in left for vector in found)


def find_themselves(collection, records, space):
    """ip has nearer ones than itself."""
    if space == "ip":
        return
    some = sorted(records)[::max(1, len(records) // 60)]
    answer = collection.query(query_embeddings=[records[record_id] for record_id in some], n_results=10, include=["distances"])
    found = sum(record_id in ids for record_id, ids in zip(some, answer["ids"]))
    if found < 0.95 * len(some):
        fail("%s: %d of %d vectors find themselves" % (collection.name, found, len(some)))


def check(directory, truth, state):
    seen = 0
    for collection, entry in collections(truth, directory):
        if entry["id"] not in state:
            continue
        segment = segment_of(directory, entry["id"])
        with sqlite3.connect("file:%s/chroma.sqlite3?mode=ro" % directory, uri=True) as db:
            space = space_of(db, entry["id"])
        expect(collection, state[entry["id"]])
        find_themselves(collection, state[entry["id"]], space)
        if hnsw_files.load("%s/%s" % (directory, segment))[0]["count"] < ADDED // 2:
            fail("%s: its index was not persisted" % collection.name)
        seen += 1
    if seen != len(state):
        fail("%d of %d collections are there" % (seen, len(state)))
    print(seen)


def main():
    command, directory = sys.argv[1:3]
    if command == "compare":
        return compare(directory, sys.argv[3])
    if command == "segments":
        return segments(directory)
    import numpy
    import truth
    if command == "work":
        some = itertools.islice(collections(truth, directory), AT_MOST)
        state = {entry["id"]: work_on(collection, entry, numpy) for collection, entry in some}
        with open(sys.argv[3], "w", encoding="utf-8") as file:
            json.dump(state, file)
        return None
    with open(sys.argv[3], encoding="utf-8") as file:
        return check(directory, truth, json.load(file))


if __name__ == "__main__":
    main()
