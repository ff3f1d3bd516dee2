#!/usr/bin/env python3
"""Compares the counts of WAL entries in a mount with those of SQLite.

usage: compare_wal.py MOUNTPOINT wal.json      ({collection id: rows})
"""
import glob
import json
import os
import sys


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main():
    mountpoint, rows = sys.argv[1], load(sys.argv[2])
    infos = [load(path) for path in
             glob.glob(os.path.join(glob.escape(mountpoint), "collections", "*", "info.json"))]
    ours = {info["id"]: info["wal_entries"] for info in infos if info["wal_entries"] != 0}
    total = load(os.path.join(mountpoint, "info.json"))["wal_entries"]
    if ours != rows or total != sum(rows.values()):
        sys.exit("DIFFERS: %s, in all %s; SQLite counts %s" % (ours, total, rows))


if __name__ == "__main__":
    main()
