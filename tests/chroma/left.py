#!/usr/bin/env python3
"""What the running Chroma answers on directories that an operation left when it was killed, or its calls failed.

usage: left.py REFERENCES LEFT [--add]      (Chroma changes them: give it copies)

Each directory below LEFT must answer what one of those below REFERENCES does, and with --add take a record more.
"""
import os
import sys

import answers
import exercise
import truth


def ask(directory):
    print(directory, file=sys.stderr)  # where it was when it crashed
    result, wrong = answers.ask(directory)
    for collection in result["collections"]:
        collection.pop("containing")  # a text index that is damaged is so before and after
    return result


def add(directory, result):
    for entry in result["collections"]:
        vectors = [record["embedding"] for record in entry["records"] if record["embedding"]]
        if not vectors:
            continue
        client = truth.open_client(directory, entry["tenant"], entry["database"])
        collection = client.get_collection(entry["name"], embedding_function=None)
        exercise.first_word(collection, {}, 0, len(vectors[0]))
        if collection.count() != len(entry["records"]) + 1:
            sys.exit("left: %s: %d records in %s" % (directory, collection.count(), entry["name"]))


def below(folder):
    return [entry.path for entry in sorted(os.scandir(folder), key=lambda entry: entry.name) if entry.is_dir()]


def main():
    references, left = (below(folder) for folder in sys.argv[1:3])
    expected = [ask(directory) for directory in references]
    if not expected or not left:
        sys.exit("left: nothing to compare")
    for directory in left:
        found = ask(directory)
        if found not in expected:
            sys.exit("left: %s: it answers something else" % directory)
        if "--add" in sys.argv[3:]:
            add(directory, found)
    print("%d directories" % len(left))


if __name__ == "__main__":
    main()
