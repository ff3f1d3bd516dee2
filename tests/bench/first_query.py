"""usage: first_query.py DIR ROWS

Opens the directory with the Chroma of this Python, and asks for the neighbours of a record's own vector: what the first question costs after a start, whatever
has to be applied for it. Prints milliseconds of the clock and of the processor; fails unless the answer is the record and the count is right.
"""
import sys
import time

import chromadb

directory, rows = sys.argv[1], int(sys.argv[2])
clock, processor = time.monotonic(), time.process_time()
collection = chromadb.PersistentClient(directory).get_collection("pending")
record = collection.get(limit=1, include=["embeddings"])
found = collection.query(query_embeddings=[[float(x) for x in record["embeddings"][0]]], n_results=10)
clock, processor = time.monotonic() - clock, time.process_time() - processor
if collection.count() != rows or len(found["ids"][0]) != 10:
    sys.exit(f"{collection.count()} records of {rows}, {len(found['ids'][0])} neighbours of 10")
print(f"{clock * 1000:.0f} {processor * 1000:.0f} {'found' if found['ids'][0][0] == record['ids'][0] else 'missed'}")
