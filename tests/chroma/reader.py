#!/usr/bin/env python3
"""Reads all info.json of a mount over and over, until the file STOP appears.

usage: reader.py MOUNTPOINT STOP

Every one must be valid JSON and as long as stat says, and no read may fail.
Prints how many there were, how many were not exact, and which problems they told.
"""
import collections
import glob
import json
import os
import sys


def paths(mountpoint):
    yield os.path.join(mountpoint, "info.json")
    for folder in ("collections", "segments"):
        yield from glob.glob(os.path.join(glob.escape(mountpoint), folder, "*", "info.json"))


def read(path):
    """(problem or None, the value)"""
    try:
        with open(path, "rb") as file:
            size, text = os.fstat(file.fileno()).st_size, file.read()
    except OSError as error:
        return str(error), None
    if len(text) != size:
        return "stat says %d bytes, %d were read" % (size, len(text)), None
    try:
        return None, json.loads(text)
    except ValueError as error:
        return "%s: %r" % (error, text[:200]), None


def main():
    mountpoint, stop = sys.argv[1:]
    reads, inexact, failed, told = 0, 0, 0, collections.Counter()
    while not os.path.exists(stop):
        for path in paths(mountpoint):
            problem, value = read(path)
            reads += 1
            if problem is not None:
                failed += 1
                if failed <= 20:
                    print("%s: %s" % (path, problem))
            else:
                inexact += value.get("exact") is False
                told.update(problem["code"] for problem in value.get("problems", []))
    print("problems: %s" % dict(told))
    print("%d info.json read, %d not exact, %d failed" % (reads, inexact, failed))
    sys.exit(1 if failed or not reads else 0)


if __name__ == "__main__":
    main()
