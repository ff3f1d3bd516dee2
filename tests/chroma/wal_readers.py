#!/usr/bin/env python3
"""Eight processes that read every wal.jsonl of a mount in their ways, until the file STOP appears.

usage: wal_readers.py MOUNTPOINT DIR STOP

- Whole files, in pieces of any size: every line is JSON, seq_ids ascend (but for those that were given again while the file was open),
  a row that is still in the table is that row.
- Ranges at random: what is read twice is the same twice, and what stands in it are whole lines of rows.
- One that follows the root's, and never stats it.
A read may fail with ESTALE only when the row that comes next has left the table, and a file may be gone when its collection is.
Prints what they did, and every wrong thing; fails if there was one.
"""
import collections
import errno
import json
import os
import random
import sqlite3
import sys
import time

import wal_truth

WHOLE, RANDOM = 5, 2
SAMPLE = 3
TABLE_TRIES = 100


class Wrong(Exception):
    pass


class Table:
    """The rows as they are now."""

    def __init__(self, directory):
        self.connection = wal_truth.connect(directory)

    def ask(self, where, arguments):
        for _ in range(TABLE_TRIES):
            try:
                return wal_truth.rows(self.connection, where, arguments).fetchall()
            except sqlite3.OperationalError:  # locked, for longer than the timeout
                time.sleep(0.1)
        raise Wrong("the table can't be read")

    def row(self, seq_id):
        return next(iter(self.ask("seq_id = ?", (seq_id,))), None)

    def seq_ids(self, collection):
        topic = None if collection is None else "persistent://default/default/" + collection
        sql = "SELECT seq_id FROM embeddings_queue WHERE ?1 IS NULL OR topic = ?1 ORDER BY seq_id"
        return [row[0] for row in self.connection.execute(sql, (topic,))]


class Reader:
    def __init__(self, mountpoint, directory, stop):
        self.mountpoint, self.directory, self.stop = mountpoint, directory, stop
        self.table = Table(directory)
        self.done = collections.Counter()

    def pick(self):
        """(path, collection id or None)"""
        ids = os.listdir(os.path.join(self.mountpoint, "by-id"))
        if not ids or random.random() < 0.4:
            return os.path.join(self.mountpoint, "wal.jsonl"), None
        collection = random.choice(ids)
        return os.path.join(self.mountpoint, "by-id", collection, "wal.jsonl"), collection

    def check_row(self, text, value):
        """Another row with the same number is one of another collection: that which had it was deleted."""
        row = self.table.row(value["seq_id"])
        if row is not None and row[wal_truth.COLUMNS.index("topic")] == value["topic"] and wal_truth.line(row) != text:
            raise Wrong("row %d is %r, shown %r" % (value["seq_id"], wal_truth.line(row), text))
        self.done["rows compared"] += 1

    def check_lines(self, lines):
        """Whole lines, each with its newline."""
        values = []
        for text in lines:
            try:
                values.append(json.loads(text))
            except ValueError as error:
                raise Wrong("no JSON (%s): %r" % (error, text[:200])) from None
        for i in random.sample(range(len(lines)), min(SAMPLE, len(lines))):
            self.check_row(lines[i], values[i])
        return [value["seq_id"] for value in values]

    def check_stale(self, collection, before, last):
        """The next row after `last` of those that there were before must have left: at least it is not where it was."""
        left = [n for n in before if last is None or n > last]
        now = set(self.table.seq_ids(collection))
        self.done["ESTALE"] += 1
        if left and all(n in now for n in left):
            raise Wrong("ESTALE, and no row behind %s has left" % last)

    def run(self):
        while not os.path.exists(self.stop):
            try:
                self.turn()
            except FileNotFoundError:
                self.done["gone"] += 1
            except OSError as error:
                if error.errno not in (errno.ESTALE, errno.EAGAIN):
                    raise Wrong(str(error)) from None
                self.done["ESTALE when opened"] += 1
            time.sleep(0.005)


class Whole(Reader):
    def check_order(self, path, lines, seq_ids):
        """A number comes again only behind rows that have left meanwhile, with their collection."""
        for i in range(1, len(seq_ids)):
            if seq_ids[i - 1] < seq_ids[i]:
                continue
            for text in lines[max(i - 1000, 0):i]:
                value = json.loads(text)
                row = self.table.row(value["seq_id"]) if value["seq_id"] >= seq_ids[i] else None
                if row is not None and row[wal_truth.COLUMNS.index("topic")] == value["topic"]:
                    raise Wrong("%s: row %d stands before row %d" % (path, value["seq_id"], seq_ids[i]))
            self.done["numbers used again"] += 1

    def read(self, file, size):
        """All bytes, and whether the end was ESTALE."""
        parts = []
        while True:
            try:
                part = os.read(file, size)
            except OSError as error:
                if error.errno == errno.ESTALE:
                    return b"".join(parts), True
                raise
            if not part:
                return b"".join(parts), False
            parts.append(part)

    def turn(self):
        path, collection = self.pick()
        before = self.table.seq_ids(collection)
        file = os.open(path, os.O_RDONLY)
        try:
            told = os.fstat(file).st_size
            content, stale = self.read(file, random.choice((100, 4096, 70000, 1 << 20)))
        finally:
            os.close(file)
        self.done["files"] += 1
        lines = content.splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            raise Wrong("%s ends within a line: %r" % (path, lines[-1][-100:]))
        seq_ids = self.check_lines(lines)
        self.check_order(path, lines, seq_ids)
        if stale:
            self.check_stale(collection, before, seq_ids[-1] if seq_ids else None)
        elif len(content) < told:
            raise Wrong("%s: %d bytes, stat said %d" % (path, len(content), told))


class Random(Reader):
    def turn(self):
        path, _ = self.pick()
        file = os.open(path, os.O_RDONLY)
        try:
            for _ in range(20):
                self.look(file, path)
        finally:
            os.close(file)

    def look(self, file, path):
        size = os.fstat(file).st_size
        offset, length = random.randrange(size + 10), random.choice((1, 50, 1000, 20000))
        seen = []
        for _ in range(2):
            try:
                seen.append(os.pread(file, length, offset))
            except OSError as error:
                if error.errno != errno.ESTALE:
                    raise
                self.done["ESTALE"] += 1
        self.done["ranges"] += 1
        shortest = min((len(part) for part in seen), default=0)
        if any(part[:shortest] != seen[0][:shortest] for part in seen):
            raise Wrong("%s: other bytes at %d" % (path, offset))
        if seen:
            lines = seen[0].split(b"\n")[1:-1]
            self.check_lines([line + b"\n" for line in lines])


class Follower(Reader):
    """Reads on where it is, for as long as there is something to read; opens again when rows that it has not seen have left."""

    def run(self):
        newest = None
        while not os.path.exists(self.stop):
            newest = self.follow(newest)

    def follow(self, newest):
        file = os.open(os.path.join(self.mountpoint, "wal.jsonl"), os.O_RDONLY)
        os.lseek(file, 0, os.SEEK_END)
        rest = b""
        try:
            while not os.path.exists(self.stop):
                part = os.read(file, 65536)
                if not part:
                    time.sleep(0.02)
                    continue
                *lines, rest = (rest + part).split(b"\n")
                seq_ids = self.check_lines([line + b"\n" for line in lines])
                self.done["rows followed"] += len(seq_ids)
                newest = seq_ids[-1] if seq_ids else newest
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            self.done["ESTALE"] += 1
        finally:
            os.close(file)
        return newest


def run(kind, arguments):
    reader, status = kind(*arguments), 0
    try:
        reader.run()
    except Wrong as wrong:
        print("WRONG: %s: %s" % (kind.__name__, wrong), flush=True)
        status = 1
    print("%s: %s" % (kind.__name__, ", ".join("%d %s" % (n, what) for what, n in sorted(reader.done.items()))), flush=True)
    return status


def start(kind, arguments):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.nice(5)
            random.seed()
            status = run(kind, arguments)
        finally:
            os._exit(status)
    return pid


def main():
    arguments = sys.argv[1:]
    if len(arguments) != 3:
        sys.exit(__doc__)
    pids = [start(kind, arguments) for kind in [Whole] * WHOLE + [Random] * RANDOM + [Follower]]
    sys.exit(1 if any([os.waitpid(pid, 0)[1] != 0 for pid in pids]) else 0)


if __name__ == "__main__":
    main()
