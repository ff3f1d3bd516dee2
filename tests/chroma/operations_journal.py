"""What a writer (operations_writer.py) did to a persist directory, and what there should be after each of its steps.

The journal has two lines of JSON for each write: {"n", "began", "collection", "call", "ids"}, before Chroma is called, and
{"n", "ended"}, when it has returned. Everything that a record has follows from its id and the number of the write that gave it.
"""
import json
import random

DIMENSION = 16
WORDS = ("amber", "basalt", "cobalt", "dolomite", "emerald", "feldspar", "garnet")


def vector_of(record_id, n):
    source = random.Random("%s/%d" % (record_id, n))
    return [round(source.uniform(-1, 1), 3) for _ in range(DIMENSION)]


def word_of(n):
    return WORDS[n % len(WORDS)]


def document_of(record_id, n):
    return "document %s of write %d: %s" % (record_id, n, word_of(n))


def metadata_of(record_id, n):
    return {"n": n, "of": record_id}


class Write:
    def __init__(self, line):
        self.n, self.began, self.ended = line["n"], line["began"], None
        self.collection, self.call, self.ids = line["collection"], line["call"], line["ids"]

    def apply(self, state):
        """To {collection: {id: n}}."""
        records = state.setdefault(self.collection, {})
        for record_id in self.ids:
            if self.call == "delete":
                records.pop(record_id, None)
            else:
                records[record_id] = self.n


def read(path):
    """The writes, in their order; the last one may have no end."""
    writes = {}
    with open(path, encoding="utf-8") as file:
        for text in file:
            if not text.endswith("\n"):
                break
            line = json.loads(text)
            if "ended" in line:
                writes[line["n"]].ended = line["ended"]
            else:
                writes[line["n"]] = Write(line)
    return [writes[n] for n in sorted(writes)]
