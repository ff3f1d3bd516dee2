#!/usr/bin/env python3
"""Rebuilds the collections that rebuild_damage_files.py damaged through the mount, first without salvage=1 where records are lost: that must change nothing.

usage: rebuild_damage_mount.py DIR MNT CASES
"""
import errno
import glob
import json
import os
import sys

from rebuild_damage_case import fail

CHURN = "churn"


def fingerprint(directory, segment):
    """Of the database and the segment's files; of a huge one its beginning."""
    found = sorted(name for name in os.listdir(directory) if name != ".chromafs")
    for path in [directory + "/chroma.sqlite3"] + sorted(glob.glob("%s/%s/*" % (directory, segment))):
        with open(path, "rb") as file:
            found.append((path, os.path.getsize(path), os.stat(path).st_mtime_ns, file.read(1 << 24)))
    return found


class Mount:
    def __init__(self, directory, mount):
        self.directory, self.mount = directory, mount

    def control(self, name):
        return "%s/collections/%s/rebuild-hnsw" % (self.mount, name)

    def last_error(self):
        with open(self.mount + "/last_error", encoding="utf-8") as file:
            return file.read()

    def write(self, name, line):
        """0 or an errno"""
        try:
            fd = os.open(self.control(name), os.O_WRONLY)
            try:
                os.write(fd, (line + "\n").encode())
            finally:
                os.close(fd)
        except OSError as error:
            return error.errno
        return 0

    def result(self, name):
        with open(self.control(name), encoding="utf-8") as file:
            text = "".join(line for line in file if not line.startswith("#"))
        return json.loads(text)["result"]["collections"][0]["rebuild"]


def check_result(name, case, result, wrong):
    lost = sorted(record_id for record_id, vector in case["vectors"].items() if vector is None)
    expected = {"lost": len(lost), "lost_ids": lost, "normalised": len(case["normalised"]), "without_vector": 0}
    expected["normalised_ids"] = sorted(case["normalised"])
    for key, value in expected.items():
        found = sorted(result[key]) if key.endswith("_ids") else result[key]
        if found != value:
            wrong.append("%s: %s is %s, not %s" % (name, key, found, value))
    if result["kept"] + result["from_log"] + len(lost) != len(case["vectors"]) + case["rest"]:
        wrong.append("%s: %d kept, %d from the log, of %d" % (name, result["kept"], result["from_log"], len(case["vectors"])))


def refused(mount, name, case, lost, wrong):
    code = mount.write(name, "1")
    if code != errno.EILSEQ:
        wrong.append("%s: without salvage=1: %d (%s)" % (name, code, mount.last_error()))
    elif not any(word in mount.last_error() for word in ("%d records have no vector" % lost, "1 record has no vector")):
        wrong.append("%s: refused, but: %s" % (name, mount.last_error()))


def rebuild(mount, name, case, wrong):
    lost = sum(vector is None for vector in case["vectors"].values())
    before = fingerprint(mount.directory, case["segment"])
    code = mount.write(name, "dry_run=1 salvage=1")
    if code == 0:
        check_result(name + " (dry)", case, mount.result(name), wrong)
    else:
        wrong.append("%s: dry_run: %d: %s" % (name, code, mount.last_error()))
    if lost > 0:
        refused(mount, name, case, lost, wrong)
    if fingerprint(mount.directory, case["segment"]) != before:
        wrong.append("%s: the directory has changed" % name)
    code = mount.write(name, "salvage=1" if lost > 0 else "1")
    if code != 0:
        wrong.append("%s: %d: %s" % (name, code, mount.last_error()))
    else:
        check_result(name, case, mount.result(name), wrong)


def listed_as_lost(directory):
    try:
        with open(directory + "/.chromafs/lost.jsonl", encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
    except FileNotFoundError:
        return []
    return sorted((line["segment"], line["id"]) for line in lines)


def rebuild_all(directory, mount, path):
    with open(path, encoding="utf-8") as file:
        cases_of = json.load(file)
    wrong = []
    if os.path.exists("%s/collections/%s" % (mount, CHURN)) and Mount(directory, mount).write(CHURN, "1") != 0:
        wrong.append("%s: %s" % (CHURN, Mount(directory, mount).last_error()))
    for name, case in cases_of.items():
        rebuild(Mount(directory, mount), name, case, wrong)
    lost = sorted((case["segment"], record_id) for case in cases_of.values()
                  for record_id, vector in case["vectors"].items() if vector is None)
    if listed_as_lost(directory) != lost:
        wrong.append("lost.jsonl has %d ids, not %d" % (len(listed_as_lost(directory)), len(lost)))
    print("collections rebuilt: %d; records lost: %d of %d; come back normalised: %d" % (
        len(cases_of), len(lost), sum(len(case["vectors"]) for case in cases_of.values()),
        sum(len(case["normalised"]) for case in cases_of.values())))
    if wrong:
        fail("%d sentences:\n%s" % (len(wrong), "\n".join(wrong[:60])))


if __name__ == "__main__":
    rebuild_all(*sys.argv[1:])
