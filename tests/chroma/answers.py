#!/usr/bin/env python3
"""What the running Chroma answers on a persist directory, as JSON: all that truth.py says, and queries.

usage: answers.py DIR [--right] > answers.json      (Chroma may change DIR: give it a copy)

Besides truth.py's members each collection has "neighbours" (the distances of the nearest records to some of
its own vectors) and "containing" (the ids that where_document={"$contains": word} gives for some words).
With --right it exits with 1 when these are not the records whose documents contain the word, and says so on
stderr.
"""
import json
import sys

import truth

QUERIES = 8
WORDS = 6


def nearest(collection, records):
    # + 0.0: -0.0 is 0.0
    vectors = [record["embedding"] for record in records if record["embedding"]][:QUERIES]
    found = []
    for vector in vectors:
        answer = collection.query(query_embeddings=[vector], n_results=min(3, len(records)), include=["distances"])
        found.append([round(float(distance), 4) + 0.0 for distance in answer["distances"][0]])
    return found


def some_words(records):
    """Three letters at least: the index of Chroma has no shorter ones."""
    words = []
    for record in records:
        for word in (record["document"] or "").split():
            if len(word) >= 3 and word.isascii() and word.isalpha() and word not in words:
                words.append(word)
    return words[:WORDS]


def containing(collection, records, wrong):
    found = {}
    for word in some_words(records):
        ids = sorted(collection.get(where_document={"$contains": word}, include=[])["ids"])
        expected = sorted(record["id"] for record in records if word in (record["document"] or ""))
        if ids != expected:
            wrong.append("%s: $contains %r gives %s, not %s" % (collection.name, word, ids[:5], expected[:5]))
        found[word] = ids
    return found


def ask(directory):
    """(what it answers, sentences on what is wrong)"""
    result, wrong = truth.dump(directory), []
    for entry in result["collections"]:
        client = truth.open_client(directory, entry["tenant"], entry["database"])
        collection = client.get_collection(entry["name"], embedding_function=None)
        entry["containing"] = containing(collection, entry["records"], wrong)
        if "missing" not in entry and entry["records"]:
            entry["neighbours"] = nearest(collection, entry["records"])
    return result, wrong


def main():
    result, wrong = ask(sys.argv[1])
    json.dump(result, sys.stdout, indent=0, sort_keys=True)
    print()
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    sys.exit(1 if wrong and "--right" in sys.argv[2:] else 0)


if __name__ == "__main__":
    main()
