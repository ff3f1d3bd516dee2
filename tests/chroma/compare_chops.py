#!/usr/bin/env python3
"""Compares a chromafs mount with what the peer tool chops says of the same
directory.

usage: compare_chops.py MOUNTPOINT chops-output.txt      (see chops_info.sh)

Compared is every number that chops prints and that means the same here; the
others are listed at the end, with the reason. chops 0.1.5 knows only the
default tenant and database, and prints 0 (or "None") where there is nothing;
here that is null. Exit status 1 if anything differs.

Only for directories with the schema of chops' own Chroma (0.5.7 to 0.6.3): it
migrates the copy of an older one, which changes the sizes.
"""
import ast
import json
import os
import sys

DEFAULTS = ("default_tenant", "default_database")

NOT_COMPARED = {
    "Chroma Version": "the version of chops' own library, not of the directory",
    "Persist Directory": "the path of the copy",
    "WAL Gap": "records minus labels of the pickle; here it is entries of the WAL",
    "HNSW Orphan Labels": "a constant in chops 0.1.5: 0, or set() without an index",
}


# --- chops' output ----------------------------------------------------------

class ChopsOutput:
    """general: {property: text}; collections: [{property: text, "METADATA":
    {...}, "VECTOR": {...}}]. A table is known by its first row."""

    def __init__(self, lines):
        self.general, self.collections = {}, []
        self.table = self.general
        for line in lines:
            if line.startswith("│") and line.rstrip().endswith("│"):
                cells = line.strip().strip("│").split("│", 1)
                self.row(cells[0].strip(), cells[1].strip())

    def row(self, key, value):
        if key == "ID":
            self.table = {}
            self.collections.append(self.table)
        elif key == "Segment ID":
            self.table = {}
        elif key == "Scope":
            self.collections[-1][value] = self.table
        self.table[key.rstrip(": ")] = value


def number(text):
    return int(text.replace(",", ""))


def human_size(size):
    """A size as chops prints it."""
    amount = float(size)
    for unit in ("", "Ki", "Mi", "Gi", "Ti"):
        if abs(amount) < 1024.0:
            return "%3.1f%sB" % (amount, unit)
        amount /= 1024.0
    return "%.1fPiB" % amount


# --- comparing --------------------------------------------------------------

class Comparison:
    def __init__(self):
        self.compared, self.differences = {}, []

    def equal(self, where, what, ours, theirs):
        self.compared[what] = self.compared.get(what, 0) + 1
        if ours != theirs:
            self.differences.append("%s: %s is %r here, %r in chops"
                                    % (where, what, ours, theirs))

    def numbers(self, where, what, ours, text):
        self.equal(where, what, 0 if ours is None else ours, number(text))

    def sizes(self, where, what, ours, text):
        self.equal(where, what, human_size(ours or 0), text)


def at(value, *path):
    """A member of nested objects, None if one is missing or null."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def read_collections(mountpoint):
    root = os.path.join(mountpoint, "collections")
    infos = [load(os.path.join(root, entry, "info.json")) for entry in os.listdir(root)]
    return {info["id"]: info for info in infos}


def orphan_name(orphan):
    """orphan_directories holds names, or objects that have one."""
    name = orphan if isinstance(orphan, str) else orphan.get("id") or orphan.get("name")
    return os.path.basename(name.rstrip("/"))


def compare_orphans(result, root, collections, text):
    """chops takes every directory for an orphan that is no segment of the
    default database: those of the other databases too."""
    foreign = {at(info, "vector_segment", "id") for info in collections.values()
               if (info["tenant"], info["database"]) != DEFAULTS}
    foreign.add(".chromafs")
    theirs = {orphan["id"] for orphan in ast.literal_eval(text)} - foreign
    ours = {orphan_name(orphan) for orphan in root["orphan_directories"]}
    result.equal("root", "Orphan HNSW Directories", sorted(ours), sorted(theirs))


def compare_root(result, root, collections, general):
    known = [info for info in collections.values()
             if (info["tenant"], info["database"]) == DEFAULTS]
    result.numbers("root", "Number of Collection", len(known), general["Number of Collection"])
    result.equal("root", "collections (ours, all databases)", root["collections"], len(collections))
    result.sizes("root", "Persist Directory Size",
                 root["persist_directory_size"], general["Persist Directory Size"])
    size, path = general["SystemDB size"].split(" ", 1)
    result.sizes("root", "SystemDB size", root["system_database_size"], size)
    result.equal("root", "SystemDB path", os.path.basename(root["system_database_path"]),
                 os.path.basename(path.strip("()")))
    compare_orphans(result, root, collections, general["Orphan HNSW Directories"])


def compare_collection(result, where, ours, theirs):
    result.equal(where, "Name", ours["name"], theirs["Name"])
    result.equal(where, "Metadata", ours["metadata"] or None,
                 ast.literal_eval(theirs["Metadata"]))
    result.equal(where, "Dimension", ours["dimension"], ast.literal_eval(theirs["Dimension"]))
    result.equal(where, "Tenant", ours["tenant"], theirs["Tenant"])
    result.equal(where, "Database", ours["database"], theirs["Database"])
    result.numbers(where, "Records", ours["records"], theirs["Records"])
    result.numbers(where, "WAL Entries", ours["wal_entries"], theirs["WAL Entries"])


def compare_segment(result, where, ours, theirs):
    result.equal(where, "Segment ID", at(ours, "id"), theirs["Segment ID"])
    result.equal(where, "Type", at(ours, "type"), theirs["Type"])
    result.equal(where, "Scope", at(ours, "scope"), theirs["Scope"])
    result.numbers(where, "SysDB Max Seq ID", at(ours, "max_seq_id"), theirs["SysDB Max Seq ID"])


def compare_fragmentation(result, where, ours, text):
    """In per cent; two decimals count, so that either side may round."""
    result.equal(where, "Fragmentation Level",
                 "%.2f" % (at(ours, "fragmentation") or 0), "%.2f" % float(text))


def compare_index(result, where, ours, theirs):
    result.equal(where, "Path", os.path.basename(at(ours, "path") or at(ours, "id")),
                 os.path.basename(theirs["Path"]))
    result.sizes(where, "HNSW Dir Size", at(ours, "size"), theirs["HNSW Dir Size"])
    # Since 0.5.6 the pickle has no position; chops then takes the database's.
    position = at(ours, "index", "max_seq_id")
    result.numbers(where, "HNSW Metadata Max Seq ID",
                   at(ours, "max_seq_id") if position is None else position,
                   theirs["HNSW Metadata Max Seq ID"])
    result.numbers(where, "HNSW Metadata Total Labels", at(ours, "index", "total_labels"),
                   theirs["HNSW Metadata Total Labels"])
    # In spite of its name this counts the deleted labels too.
    result.numbers(where, "HNSW Raw Total Active Labels", at(ours, "labels", "total"),
                   theirs["HNSW Raw Total Active Labels"])
    # chops counts the elements, again; here "allocated" is the capacity.
    result.numbers(where, "HNSW Raw Allocated Labels", at(ours, "labels", "total"),
                   theirs["HNSW Raw Allocated Labels"])
    compare_fragmentation(result, where, ours, theirs["Fragmentation Level"])


def compare_all(mountpoint, chops):
    result = Comparison()
    collections = read_collections(mountpoint)
    compare_root(result, load(os.path.join(mountpoint, "info.json")), collections, chops.general)
    for theirs in chops.collections:
        ours, where = collections.get(theirs["ID"]), theirs["Name"]
        result.equal(where, "ID", ours and ours["id"], theirs["ID"])
        if ours is None:
            continue
        compare_collection(result, where, ours, theirs)
        metadata, vector = ours["metadata_segment"], ours["vector_segment"]
        compare_segment(result, where + " (metadata)", metadata, theirs["METADATA"])
        compare_segment(result, where + " (vector)", vector, theirs["VECTOR"])
        compare_index(result, where, vector, theirs["VECTOR"])
    return result


def report(result):
    for what, count in result.compared.items():
        print("compared %s (%d)" % (what, count))
    for what, why in NOT_COMPARED.items():
        print("not compared %s: %s" % (what, why))
    for difference in result.differences:
        print("DIFFERS %s" % difference)
    print("compared %d values, %d differ"
          % (sum(result.compared.values()), len(result.differences)))


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: compare_chops.py MOUNTPOINT chops-output.txt")
    with open(sys.argv[2], encoding="utf-8") as file:
        chops = ChopsOutput(file)
    if not chops.general or not chops.collections:
        sys.exit("compare_chops.py: %s is no output of chops_info.sh" % sys.argv[2])
    result = compare_all(sys.argv[1], chops)
    report(result)
    sys.exit(1 if result.differences else 0)


if __name__ == "__main__":
    main()
