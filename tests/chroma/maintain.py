#!/usr/bin/env python3
"""Compares what Chroma answered before and after maintenance, as answers.py prints it.

usage: maintain.py BEFORE AFTER

The same collections, records, documents, metadata, embeddings, and hits of the full-text search. Where an index stores its vectors normalized, the last bit of an embedding
is not kept. An index that was made anew may have other links: of the distances of neighbours 98 in 100 must be the same, over all queries. lone and lone-updated are
collections of one element, of which every release loses something, which comes back.
"""
import json
import sys

WHOLE = ("id", "name", "tenant", "database", "metadata", "dimension", "count", "containing", "missing")
AGREEMENT = 0.98
LOST = ("lone", "lone-updated")


def load(path):
    with open(path, encoding="utf-8") as file:
        return {entry["id"]: entry for entry in json.load(file)["collections"] if entry["name"] not in LOST}


def is_same(old, new):
    """Records."""
    vectors = old["embedding"] or [], new["embedding"] or []
    return ({**old, "embedding": None} == {**new, "embedding": None} and len(vectors[0]) == len(vectors[1]) and
            all(abs(a - b) <= 1e-6 * max(1, abs(a)) for a, b in zip(*vectors)))


def differences(before, after):
    """Sentences."""
    for key in WHOLE:
        if before.get(key) != after.get(key):
            yield "%s is %r, was %r" % (key, after.get(key), before.get(key))
    if len(before["records"]) != len(after["records"]):
        yield "%d records, were %d" % (len(after["records"]), len(before["records"]))
    for old, new in zip(before["records"], after["records"]):
        if not is_same(old, new):
            yield "a record is %r, was %r" % (new, old)


def neighbours(before, after):
    """(how many distances agree, how many there are)"""
    pairs = [pair for old, new in zip(before.get("neighbours", []), after.get("neighbours", [])) for pair in zip(old, new)]
    return sum(abs(old - new) <= 1e-3 * max(1, abs(old)) for old, new in pairs), len(pairs)


def main():
    before, after = (load(path) for path in sys.argv[1:])
    wrong, agree, of = [], 0, 0
    if before.keys() != after.keys():
        wrong.append("other collections than before")
    for key in before.keys() & after.keys():
        wrong += ["%s: %s" % (before[key]["name"], text) for text in differences(before[key], after[key])]
        same, count = neighbours(before[key], after[key])
        agree, of = agree + same, of + count
    print("%d collections, %d of %d distances the same" % (len(before), agree, of))
    if agree < AGREEMENT * of or of == 0:
        wrong.append("too many neighbours are others")
    sys.exit("\n".join(wrong[:20]) if wrong else 0)


if __name__ == "__main__":
    main()
