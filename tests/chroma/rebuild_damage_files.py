#!/usr/bin/env python3
"""Damages the vector segments that rebuild_damage.py made, each in its own way, and says what can be had back of them.

usage: rebuild_damage_files.py DIR OLDER TRUTH CASES     CASES (JSON) gets what is recoverable of each collection, by how it was damaged; OLDER has the pickles of an earlier time, TRUTH is what Chroma says of
                                                         DIR's fixture

What is recoverable is known without reading what is damaged: the log's rows that were left, by their vectors; and of the index the elements that were left whole, under the ids of the pickle that was
left, as both were before.
"""
import glob
import json
import os
import sqlite3
import sys

from rebuild_damage_case import Case, fail, replay
from rebuild_damage_kinds import cases

OF_FIXTURE = {"space_l2": "l2", "space.cosine": "cosine", "space-ip": "ip"}


def position_of(case):
    row = case.db.execute("SELECT seq_id FROM max_seq_id WHERE segment_id = ?", (case.segments["VECTOR"],)).fetchone()
    if row is None:
        return case.state["max_seq_id"]
    return row[0] if isinstance(row[0], int) else int.from_bytes(row[0], "big")


def check_model(case, position):
    """That the index has what the rows up to its position say: what follows rests on it."""
    vectors = {seq_id: vector for seq_id, _, _, vector in case.rows}
    current = replay(row for row in case.rows if row[0] <= position)
    element_of = {element["label"]: i for i, element in enumerate(case.elements) if element["deleted"] == 0}
    if set(current) != set(case.state["id_to_label"]):
        fail("%s: Chroma's pickle has not what the rows say" % case.name)
    for record_id, seq_id in current.items():
        i = element_of[case.state["id_to_label"][record_id]]
        if case.space != "cosine" and case.elements[i]["vector"] != vectors[seq_id]:
            fail("%s: Chroma's index has another vector of %s than the rows say" % (case.name, record_id))
    if position >= case.rows[-1][0] or position <= case.rows[25][0]:
        fail("%s: position %d of rows %d to %d proves little" % (case.name, position, case.rows[0][0], case.rows[-1][0]))


def stored(case, i):
    """(vector as it is answered, whether its norm is lost)"""
    vector = case.floats(case.changed.get(i, case.elements[i]["vector"]))
    if case.space != "cosine":
        return vector, False
    length = case.lengths[i]
    return [x * (1 if length is None else length) for x in vector], length is None


def recoverable(case, rows):
    """By id the vector, or None; and which come back normalised."""
    vectors = {seq_id: vector for seq_id, _, _, vector in rows}
    element_of = {element["label"]: i for i, element in enumerate(case.elements) if element["deleted"] == 0 and i not in case.gone}
    found, normalised = {}, []
    for record_id, seq_id in replay(case.rows).items():
        i = element_of.get((case.listed or {}).get(record_id))
        if seq_id in vectors:
            found[record_id] = case.floats(vectors[seq_id])
        elif i is not None:
            found[record_id], normless = stored(case, i)
            normalised += [record_id] if normless else []
        else:
            found[record_id] = None
    return found, normalised


def purge(case, position, log):
    """As Chroma does: below the lower position; or all. The last row of all is another collection's, and stays (R1)."""
    least = {"whole": 0, "purged": position, "emptied": case.rows[-1][0] + 1}[log]
    case.db.execute("DELETE FROM embeddings_queue WHERE substr(topic, -36) = ? AND seq_id < ?", (case.collection, least))
    return [row for row in case.rows if row[0] >= least]


def age(directory):
    for path in glob.glob(os.path.join(directory, "*-*-*-*-*")):
        for one in glob.glob(os.path.join(path, "*")) + [path]:
            os.utime(one, (1700000000, 1700000000))


def harm(db, directory, older, name, damage, space, log):
    case = Case(db, directory, name, space)
    case.db, case.older = db, older
    position = position_of(case)
    check_model(case, position)
    rows = purge(case, position, log)
    damage(case)
    vectors, normalised = recoverable(case, rows)
    return {"space": space, "segment": case.segments["VECTOR"], "vectors": vectors, "normalised": normalised, "rest": 0}


def harm_fixture(db, directory, collection, space):
    """Its graph and its header; nothing is lost by that. What Chroma has no vector of, by its own defects, may have one."""
    segment = db.execute("SELECT id FROM segments WHERE scope = 'VECTOR' AND collection = ?", (collection["id"],)).fetchone()[0]
    for name in ("header.bin", "link_lists.bin"):
        os.truncate("%s/%s/%s" % (directory, segment, name), 0)
    vectors = {record["id"]: record["embedding"] for record in collection["records"] if record["embedding"] is not None}
    return {"space": space, "segment": segment, "vectors": vectors, "normalised": [], "rest": len(collection["records"]) - len(vectors)}


def damage_all(directory, older, truth, path):
    db = sqlite3.connect(directory + "/chroma.sqlite3")
    found = {case[0]: harm(db, directory, older, *case) for case in cases()}
    with open(truth, encoding="utf-8") as file:
        for collection in json.load(file)["collections"]:
            if collection["name"] in OF_FIXTURE:
                found[collection["name"]] = harm_fixture(db, directory, collection, OF_FIXTURE[collection["name"]])
    if not set(OF_FIXTURE) <= set(found):
        fail("the fixture lacks one of %s" % sorted(OF_FIXTURE))
    db.commit()
    db.close()
    age(directory)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    damage_all(*sys.argv[1:])
