#!/usr/bin/env python3
"""Kills the running Chroma at random points while it writes, and asks it
afterwards what is there.

usage: kills.py DIR OUT COUNT SEED

For each N of COUNT, OUT/N/ gets:
  killed/       a copy of DIR, written to by a Chroma that was then killed
  rolled-back/  a copy of that, in which SQLite has rolled back what it must
  truth.json    what Chroma says of the collections of another copy
  wal.json      rows of the WAL in rolled-back/, by collection id
Prints a line for each: the journal's size, and whether uncommitted pages were
in the database already.
"""
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import time

import truth

DATABASE = "chroma.sqlite3"


def in_child(work, *arguments):
    """Runs it in a new process (of Chroma nothing runs in this one); its pid."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work(*arguments)
            status = 0
        except BaseException as error:  # the child must not go on as a second parent
            print("%s: %r" % (work.__name__, error), file=sys.stderr)
        finally:
            os._exit(status)
    return pid


def finish(pid):
    if os.waitpid(pid, 0)[1] != 0:
        sys.exit("a child failed")


def write(directory, seed, ready):
    """Small transactions and large ones, which do not fit into SQLite's cache
    and are written to the database before they are committed."""
    source = random.Random(seed)
    client = truth.open_client(directory)
    collection = client.get_collection("space_l2", embedding_function=None)
    os.write(ready, b"x")
    for n in range(10 ** 6):
        ids = ["k%d-%d" % (n, i) for i in range(source.choice((1, 5, 30, 1500, 1500)))]
        collection.add(ids=ids, embeddings=[[float(n), i, 1.0, 2.0] for i in range(len(ids))],
                       documents=["%s %s" % (i, source.random()) * 20 for i in ids])
        collection.delete(ids=ids[::2])


def kill_one(directory, seed, delay):
    read_end, write_end = os.pipe()
    pid = in_child(write, directory, seed, write_end)
    os.close(write_end)
    started = os.read(read_end, 1)
    os.close(read_end)
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    if started != b"x" or not os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
        sys.exit("Chroma ended before it was killed")


def wal_rows(directory):
    """Opening it for writing rolls it back."""
    connection = sqlite3.connect(os.path.join(directory, DATABASE), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    rows = connection.execute("SELECT topic, count(*) FROM embeddings_queue GROUP BY topic").fetchall()
    connection.execute("ROLLBACK")
    connection.close()
    return {topic.rsplit("/", 1)[1]: count for topic, count in rows}


def save(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file)


def outline(collection, tenant, database):
    """Killed while it wrote an index, 1.x may refuse to count; the rest is compared."""
    try:
        return truth.outline(collection, tenant, database)
    except Exception as error:  # every version has its own class for it
        print("Chroma can't count %s: %s" % (collection.name, error), flush=True)
        return {"id": str(collection.id), "name": collection.name, "tenant": tenant,
                "database": database, "metadata": collection.metadata}


def tell(directory, path):
    """What compare_info.py compares; no records, which are many."""
    collections = []
    truth.open_client(directory)
    for tenant, database in truth.databases(directory):
        client = truth.open_client(directory, tenant, database)
        collections += [outline(collection, tenant, database)
                        for collection in truth.collections_of(client)]
    save(path, {"collections": collections})


def content(directory):
    with open(os.path.join(directory, DATABASE), "rb") as file:
        return file.read()


def one(source, out, seed, delay):
    killed, rolled, opened = (os.path.join(out, name) for name in ("killed", "rolled-back", "opened"))
    shutil.copytree(source, killed)
    kill_one(killed, seed, delay)
    journal = os.path.join(killed, DATABASE + "-journal")
    size = os.path.getsize(journal) if os.path.exists(journal) else 0
    shutil.copytree(killed, rolled)
    save(os.path.join(out, "wal.json"), wal_rows(rolled))
    shutil.copytree(rolled, opened)
    finish(in_child(tell, opened, os.path.join(out, "truth.json")))
    shutil.rmtree(opened)
    torn = content(killed) != content(rolled)
    print("kill %s: after %.3f s, journal %d bytes%s"
          % (os.path.basename(out), delay, size, ", uncommitted pages" if torn else ""), flush=True)


def main():
    source, out, count, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    delays = random.Random(seed)
    for n in range(count):
        os.makedirs(os.path.join(out, str(n)))
        one(source, os.path.join(out, str(n)), seed + n, delays.uniform(0, 1.2))


if __name__ == "__main__":
    main()
