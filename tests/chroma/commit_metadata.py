#!/usr/bin/env python3
"""The judge of what commit does to the metadata segment.

usage: commit_metadata.py make DIR SEED [1]  two collections, and rows in the log that no segment has; 1: such as 1.x takes, too
       commit_metadata.py more DIR SEED      more rows for such a directory
       commit_metadata.py apply DIR          the running Chroma applies them
       commit_metadata.py compare DIR OURS   the tables of both are the same

make, more and apply run with the Chroma of the version under test.
"""
import json
import random
import sqlite3
import sys

ROWS = 600
IDS = ["r%d" % n for n in range(18)] + ["\u00fcmlaut \U0001f600", "it's \"quoted\""]
ADD, UPDATE, UPSERT, DELETE = range(4)
WORDS = "alpha beta gamma delta \u00e9tude \u6c34\u706b zeta".split()


def connect(directory):
    return sqlite3.connect(directory + "/chroma.sqlite3")


def client_of(directory):
    import chromadb
    from chromadb.config import Settings
    return chromadb.PersistentClient(directory, settings=Settings(anonymized_telemetry=False))


def version_of(db):
    return dict(db.execute("SELECT dir, max(version) FROM migrations GROUP BY dir"))


class Rows:
    """Random rows of the log, of what that version takes."""

    def __init__(self, db, seed, for_rust):
        self.random = random.Random(seed)
        version = version_of(db)["metadb"]
        self.rust, self.arrays = for_rust or version >= 5, version >= 6

    def scalar(self):
        """No real number of many digits: Rust's Chroma reads some of these as a neighbour of the double that they stand for."""
        r = self.random
        return r.choice([r.choice(WORDS), "", r.randint(-9, 9), 2 ** 63 - 1, -2 ** 63, r.randint(0, 9999) / 1024, 3.0, -0.5, 1e300, True, False])

    def array(self):
        r = self.random
        of = r.choice([lambda: r.choice(WORDS), lambda: r.randint(-5, 5), lambda: r.randint(1, 9) / 4, lambda: r.random() < .5])
        return [of() for _ in range(r.randint(1, 4))]

    def value(self):
        kind = self.random.random()
        if kind < .2:
            return None
        return self.array() if self.arrays and kind < .5 else self.scalar()

    def document(self):
        return " ".join(self.random.choice(WORDS) for _ in range(self.random.randint(1, 8)))

    def metadata(self, n):
        r, keys = self.random, ["a", "b", "c", "k\u00e9y", 'quote"d']
        found = {key: self.value() for key in r.sample(keys, r.randint(0, 3))}
        if r.random() < .05:
            found["only-%d" % n] = self.value()
        if r.random() < .4:
            found["chroma:document"] = self.document()
        elif r.random() < .1 and not self.rust:
            found["chroma:document"] = None
        if r.random() < .1:
            found["chroma:uri"] = r.choice(["file:///x", "file:///y"])
        return found

    def row(self, n):
        r = self.random
        operation = r.choice([ADD, ADD, UPDATE, UPDATE, UPSERT, UPSERT, DELETE])
        with_vector = operation in (ADD, UPSERT) and (self.rust or r.random() < .9) or operation == UPDATE and r.random() < .5
        vector = __import__("struct").pack("<3f", r.random(), r.random(), r.random()) if with_vector else None
        metadata = {} if operation == DELETE else self.metadata(n)
        text = json.dumps(metadata) if metadata or self.rust else None
        return operation, r.choice(IDS), vector, "FLOAT32" if with_vector else None, text


def make(directory, seed, for_rust=False):
    client = client_of(directory)
    for name in ("first", "second"):
        collection = client.create_collection(name, embedding_function=None)
        collection.add(ids=IDS[:6], embeddings=[[1., 2., n] for n in range(6)], documents=["document %d" % n for n in range(6)],
                       metadatas=[{"a": n, "b": n % 2, "c": "x"} for n in range(6)])
        collection.delete(ids=[IDS[5]])
    del client
    more(directory, seed, for_rust)


def more(directory, seed, for_rust=False):
    db = connect(directory)
    ids = [row[0] for row in db.execute("SELECT id FROM collections ORDER BY name")]
    rows = Rows(db, seed, for_rust)
    for n in range(ROWS):
        topic = "persistent://default/default/" + rows.random.choice(ids)
        db.execute("INSERT INTO embeddings_queue (operation, id, vector, encoding, metadata, topic) VALUES (?, ?, ?, ?, ?, ?)",
                   rows.row(n) + (topic,))
    db.commit()


def apply(directory):
    client = client_of(directory)
    for name in ("first", "second"):
        print(name, len(client.get_collection(name).get()["ids"]))


def values_of(db, table, names):
    found = {}
    columns = [row[1] for row in db.execute("PRAGMA table_info(%s)" % table)]
    wanted = [c for c in ("string_value", "int_value", "float_value", "bool_value") if c in columns]
    for row in db.execute("SELECT id, key, %s FROM %s ORDER BY id, key, rowid" % (", ".join(wanted), table)):
        found.setdefault(names.get(row[0], ("none", row[0])), {}).setdefault(row[1], []).append([(c, type(v).__name__, repr(v)) for c, v in zip(wanted, row[2:]) if v is not None])
    return found


def schema_of(text):
    return text if text is None else json.loads(text)


def documents_of(db, version):
    if version < 3:
        return db.execute("SELECT id, string_value FROM embedding_fulltext ORDER BY id").fetchall()
    return db.execute("SELECT rowid, string_value FROM embedding_fulltext_search ORDER BY rowid").fetchall()


def dump(directory):
    db = connect(directory)
    version = version_of(db)["metadb"]
    names = {row[0]: row[1:] for row in db.execute("SELECT id, segment_id, embedding_id FROM embeddings")}
    found = {
        "embeddings": {row[:2]: row[2:] for row in db.execute("SELECT segment_id, embedding_id, typeof(seq_id), hex(seq_id) FROM embeddings")},
        "embedding_metadata": values_of(db, "embedding_metadata", names),
        "positions": db.execute("SELECT segment_id, typeof(seq_id), hex(seq_id) FROM max_seq_id JOIN segments ON segment_id = segments.id"
                                " AND scope = 'METADATA' ORDER BY 1").fetchall(),
    }
    if version >= 6:
        found["embedding_metadata_array"] = values_of(db, "embedding_metadata_array", names)
    if version_of(db)["sysdb"] >= 10:
        found["schema"] = [schema_of(row[0]) for row in db.execute("SELECT schema_str FROM collections ORDER BY id")]
    documents = db.execute("SELECT id, string_value FROM embedding_metadata WHERE key = 'chroma:document' ORDER BY id").fetchall()
    indexed = [row for row in documents_of(db, version) if row[0] in names]  # Chroma before 0.5.0 leaves those of deleted records
    return db, found, documents, indexed


def differences(theirs, ours):
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(set(theirs) | set(ours), key=repr):
            for path, a, b in differences(theirs.get(key, "nothing"), ours.get(key, "nothing")):
                yield [key] + path, a, b
    elif theirs != ours:
        yield [], theirs, ours


def compare(theirs, ours):
    theirs_db, theirs, _, _ = dump(theirs)
    db, ours, documents, indexed = dump(ours)
    found = list(differences(theirs, ours))
    for path, a, b in found[:20]:
        print(path, "Chroma:", a, "ours:", b)
    if documents != indexed:
        sys.exit("the full-text table has other documents: %r" % (set(documents) ^ set(indexed)))
    table = "embedding_fulltext" + ("" if version_of(db)["metadb"] < 3 else "_search")
    db.execute("INSERT INTO %s (%s) VALUES ('integrity-check')" % (table, table))
    assert [row[0] for row in db.execute("PRAGMA integrity_check")] == ["ok"]
    if found:
        sys.exit("%d differences" % len(found))
    print("%d records, %d documents are the same" % (len(ours["embeddings"]), len(documents)))


if __name__ == "__main__":
    {"make": make, "more": more, "apply": apply, "compare": compare}[sys.argv[1]](*sys.argv[2:])
