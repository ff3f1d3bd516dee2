#!/usr/bin/env python3
"""Adds rows to the WAL of a persist directory as no Chroma writes them: values of every class in every column, every byte there is,
lengths around those at which a program may cut.

usage: wal_rows.py DIR SEED [COUNT]
"""
import random
import sqlite3
import sys

import wal_truth

NEAR = (1, 2, 3, 4, 63, 64, 65, 4095, 4096, 65535, 65536, 196607, 196608, 196609, 196610, 196611, 393216, 400000)
MOMENTS = ("2024-02-29 12:34:56", "2024-02-29 12:34:56.789", "2023-02-29 00:00:00", "1970-01-01 00:00:00", "yesterday", "", "2024-02-29")
PIECES = ("a", "\"", "\\", "/", "\0", "\x1f", "\x7f", "\n\r\t\b\f", "ä", "€", "😀", "\u2028", "\ufeff", "plain text ")
BROKEN = (b"\xff", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80", b"\xfe\xff")


class Rows:
    def __init__(self, seed, topics):
        self.random = random.Random(seed)
        self.topics = topics

    def length(self):
        return self.random.choice(NEAR) if self.random.random() < 0.1 else self.random.randint(0, 200)

    def text(self):
        """Bytes of a text, mostly UTF-8."""
        parts, left = [], self.length()
        while left > 0:
            broken = self.random.random() < 0.05
            part = self.random.choice(BROKEN) if broken else self.random.choice(PIECES).encode()
            parts.append(part * self.random.choice((1, 1, 1, 50)))
            left -= len(parts[-1])
        return b"".join(parts)

    def blob(self):
        return self.random.randbytes(self.length())

    def number(self):
        return self.random.choice((0, 1, -1, 2 ** 63 - 1, -2 ** 63, self.random.randint(-10 ** 6, 10 ** 6)))

    def real(self):
        return self.random.choice((0.1, -0.0, 1e16, 1e22, 1e-7, 5e-324, 1.7976931348623157e308, float("inf"), -float("inf"),
                                   self.random.uniform(-1, 1), self.random.random() * 10.0 ** self.random.randint(-300, 300)))

    def value(self):
        """(SQL, argument)"""
        kind = self.random.choice(("text", "text", "blob", "number", "real", "null"))
        if kind == "null":
            return "?", None
        value = getattr(self, kind)()
        return ("CAST(? AS TEXT)" if kind == "text" else "?"), value

    def topic(self):
        strange = self.value()
        return strange if self.random.random() < 0.1 and strange[1] is not None else ("?", self.random.choice(self.topics))

    def vector(self):
        return ("?", self.blob()) if self.random.random() < 0.7 else self.value()

    def created_at(self):
        return ("?", self.random.choice(MOMENTS)) if self.random.random() < 0.7 else self.not_null()

    def not_null(self):
        sql, value = self.value()
        return (sql, value) if value is not None else ("?", "x")

    def row(self):
        return [self.created_at(), self.not_null(), self.topic(), self.not_null(), self.vector(), self.value(), self.value()]


def main():
    directory, seed = sys.argv[1], int(sys.argv[2])
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 300
    connection = sqlite3.connect(directory + "/chroma.sqlite3", timeout=60)
    topics = ["persistent://default/default/" + c for c in wal_truth.collections(connection)]
    rows = Rows(seed, topics[:5])
    with connection:
        for _ in range(count):
            row = rows.row()
            connection.execute("INSERT INTO embeddings_queue (%s) VALUES (%s)"
                               % (", ".join(wal_truth.COLUMNS[1:]), ", ".join(sql for sql, _ in row)),
                               [value for _, value in row])


if __name__ == "__main__":
    main()
