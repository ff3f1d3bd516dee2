#!/usr/bin/env python3
"""Judges what commit made of the rows of commit_random.py.

usage: commit_random_judge.py ROWS THEIRS OURS [COMMITTED LINES]

THEIRS is what Chroma says of a directory whose log it applied itself, OURS of one that was committed. With COMMITTED that one has gone on from an earlier commit, made when ROWS had so
many lines, after which Chroma said COMMITTED of it.

Records, documents and metadata have to be the same. So have the vectors, but where a batch of Python's Chroma does not do what its rows say (commit_random_batches.py): there Chroma must have what
the batches make, and the committed directory what the rows say. The record of the collection that has only one may be an older one in Chroma, which does not persist its updates.
"""
import json
import sys

import numpy

from commit_random import LONE, NAMES, SPACE
from commit_random_batches import Disk, Replay


def fail(sentence):
    sys.exit("commit_random_judge: " + sentence)


def is_same(a, b, space):
    """Bits, where the space keeps them."""
    if a is None or b is None:
        return a is b
    return a == b if space != "cosine" else all(abs(x - y) <= 1e-5 * max(1., abs(y)) for x, y in zip(a, b))


# --- vectors ---

class Judge:
    """Of the vectors of a collection."""

    def __init__(self, name, lines, theirs, ours, committed):
        self.name, self.space, self.theirs, self.ours = name, SPACE[name], theirs[name]["vectors"], ours[name]["vectors"]
        lines = [(number, line) for number, line in enumerate(lines) if isinstance(line, str) or line[1] == name]
        start = theirs["version"], theirs[name]["parameters"]
        self.has_batches = theirs["version"][0] < 1
        self.whole = Replay(*start, [line for _, line in lines], Disk())
        self.since = self.whole
        if committed is not None:
            answers, line_count = committed
            self.since = Replay(*start, [line for number, line in lines if number >= line_count], Disk(answers[name]["vectors"]))

    def wanted(self, record_id):
        """What the whole log says, and what the rows say that come after what was persisted."""
        return self.whole.by_rows(record_id), self.since.by_later_rows(record_id)

    def is_lost(self, record_id):
        """Chroma has a vector of an earlier row of the only element, and the committed directory that of the last one."""
        earlier = [row[4] for row in self.whole.rows_of(record_id)]
        return self.name == LONE and self.theirs.get(record_id) in earlier and self.ours.get(record_id) == self.whole.by_rows(record_id)

    def is_explained(self, record_id):
        theirs, ours, by_batches = self.theirs.get(record_id), self.ours.get(record_id), self.whole.by_batches(record_id)
        return is_same(theirs, by_batches, self.space) and any(is_same(ours, vector, self.space) for vector in self.wanted(record_id))

    def count(self, ids):
        """How many differ, and are explained."""
        different = [i for i in ids if not is_same(self.theirs.get(i), self.ours.get(i), self.space)]
        for i in different:
            if not self.is_lost(i) and not (self.has_batches and self.is_explained(i)):
                fail("%s: %s: Chroma has %s, and by its batches %s; committed it is %s, and by the rows %s: %s" %
                     (self.name, i, self.theirs.get(i), self.whole.by_batches(i), self.ours.get(i), self.wanted(i), self.whole.rows_of(i)))
        return len(different)


# --- queries ---

def distances(space, matrix, vector):
    if space == "l2":
        return ((matrix - vector) ** 2).sum(axis=1)
    if space == "cosine":
        return 1 - matrix @ vector / numpy.linalg.norm(matrix, axis=1) / numpy.linalg.norm(vector)
    return 1 - matrix @ vector


def misses(space, answers):
    """(queries that did not find the nearest record, those that found a vector without a record, which Chroma's batches leave behind)"""
    matrix, missed, strangers = numpy.array(list(answers["vectors"].values())), 0, 0
    for record_id, (found, how_far) in answers["neighbours"].items():
        if found not in answers["records"]:
            strangers += 1
            continue
        best = float(distances(space, matrix, numpy.array(answers["vectors"][record_id])).min())
        missed += abs(how_far - best) > 1e-3 * max(1., abs(best))
    return missed, strangers


# --- a collection ---

def judge_records(name, theirs, ours):
    if theirs["count"] != ours["count"] or theirs["count"] != len(theirs["records"]):
        fail("%s: %d and %d records" % (name, theirs["count"], ours["count"]))
    for record_id in sorted(theirs["records"].keys() | ours["records"].keys()):
        one, other = theirs["records"].get(record_id), ours["records"].get(record_id)
        if json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True):  # == takes 1, 1.0 and True for the same
            fail("%s: %s: Chroma has %s, committed it is %s" % (name, record_id, one, other))


def judge_one(name, lines, theirs, ours, committed):
    judge_records(name, theirs[name], ours[name])
    explained, asked = Judge(name, lines, theirs, ours, committed).count(sorted(ours[name]["records"])), len(ours[name]["neighbours"])
    before, after = misses(SPACE[name], theirs[name]), misses(SPACE[name], ours[name])
    # Chroma looks through its last batch one by one, and has less to find in an index.
    if after[0] > before[0] + 1 + asked / 50:
        fail("%s: %d of %d queries miss the nearest record, in Chroma %d" % (name, after[0], asked, before[0]))
    print("%s: %d records, %d with vectors, %d differ by what Chroma does; missed by %d and %d of %d queries; strangers: %d and %d" %
          (name, ours[name]["count"], len(ours[name]["vectors"]), explained, before[0], after[0], asked, before[1], after[1]))


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    theirs, ours = load(sys.argv[2]), load(sys.argv[3])
    committed = (load(sys.argv[4]), int(sys.argv[5])) if len(sys.argv) > 4 else None
    for name in NAMES:
        judge_one(name, lines, theirs, ours, committed)


if __name__ == "__main__":
    main()
