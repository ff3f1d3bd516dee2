#!/usr/bin/env python3
"""What the running Chroma says of a persist directory, as JSON.

usage: truth.py DIR > truth.json      (DIR is opened by Chroma, which may
                                       migrate it: give it a copy)

Shape: {"chroma_version", "collections": [{id, name, tenant, database,
metadata, dimension, configuration, count, records: [{id, document, metadata,
uri, embedding}]}]}; collections sorted by tenant, database and name, records
by id. What a version cannot tell (dimension, configuration, uri) is absent.

An embedding is null where Chroma has the record but answers no vector for it;
"missing" of the collection then says how it failed.
"""
import inspect
import json
import os
import sqlite3
import sys

import chromadb
import numpy
from chromadb.config import Settings

VERSION = tuple(int(part) for part in chromadb.__version__.split(".")[:3])
DEFAULT = ("default_tenant", "default_database")
ABSENT = object()


def open_client(directory, tenant=DEFAULT[0], database=DEFAULT[1]):
    """A client of one database; all clients of a path share one system."""
    settings = Settings(anonymized_telemetry=False)
    if VERSION < (0, 4, 15):
        return chromadb.PersistentClient(directory, settings=settings)
    return chromadb.PersistentClient(
        directory, settings=settings, tenant=tenant, database=database)


def databases(directory):
    """(tenant, database) pairs, read from SQLite: old clients cannot list them."""
    if VERSION < (0, 4, 15):
        return [DEFAULT]
    uri = "file:%s?mode=ro" % os.path.join(directory, "chroma.sqlite3")
    connection = sqlite3.connect(uri, uri=True)
    rows = connection.execute("SELECT tenant_id, name FROM databases").fetchall()
    connection.close()
    return sorted(rows)


def collections_of(client):
    """All collections of the client's database, without embedding functions."""
    if (0, 6, 0) <= VERSION < (1, 0, 0):
        names = client.list_collections()
    else:
        names = [collection.name for collection in client.list_collections()]
    return [client.get_collection(name, embedding_function=None) for name in sorted(names)]


def short_float(value):
    """The shortest decimal that is this float32 again."""
    value = numpy.float32(value)
    shortest = float(str(value))
    return shortest if numpy.float32(shortest) == value else float(value)


def embedding_of(collection, record_id):
    """(vector, None), or (None, why not).

    One id a call: 0.4.3 returns the vectors of several ids in another order
    than the ids, and where vectors are missing, the rest move up.
    """
    try:
        vectors = collection.get(ids=[record_id], include=["embeddings"])["embeddings"]
    except Exception as error:  # every version has its own class for it
        return None, type(error).__name__
    if vectors is None or len(vectors) == 0 or vectors[0] is None:
        return None, "no vector"
    return [short_float(x) for x in vectors[0]], None


def includes(collection):
    wanted = ["documents", "metadatas"]
    if "uris" in inspect.signature(collection.add).parameters:
        wanted.append("uris")
    return wanted


def records_of(collection, missing):
    answer = collection.get(include=includes(collection))
    records = []
    for i, record_id in enumerate(answer["ids"]):
        record = {"id": record_id,
                  "document": answer["documents"][i],
                  "metadata": answer["metadatas"][i]}
        if answer.get("uris") is not None and answer["uris"][i] is not None:
            record["uri"] = answer["uris"][i]
        record["embedding"], why = embedding_of(collection, record_id)
        if why is not None:
            missing.add(why)
        records.append(record)
    return sorted(records, key=lambda record: record["id"])


def model_value(collection, name):
    """An attribute of the collection or of the model behind it, or ABSENT."""
    for holder in (collection, getattr(collection, "_model", None)):
        value = getattr(holder, name, ABSENT)
        if value is not ABSENT:
            return value
    return ABSENT


def outline(collection, tenant, database):
    """Everything but the records."""
    result = {"id": str(collection.id), "name": collection.name,
              "tenant": tenant, "database": database,
              "metadata": collection.metadata}
    for key, attribute in (("dimension", "dimension"),
                           ("configuration", "configuration_json")):
        value = model_value(collection, attribute)
        if value is not ABSENT:
            result[key] = value
    result["count"] = collection.count()
    return result


def describe(collection, tenant, database):
    missing = set()
    result = outline(collection, tenant, database)
    result["records"] = records_of(collection, missing)
    if missing:
        result["missing"] = sorted(missing)
    return result


def dump(directory):
    # Opened first, because that migrates what databases() reads.
    open_client(directory)
    collections = []
    for tenant, database in databases(directory):
        client = open_client(directory, tenant, database)
        for collection in collections_of(client):
            collections.append(describe(collection, tenant, database))
    return {"chroma_version": chromadb.__version__, "collections": collections}


def main():
    if len(sys.argv) != 2 or not os.path.exists(os.path.join(sys.argv[1], "chroma.sqlite3")):
        sys.exit("usage: truth.py DIR   (a Chroma persist directory)")
    json.dump(dump(sys.argv[1]), sys.stdout, indent=0, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
