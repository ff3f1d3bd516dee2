#!/usr/bin/env python3
"""Whether what a writer wrote is there: opens directories with Chroma, in a process of their own.

usage: operations_check.py JOURNAL <LIST        a directory a line; Chroma may change it

    DIR              has every write of the journal; the last one, if it has no end, or has it not
    DIR FROM TO      a copy that was begun at FROM and done at TO (seconds since 1970): everything up to some write that did not end
                     before FROM, and did not begin after TO

Every record is looked at: vector, document, metadata; the counts of ids, vectors and count(); what $contains says of every word; and
that queries find the vectors (hnswlib leaves a few elements of an index unreachable when it updates). Of collections that the writer did
not make it is the counts alone.
"""
import sys

import chromadb
from chromadb.config import Settings

import operations_journal as journal
import truth

QUERIES = 20
FOUND = 0.8  # of them


class Wrong(Exception):
    pass


def check_record(name, record_id, vector, document, metadata):
    n = (metadata or {}).get("n", -1)
    if dict(metadata or {}) != journal.metadata_of(record_id, n) or document != journal.document_of(record_id, n):
        raise Wrong("%s: %s: %r, %r" % (name, record_id, document, metadata))
    if len(vector) != journal.DIMENSION or any(abs(a - b) > 1e-5 for a, b in zip(vector, journal.vector_of(record_id, n))):
        raise Wrong("%s: %s of write %d has another vector: %s" % (name, record_id, n, list(vector)))
    return n


def records_of(collection):
    """{id: n}"""
    answer = collection.get(include=["documents", "metadatas", "embeddings"])
    ids, vectors, count = answer["ids"], answer["embeddings"], collection.count()
    if len(set(ids)) != len(ids) or len(ids) != len(vectors) or len(ids) != count:
        raise Wrong("%s: %d ids, %d different, %d vectors, count is %d"
                    % (collection.name, len(ids), len(set(ids)), len(vectors), count))
    return {record_id: check_record(collection.name, record_id, vectors[i], answer["documents"][i], answer["metadatas"][i])
            for i, record_id in enumerate(ids)}


def check_searches(collection, records):
    for word in journal.WORDS:
        found = set(collection.get(where_document={"$contains": word}, include=[])["ids"])
        expected = {i for i, n in records.items() if journal.word_of(n) == word}
        if found != expected:
            raise Wrong("%s: $contains %r: %d records, not %d: %s" % (
                collection.name, word, len(found), len(expected), sorted(found ^ expected)[:5]))
    asked, missed = sorted(records.items())[:QUERIES], []
    for record_id, n in asked:
        answer = collection.query(query_embeddings=[journal.vector_of(record_id, n)], n_results=1, include=["distances"])
        if answer["ids"][0] != [record_id]:
            missed.append(record_id)
    if len(missed) > (1 - FOUND) * len(asked):
        raise Wrong("%s: of %d vectors queries don't find those of %s" % (collection.name, len(asked), missed))


def state_of(client, names):
    state = {}
    for collection in truth.collections_of(client):
        if collection.name in names:
            records = state[collection.name] = records_of(collection)
            check_searches(collection, records)
        elif len(collection.get(include=[])["ids"]) != collection.count():
            raise Wrong("%s: other ids than records" % collection.name)
    return {name: records for name, records in state.items() if records}


def difference(found, expected):
    """A few records that are not as they should be."""
    wrong = []
    for name in sorted(set(found) | set(expected)):
        a, b = found.get(name, {}), expected.get(name, {})
        for record_id in sorted(set(a) | set(b)):
            if a.get(record_id) != b.get(record_id):
                wrong.append("%s: write %s, not %s" % (record_id, a.get(record_id), b.get(record_id)))
    return "%d records: %s" % (len(wrong), "; ".join(wrong[:6]))


def copied(state):
    return {name: dict(records) for name, records in state.items() if records}


def check(directory, writes, begun, done):
    client = chromadb.PersistentClient(directory, settings=Settings(anonymized_telemetry=False))
    found = state_of(client, {write.collection for write in writes})
    state, first = {}, None
    for write in writes:
        if write.ended is None or write.ended >= begun:
            if first is None:
                first = copied(state)
            if found == copied(state):
                return write.n - 1
            if write.began > done:
                break
        write.apply(state)
    if found == copied(state):
        return writes[-1].n
    raise Wrong("it is not what was there after any write; to the first one that it may have: %s"
                % difference(found, copied(state) if first is None else first))


def main():
    failed = False
    writes = journal.read(sys.argv[1])
    for line in sys.stdin:
        directory, *times = line.split()
        begun, done = (float(time) for time in times) if times else (float("inf"), float("inf"))
        try:
            n = check(directory, writes, begun, done)
        except Wrong as wrong:
            print("%s: %s" % (directory, wrong))
            failed = True
        else:
            print("%s: all of %d writes, of %d" % (directory, n, len(writes)))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
