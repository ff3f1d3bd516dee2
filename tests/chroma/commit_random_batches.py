"""What Python's Chroma makes of the vectors of a log, batch by batch, and what the log says row by row.

Chroma up to 0.6.3 gathers rows in a batch and applies it at once: first what is deleted, then what is written (FORMAT 7). Four things come out otherwise than the rows say:

- an UPDATE of an id that an earlier row of the batch deletes counts, since the index still has the id;
- DELETE, ADD, DELETE of an id that the index has takes back only the ADD, and leaves the old vector: so does what the first DELETE and an UPSERT or UPDATE left behind;
- up to 0.5.4 an ADD of an id that an earlier row of the batch deletes is ignored, for the same reason;
- rows that come later find the vector that is left behind: an ADD is ignored, an UPDATE counts.

This follows the code of these releases (batch.py, local_persistent_hnsw.py), so that a difference is explained only where the batches really make it. Rust's Chroma has no batches.
"""
from commit_metadata import ADD, DELETE, UPDATE, UPSERT


class Batch:
    def __init__(self):
        self.records, self.deleted, self.written, self.upserted, self.adds = {}, set(), set(), set(), 0

    def __len__(self):
        return len(self.written) + len(self.deleted)

    def delete(self, record_id):
        if record_id in self.written:
            self.written.remove(record_id)
            operation = self.records[record_id][0]
            if operation == ADD:
                self.adds -= 1
            elif operation == UPSERT and record_id in self.upserted:
                self.adds -= 1
                self.upserted.remove(record_id)
            else:
                self.deleted.add(record_id)
        else:
            self.deleted.add(record_id)
        self.records.pop(record_id, None)

    def write(self, operation, record_id, vector, exists):
        self.records[record_id] = (operation, vector)
        self.written.add(record_id)
        self.deleted.discard(record_id)
        if operation == UPSERT and not exists:
            self.upserted.add(record_id)
        self.adds += operation == ADD or operation == UPSERT and not exists


class Disk:
    """What was persisted."""

    def __init__(self, vectors=None):
        self.vectors, self.total, self.position = dict(vectors or {}), 0, 0


class Process:
    def __init__(self, version, parameters, disk):
        self.is_old, self.disk = version < (0, 5, 5), disk
        self.size, self.threshold = parameters["hnsw:batch_size"], parameters["hnsw:sync_threshold"]
        self.vectors, self.total, self.position = dict(disk.vectors), disk.total, disk.position
        self.batch, self.buffer = Batch(), {}
        self.since_batch = self.since_persist = 0
        self.is_initialized = bool(self.vectors)

    def exists(self, record_id):
        return record_id in self.vectors or record_id in self.buffer

    def feed(self, row):
        seq_id, _, operation, record_id, vector = row
        self.since_batch += 1
        self.since_persist += 1
        self.is_initialized |= vector is not None
        if not self.is_initialized:
            return
        self.position = max(self.position, seq_id)
        if operation == DELETE:
            if self.exists(record_id):
                self.batch.delete(record_id)
                self.buffer.pop(record_id, None)
        elif vector is not None and self.takes(operation, record_id):
            self.batch.write(operation, record_id, vector, self.exists(record_id))
            self.buffer[record_id] = vector
        if (len(self.batch) if self.is_old else self.since_batch) >= self.size:
            self.flush()

    def takes(self, operation, record_id):
        if operation == ADD:
            return not self.exists(record_id) or not self.is_old and record_id in self.batch.deleted
        return operation == UPSERT or self.exists(record_id)

    def flush(self):
        for record_id in self.batch.deleted:
            self.vectors.pop(record_id, None)
        for record_id in self.batch.written:
            self.vectors[record_id] = self.batch.records[record_id][1]
        if self.batch.written:
            self.total += self.batch.adds
        if (self.total - self.disk.total if self.is_old else self.since_persist) >= self.threshold:
            self.persist()
        self.batch, self.buffer, self.since_batch = Batch(), {}, 0

    def persist(self):
        self.disk.vectors, self.disk.total, self.disk.position = dict(self.vectors), self.total, self.position
        self.since_persist = 0

    def vector(self, record_id):
        if record_id in self.batch.written:
            return self.batch.records[record_id][1]
        return None if record_id in self.batch.deleted else self.vectors.get(record_id)


def by_row(vector, row):
    """The vector of an id after a row."""
    _, _, operation, _, given = row
    if operation == DELETE:
        return None
    if given is None or operation == ADD and vector is not None or operation == UPDATE and vector is None:
        return vector
    return given


class Replay:
    """`lines`: "start" and "end" of a process of Chroma, and rows [seq_id, collection, operation, id, vector]. A process starts after the last line. `disk` is changed."""

    def __init__(self, version, parameters, lines, disk):
        self.rows, self.disk, self.process = [], disk, None
        for line in lines:
            if line == "start":
                self.start(version, parameters)
            elif line == "end":
                self.process = None
            else:
                self.rows.append(line)
                if self.process is not None:
                    self.process.feed(line)
        self.persisted = self.disk.position, dict(self.disk.vectors)
        self.start(version, parameters)

    def start(self, version, parameters):
        """The rows that are not in the index yet come first."""
        self.process = Process(tuple(version), parameters, self.disk)
        for row in [row for row in self.rows if row[0] > self.process.position]:
            self.process.feed(row)

    def rows_of(self, record_id):
        return [row for row in self.rows if row[3] == record_id]

    def by_batches(self, record_id):
        return self.process.vector(record_id)

    def by_rows(self, record_id):
        vector = None
        for row in self.rows_of(record_id):
            vector = by_row(vector, row)
        return vector

    def by_later_rows(self, record_id):
        """Those that come after what was persisted before the last process."""
        position, vectors = self.persisted
        vector = vectors.get(record_id)
        for row in self.rows_of(record_id):
            if row[0] > position:
                vector = by_row(vector, row)
        return vector
