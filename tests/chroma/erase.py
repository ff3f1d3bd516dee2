#!/usr/bin/env python3
"""Records that are added, written to disk and deleted; and what is left of them, found without any code of chromafs.

usage: erase.py fill DIR SECRETS     adds records, and writes their texts and vectors into the folder SECRETS
       erase.py delete DIR           deletes those of SECRETS
       erase.py scan DIR SECRETS     a line for each file that has something of them: path, how often
       erase.py go-on DIR            adds, restarts, reads
       erase.py hold DIR FILE        has the directory open, FILE says so, until FILE is gone
"""
import json
import os
import pathlib
import struct
import sys
import time

import numpy

import truth

DIMENSION = 24
RECORDS = 80
SPACES = ("l2", "cosine", "ip")
# In a vector's bytes: a newline, NULs, both.
ODD = [struct.unpack("<f", bytes(b))[0] for b in ((10, 10, 10, 63), (0, 0, 10, 64), (10, 0, 0, 65), (0, 0, 128, 63))]
TEXTS = {
    "plain": "the quick red fox of Mrs. Featherstonehaugh",
    "quoted": 'she said: "Gr\u00fc\u00dfe aus Z\u00fcrich \U0001f98a", and C:\\left\\no trace',
    "long": " ".join("page-%d-of-the-confession" % i for i in range(400)),
}


def vectors():
    """Of the secrets: random ones, and one that a search by lines can't find."""
    generator = numpy.random.RandomState(7)
    found = {name: generator.uniform(-1, 1, DIMENSION).astype(numpy.float32) for name in TEXTS}
    found["quoted"] = numpy.array((ODD * DIMENSION)[:DIMENSION], dtype=numpy.float32)
    return found


def settings(space):
    return {"hnsw:space": space, "hnsw:batch_size": 10, "hnsw:sync_threshold": 20}


def collections(client):
    return [client.get_collection("c-" + space, embedding_function=None) for space in SPACES]


def fill(directory, secrets):
    generator = numpy.random.RandomState(1)
    client, found = truth.open_client(directory), vectors()
    for space in SPACES:
        collection = client.create_collection("c-" + space, metadata=settings(space), embedding_function=None)
        for i in range(RECORDS):
            collection.add(ids=["r%d" % i], embeddings=[generator.uniform(-1, 1, DIMENSION).tolist()],
                           documents=["an honest document number %d" % i], metadatas=[{"n": i}])
            if i % 20 == 5 and i // 20 < len(TEXTS):
                name = list(TEXTS)[i // 20]
                collection.add(ids=["secret-" + name], embeddings=[found[name].tolist()], documents=[TEXTS[name]],
                               metadatas=[{"note": TEXTS[name][:60]}])
    write_secrets(pathlib.Path(secrets), found)


def write_secrets(folder, found):
    folder.mkdir()
    (folder / "texts").write_text("".join(text + "\n" for text in TEXTS.values()), encoding="utf-8")
    (folder / "plain.json").write_text(json.dumps([truth.short_float(x) for x in found["plain"]]))
    for name in ("quoted", "long"):
        (folder / (name + ".bin")).write_bytes(found[name].tobytes())


def delete(directory):
    """Some of what follows is written to disk, the rest stays in the log."""
    for number, collection in enumerate(collections(truth.open_client(directory))):
        collection.delete(ids=["secret-" + name for name in TEXTS])
        for i in range(4 if number == 0 else 25):
            collection.update(ids=["r%d" % i], metadatas=[{"n": -i}])


def needles():
    """(bytes) that stand nowhere else."""
    for text in TEXTS.values():
        for form in (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
            yield form.encode()[:40]
            yield form.encode()[-40:]
    for vector in vectors().values():
        for start in range(0, DIMENSION - 7, 8):
            yield vector[start:start + 8].tobytes()


def normalized(data):
    """How often one of the vectors stands there normalized, as far as single precision goes."""
    count, values = 0, numpy.frombuffer(data[:len(data) // 4 * 4], dtype=numpy.float32)
    if len(values) < DIMENSION:
        return 0
    with numpy.errstate(all="ignore"):
        for vector in vectors().values():
            unit = vector / numpy.linalg.norm(vector)
            starts = numpy.flatnonzero(numpy.abs(values[:1 - DIMENSION] - unit[0]) < 1e-5)
            count += sum(numpy.allclose(values[at:at + DIMENSION], unit, atol=1e-5) for at in starts)
    return count


def scan(directory, _):
    wanted = sorted(set(needles()))
    for path in sorted(pathlib.Path(directory).rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            count = sum(data.count(needle) for needle in wanted) + normalized(data)
            if count:
                print(count, path.relative_to(directory))


def go_on(directory):
    for collection in collections(truth.open_client(directory)):
        count = collection.count()
        assert count == RECORDS, "%d records" % count
        got = collection.get(ids=["r7"], include=["embeddings", "documents"])
        assert got["documents"] == ["an honest document number 7"], got
        hit = collection.query(query_embeddings=[list(map(float, got["embeddings"][0]))], n_results=1)["ids"]
        assert hit == [["r7"]] or collection.name == "c-ip", hit
        for i in range(50):
            collection.add(ids=["new%d" % i], embeddings=[[float(i + k) for k in range(DIMENSION)]], documents=["new document %d" % i])
        collection.delete(ids=["new%d" % i for i in range(50)])
        assert collection.count() == RECORDS
        assert not collection.get(ids=["secret-" + name for name in TEXTS])["ids"]
        assert not collection.get(where_document={"$contains": "Featherstonehaugh"})["ids"]
        assert len(collection.get(where_document={"$contains": "honest document"})["ids"]) == RECORDS


def hold(directory, flag):
    assert [collection.count() for collection in collections(truth.open_client(directory))]
    pathlib.Path(flag).touch()
    while os.path.exists(flag):
        time.sleep(0.05)


if __name__ == "__main__":
    {"fill": fill, "delete": delete, "scan": scan, "go-on": go_on, "hold": hold}[sys.argv[1]](*sys.argv[2:])
