"""A collection as it is before it is damaged, for rebuild_damage_kinds.py and rebuild_damage_files.py."""
import os
import pickle
import random
import struct
import sys
import types

import hnsw_files

MODULE = "chromadb.segment.impl.vector.local_persistent_hnsw"
ADD, UPDATE, UPSERT, DELETE = range(4)


def fail(sentence):
    sys.exit("rebuild_damage: " + sentence)


# --- pickles ---

class PersistentData:
    """Chroma's, by name."""


PersistentData.__module__ = MODULE


class Reader(pickle.Unpickler):
    def find_class(self, module, name):
        return PersistentData


def read_pickle(path):
    with open(path, "rb") as file:
        data = Reader(file).load()
    return dict(data) if isinstance(data, dict) else dict(vars(data))


def write_pickle(path, state, is_instance):
    """Python's Chroma wants an instance, and 1.x takes both."""
    data = state
    if is_instance:
        parts = MODULE.split(".")
        for count in range(1, len(parts) + 1):
            sys.modules.setdefault(".".join(parts[:count]), types.ModuleType(parts[count - 1]))
        sys.modules[MODULE].PersistentData = PersistentData
        data = PersistentData()
        vars(data).update(state)
    with open(path, "wb") as file:
        pickle.dump(data, file, protocol=4)


# --- a collection ---

class Case:
    """And what the damage leaves of it: listed (label by id; None: no pickle), gone and changed elements, lengths (None: lost)."""

    def __init__(self, db, directory, name, space):
        self.name, self.space = name, space
        self.collection = db.execute("SELECT id FROM collections WHERE name = ?", (name,)).fetchone()[0]
        self.segments = dict(db.execute("SELECT scope, id FROM segments WHERE collection = ?", (self.collection,)))
        self.directory = os.path.join(directory, self.segments["VECTOR"])
        self.header, self.elements = hnsw_files.load(self.directory)
        self.clear_room()
        self.state = read_pickle(self.path("index_metadata.pickle"))
        with open(self.path("index_metadata.pickle"), "rb") as file:
            self.is_instance = MODULE.encode() in file.read()
        self.rows = db.execute("SELECT seq_id, operation, id, vector FROM embeddings_queue WHERE substr(topic, -36) = ? ORDER BY seq_id",
                               (self.collection,)).fetchall()
        self.listed = dict(self.state["id_to_label"])
        self.gone, self.changed = set(), {}
        self.lengths = [struct.unpack("<f", element["length"])[0] for element in self.elements]
        self.random = random.Random(name)

    def clear_room(self):
        """0.x writes what its memory had by chance, records of this very index now and then, into the room for more elements."""
        end, size = len(self.elements) * self.header["record_size"], os.path.getsize(self.path("data_level0.bin"))
        self.put("data_level0.bin", end, bytes(size - end))

    def path(self, name):
        return os.path.join(self.directory, name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)

    def put(self, name, offset, data):
        with open(self.path(name), "r+b") as file:
            file.seek(offset)
            file.write(data)

    def cut(self, name, size):
        os.truncate(self.path(name), size)

    def floats(self, vector):
        return list(struct.unpack("<%df" % (len(vector) // 4), vector))


def replay(rows):
    """The row that has each record's vector."""
    current = {}
    for seq_id, operation, record_id, vector in rows:
        if operation == DELETE:
            current.pop(record_id, None)
        elif vector is not None and operation in (ADD, UPDATE, UPSERT):
            if operation == UPSERT or (record_id in current) == (operation == UPDATE):
                current[record_id] = seq_id
    return current
