#!/usr/bin/env python3
"""Compares every wal.jsonl of a mount with what Python makes of the table (wal_truth.py): the root's and every collection's, byte
for byte, with the size and the seconds of the mtime.

usage: wal_compare.py MOUNTPOINT DIR

Nobody may write meanwhile. Prints how many files and bytes it compared.
"""
import datetime
import os
import re
import sys

import wal_truth

MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?$", re.ASCII)


def seconds(created_at):
    """Of a row's created_at since 1970, or 0 when it is no moment."""
    if not isinstance(created_at, str) or not MOMENT.match(created_at) or created_at.endswith("\n"):
        return 0
    try:
        moment = datetime.datetime.fromisoformat(created_at[:19])
    except ValueError:
        return 0
    return max(int(moment.replace(tzinfo=datetime.timezone.utc).timestamp()), 0)


def newest(connection, collection):
    """The created_at of the last row, in seconds; 0 when there is none."""
    for row in connection.execute("SELECT topic, created_at FROM embeddings_queue ORDER BY seq_id DESC"):
        if collection is None or wal_truth.collection_of(row[0]) == collection:
            return seconds(row[1])
    return 0


def difference(expected, found):
    at = next((i for i, (a, b) in enumerate(zip(expected, found)) if a != b), min(len(expected), len(found)))
    return "%d bytes expected, %d found; at %d: expected %r, found %r" % (
        len(expected), len(found), at, expected[max(at - 60, 0):at + 60], found[max(at - 60, 0):at + 60])


def compare(connection, path, collection):
    """Bytes of the file; prints what is wrong and gives None."""
    expected = b"".join(wal_truth.lines(connection, collection))
    with open(path, "rb") as file:
        told = os.fstat(file.fileno())
        found = file.read()
    if found != expected:
        print("%s: %s" % (path, difference(expected, found)))
        return None
    if told.st_size != len(expected):
        print("%s: stat says %d bytes, it has %d" % (path, told.st_size, len(expected)))
        return None
    if int(told.st_mtime_ns // 10 ** 9) != newest(connection, collection):
        print("%s: mtime %d, expected %d" % (path, told.st_mtime_ns // 10 ** 9, newest(connection, collection)))
        return None
    return len(found)


def main():
    mountpoint, directory = sys.argv[1:]
    connection = wal_truth.connect(directory)
    collections = wal_truth.collections(connection)
    files = [(os.path.join(mountpoint, "wal.jsonl"), None)]
    files += [(os.path.join(mountpoint, "by-id", c, "wal.jsonl"), c) for c in collections]
    results = [compare(connection, path, collection) for path, collection in files]
    if None in results:
        sys.exit(1)
    print("%d files, %d bytes are as Python makes them" % (len(results), sum(results)))


if __name__ == "__main__":
    main()
