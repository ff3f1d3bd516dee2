#!/usr/bin/env python3
"""Compares the collections of a chromafs mount with what Chroma said of them.

usage: compare_info.py MOUNTPOINT truth.json      (see truth.py)

Every collection of the truth must have one entry below collections/ with the
same id, and there must be no other. Values must be equal in type too: 1, 1.0
and true are three things. Exit status 1 with one line for each difference.
"""
import json
import os
import sys

# Ours -> the truth's. A key that the truth lacks was not known to that version.
FIELDS = {"name": "name", "metadata": "metadata", "dimension": "dimension",
          "tenant": "tenant", "database": "database", "records": "count"}


def exactly(value):
    """Text that differs if the value or its type does."""
    return json.dumps(value, sort_keys=True)


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def read_mount(mountpoint, complain):
    """The info.json of every collection, by id."""
    root = os.path.join(mountpoint, "collections")
    found = {}
    for entry in sorted(os.listdir(root)):
        info = load(os.path.join(root, entry, "info.json"))
        if "id" not in info:
            complain("%s: info.json has no id" % entry)
        elif info["id"] in found:
            complain("%s: the id %s is there twice" % (entry, info["id"]))
        else:
            found[info["id"]] = info
    return found


def compare(ours, truth, complain):
    """Compares one collection; returns how many values were looked at."""
    where = "%s.%s/%s" % (truth["tenant"], truth["database"], truth["name"])
    compared = 0
    for key, true_key in FIELDS.items():
        if true_key not in truth:
            continue
        compared += 1
        if key not in ours:
            complain("%s: %s is missing" % (where, key))
        elif exactly(ours[key]) != exactly(truth[true_key]):
            complain("%s: %s is %s, Chroma says %s"
                     % (where, key, exactly(ours[key]), exactly(truth[true_key])))
    return compared


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: compare_info.py MOUNTPOINT truth.json")
    complaints = []
    found = read_mount(sys.argv[1], complaints.append)
    truths = {truth["id"]: truth for truth in load(sys.argv[2])["collections"]}
    compared = 0
    for collection_id, truth in truths.items():
        if collection_id in found:
            compared += compare(found[collection_id], truth, complaints.append)
        else:
            complaints.append("collection %s (%s) is not in the mount"
                              % (truth["name"], collection_id))
    for collection_id in set(found) - set(truths):
        complaints.append("collection %s (%s) is only in the mount"
                          % (found[collection_id].get("name"), collection_id))
    for complaint in complaints:
        print("DIFFERS %s" % complaint)
    print("compared %d values of %d collections, %d differ"
          % (compared, len(truths), len(complaints)))
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
