#!/usr/bin/env python3
"""What every wal.jsonl of a persist directory must be, rendered by Python itself.

usage: wal_truth.py DIR [COLLECTION_ID]     the bytes: of the root's, or of that collection's
       wal_truth.py --sums FIXTURES         SHA-256 of all of them, of each FIXTURES/*/dir, as sha256sum
                                            writes it: made once, for tests/fixtures/wal.sha256

Nothing of Chroma is needed. Texts are decoded with surrogateescape, so that bytes that are no UTF-8 are
shown as \\udcNN; what the columns hold decides about everything else.
"""
import base64
import hashlib
import json
import os
import sqlite3
import sys

COLUMNS = ("seq_id", "created_at", "operation", "topic", "id", "vector", "encoding", "metadata")
LONGEST_TOPIC = 1024


def connect(directory):
    connection = sqlite3.connect("file:%s?mode=ro" % os.path.join(directory, "chroma.sqlite3").replace("%", "%25"),
                                 uri=True, isolation_level=None, timeout=60)
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    return connection


def line(row):
    values = (base64.b64encode(value).decode() if isinstance(value, bytes) else value for value in row)
    return (json.dumps(dict(zip(COLUMNS, values))) + "\n").encode()


def collection_of(topic):
    """The id of the collection that a row with this topic belongs to, or None."""
    if not isinstance(topic, str) or "/" not in topic:
        return None
    if len(topic.encode("utf-8", "surrogateescape")) > LONGEST_TOPIC:
        return None
    return topic.rsplit("/", 1)[1]


def rows(connection, where="1", arguments=()):
    return connection.execute("SELECT %s FROM embeddings_queue WHERE %s ORDER BY seq_id"
                              % (", ".join(COLUMNS), where), arguments)


def lines(connection, collection=None):
    for row in rows(connection):
        if collection is None or collection_of(row[COLUMNS.index("topic")]) == collection:
            yield line(row)


def collections(connection):
    return [row[0] for row in connection.execute("SELECT id FROM collections ORDER BY id")]


def sums(fixtures):
    for name in sorted(os.listdir(fixtures)):
        directory = os.path.join(fixtures, name, "dir")
        if not os.path.isdir(directory):
            continue
        connection = connect(directory)
        paths = [("wal.jsonl", None)]
        paths += [("by-id/%s/wal.jsonl" % c, c) for c in collections(connection)]
        for path, collection in paths:
            digest = hashlib.sha256(b"".join(lines(connection, collection))).hexdigest()
            print("%s  %s/%s" % (digest, name, path))


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--sums":
        sums(sys.argv[2])
        return
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    for text in lines(connect(sys.argv[1]), sys.argv[2] if len(sys.argv) == 3 else None):
        sys.stdout.buffer.write(text)


if __name__ == "__main__":
    main()
