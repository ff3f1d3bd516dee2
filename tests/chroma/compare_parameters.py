#!/usr/bin/env python3
"""Compares the parameters of every index, in info.json and as files of
config/, with those that Chroma uses.

usage: compare_parameters.py MOUNTPOINT parameters.json     (see parameters.py)

Every parameter that Chroma tells must be there, but for the factor by which an
index grows, which releases since 1.0 keep and do not use. What is null is
"default" in its file: a num_threads that is the number of processors, and an ef_search that
nobody set, of a directory on which releases with different defaults agree. Exit status 1 with
one line for each difference.
"""
import json
import os
import sys

# What Chroma has and does not tell (since 1.0), and what is told and not used.
UNTOLD = {"num_threads", "batch_size"}
UNUSED = {"resize_factor"}

# What null may stand for.
NULLS = {"num_threads": [os.cpu_count()], "ef_search": [10, 100]}


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def read_files(folder):
    """{name: text} of a config directory."""
    values = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            values[name] = file.read()
    return values


def as_file(value):
    return (value if isinstance(value, str) else json.dumps(value)) + "\n"


def compare(entry, told, in_info, in_files):
    """Differences of one collection."""
    shown = {name: value for name, value in in_info.items()
             if name != "source" and value is not None}
    ruled = {name: value for name, value in told.items() if name in shown or name not in UNUSED}
    ours = {name: value for name, value in shown.items() if name in told or name not in UNTOLD}
    for name, may_be in NULLS.items():
        if in_info.get(name, 0) is None and told.get(name) in may_be:
            ours[name] = told[name]
    if ours != ruled:
        yield "%s: info.json has %s, Chroma uses %s" % (entry, ours, ruled)
    written = {name: "default\n" if value is None else as_file(value) for name, value in in_info.items() if name != "source"}
    if in_files != written:
        yield "%s: config/ has %s, info.json %s" % (entry, in_files, in_info)


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: compare_parameters.py MOUNTPOINT parameters.json")
    root, parameters = os.path.join(sys.argv[1], "collections"), load(sys.argv[2])
    differences, seen = [], set()
    for entry in sorted(os.listdir(root)):
        folder = os.path.join(root, entry)
        info = load(os.path.join(folder, "info.json"))
        seen.add(info["id"])
        differences += compare(entry, parameters.get(info["id"], {}), info["configuration"],
                               read_files(os.path.join(folder, "config")))
    if seen != set(parameters):
        differences.append("other collections: %s" % sorted(seen ^ set(parameters)))
    for difference in differences:
        print("DIFFERS %s" % difference)
    print("compared the parameters of %d collections, %d differ" % (len(seen), len(differences)))
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
