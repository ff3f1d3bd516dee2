#!/usr/bin/env python3
"""The parameters of every index, as the running Chroma uses them, as JSON.

usage: parameters.py DIR > parameters.json    (DIR is opened by Chroma, which
                                               may migrate it: give it a copy)

Shape: {collection id: {name: value}}, with the names of chromafs. Releases
written in Python are asked for the parameters of the loaded segment, later
ones for the configuration of the collection, which tells fewer. The space is
also measured, by a query: where that differs, this fails.
"""
import json
import sys

import numpy
import truth

NAMES = {"space": "space", "M": "m", "construction_ef": "ef_construction",
         "search_ef": "ef_search", "num_threads": "num_threads",
         "resize_factor": "resize_factor", "batch_size": "batch_size",
         "sync_threshold": "sync_threshold"}
CONFIGURED = {"space": "space", "max_neighbors": "m", "ef_construction": "ef_construction",
              "ef_search": "ef_search", "resize_factor": "resize_factor",
              "sync_threshold": "sync_threshold"}
# What shows where nothing was configured, and the metadata's names for it.
DEFAULTS = {"space": "l2", "ef_construction": 100, "ef_search": 100, "max_neighbors": 16,
            "resize_factor": 1.2, "sync_threshold": 1000}
CONFIGURED_AS = {"M": "max_neighbors", "construction_ef": "ef_construction",
                 "search_ef": "ef_search"}


def of_segment(client, collection):
    from chromadb.segment import VectorReader
    manager = getattr(client, "_server", client)._manager
    used = manager.get_segment(collection.id, VectorReader)._params
    return {ours: getattr(used, name) for name, ours in NAMES.items()}


def of_configuration(collection):
    """Of a collection that 0.x made, 1.x shows its defaults there, and uses
    what the metadata says (the measured space confirms it)."""
    hnsw = dict(collection.configuration_json["hnsw"])
    if {name: hnsw[name] for name in DEFAULTS} == DEFAULTS:
        for name, value in (collection.metadata or {}).items():
            if name.startswith("hnsw:"):
                hnsw[CONFIGURED_AS.get(name[5:], name[5:])] = value
    return {ours: hnsw[name] for name, ours in CONFIGURED.items()}


def parameters(client, collection):
    if truth.VERSION >= (1, 0, 0):
        return of_configuration(collection)
    return of_segment(client, collection)


def distances(a, b):
    """Between two vectors, in each space."""
    product = float(a @ b)
    return {"l2": float(((a - b) ** 2).sum()), "ip": 1 - product,
            "cosine": 1 - product / float(numpy.linalg.norm(a) * numpy.linalg.norm(b))}


def measured_spaces(collection):
    """The spaces that the distance of a neighbour fits: one, or all if there
    is no vector to ask for."""
    dimension = dimension_of(collection)
    if dimension is None:
        return {"l2", "ip", "cosine"}
    asked = numpy.linspace(0.5, 2.0, dimension)
    answer = collection.query(query_embeddings=[asked.tolist()], n_results=1,
                              include=["embeddings", "distances"])
    found = numpy.array(answer["embeddings"][0][0], dtype=float)
    told = answer["distances"][0][0]
    return {space for space, value in distances(asked, found).items() if abs(value - told) < 1e-3}


def dimension_of(collection):
    """Of its vectors; None without any. Old releases do not tell it, and may
    have a record without a vector."""
    for record_id in collection.get(limit=20, include=[])["ids"]:
        vector, _ = truth.embedding_of(collection, record_id)
        if vector is not None:
            return len(vector)
    return None


def checked(client, collection):
    result = parameters(client, collection)
    measured = measured_spaces(collection)
    if result["space"] not in measured:
        sys.exit("%s: Chroma says %s, and measures %s" % (collection.name, result["space"], measured))
    return result


def main():
    directory = sys.argv[1]
    truth.open_client(directory)
    result = {}
    for tenant, database in truth.databases(directory):
        client = truth.open_client(directory, tenant, database)
        for collection in truth.collections_of(client):
            result[str(collection.id)] = checked(client, collection)
    json.dump(result, sys.stdout, indent=0, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
