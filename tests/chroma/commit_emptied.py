#!/usr/bin/env python3
"""Writes to a persist directory whose log was emptied (FORMAT R1), so that Chroma passes over what it is given.

usage: commit_emptied.py fill|write DIR
"""
import sqlite3
import sys

import truth

NAME = "emptied"


def fill(directory):
    client = truth.open_client(directory)
    collection = client.create_collection(
        NAME, metadata={"hnsw:batch_size": 5, "hnsw:sync_threshold": 5}, embedding_function=None)
    for i in range(20):
        collection.add(ids=["i%d" % i], embeddings=[[i, 1, 2]], metadatas=[{"n": i}])


def keep_rows(directory):
    """Nothing is written any more that Chroma would purge at once."""
    connection = sqlite3.connect(directory + "/chroma.sqlite3")
    connection.execute("DELETE FROM embeddings_queue")
    if truth.VERSION >= (0, 5, 6):
        connection.execute(
            "INSERT OR REPLACE INTO embeddings_queue_config VALUES"
            " (1, '{\"automatically_purge\": false, \"_type\": \"EmbeddingsQueueConfigurationInternal\"}')")
    connection.commit()
    connection.close()


def write(directory):
    keep_rows(directory)
    collection = truth.open_client(directory).get_collection(NAME, embedding_function=None)
    collection.add(ids=["never"], embeddings=[[100, 1, 2]], metadatas=[{"n": 100}])
    collection.update(ids=["i3"], embeddings=[[33, 33, 33]], metadatas=[{"n": 333}])
    collection.delete(ids=["i4"])
    assert collection.count() == 20, "Chroma has applied what it passed over in other runs"


if __name__ == "__main__":
    {"fill": fill, "write": write}[sys.argv[1]](sys.argv[2])
