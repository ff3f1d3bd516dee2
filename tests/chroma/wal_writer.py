#!/usr/bin/env python3
"""Writes to a persist directory with the running Chroma (writer.py), makes and deletes collections as well, until a file appears, and
tells how long its writes took in each phase of a test.

usage: wal_writer.py DIR PHASE STOP

PHASE is a file with the name of the present phase. Prints its name, how many writes there were, and their median and slowest in ms,
a line a phase. Chroma's purge is turned on first, as it is in every directory that a release since 0.5.6 has made.
"""
import json
import os
import random
import sqlite3
import statistics
import sys
import time

import chromadb
from chromadb.config import Settings

import writer


def turn_purge_on(directory):
    with sqlite3.connect(os.path.join(directory, "chroma.sqlite3")) as connection:
        row = connection.execute("SELECT config_json_str FROM embeddings_queue_config WHERE id = 1").fetchone()
        config = dict(json.loads(row[0]) if row else {}, automatically_purge=True)
        connection.execute("INSERT OR REPLACE INTO embeddings_queue_config VALUES (1, ?)", [json.dumps(config)])


class Brief:
    """A collection that is there for a while; with it go the newest rows of the WAL, and their numbers are given again."""

    def __init__(self, client):
        self.client, self.count, self.name = client, 0, None

    def write(self):
        if self.name is None:
            self.count += 1
            self.name = "brief-%d" % self.count
            collection = self.client.create_collection(self.name, embedding_function=None)
            ids = ["b%d" % n for n in range(random.randint(1, 30))]
            collection.add(ids=ids, embeddings=[[random.random()] * 4 for _ in ids])
        else:
            self.client.delete_collection(self.name)
            self.name = None


def phase(path):
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


def main():
    directory, phase_path, stop = sys.argv[1:]
    turn_purge_on(directory)
    client = chromadb.PersistentClient(directory, settings=Settings(anonymized_telemetry=False))
    writers = [writer.Writer(client, name) for name in writer.COLLECTIONS]
    brief, took = Brief(client), {}
    while not os.path.exists(stop):
        if random.random() < 0.05:
            brief.write()
            continue
        now = phase(phase_path)
        took.setdefault(now, []).append(random.choice(writers).write())
        time.sleep(0.002)
    for one in writers:
        one.check()
    for name, times in sorted(took.items()):
        print("%s %d %.2f %.1f" % (name, len(times), statistics.median(times), max(times)))


if __name__ == "__main__":
    main()
