#!/usr/bin/env python3
"""The options of rebuild-hnsw, and what Chroma then says and answers.

usage: rebuild_options.py fill DIR MODEL       with Chroma: makes the collections
       rebuild_options.py more DIR MODEL       300 more records in each
       rebuild_options.py modify DIR MODEL     changes a parameter in the way of 1.x
       rebuild_options.py misread DIR MODEL    makes 1.x take the normalised vectors of a collection for those of l2 (FORMAT 5)
       rebuild_options.py check DIR MODEL      parameters, metadata, embeddings, distances
       rebuild_options.py operate DIR MNT MODEL VERSION     without Chroma: rebuilds through the mount
       rebuild_options.py mend DIR MNT MODEL VERSION SPACE  … what is misread

MODEL says of each collection which vectors were given to Chroma, and which parameters it has by what was asked for; nothing in it comes from files of Chroma's.
"""
import errno
import hashlib
import json
import os
import random
import sqlite3
import struct
import sys

DIMENSION = 16
RECORDS = 120
MORE = 300
# In none of them a parameter has its default.
MADE = {"m": 6, "ef_construction": 50, "ef_search": 33, "num_threads": 1, "resize_factor": 1.5, "batch_size": 10, "sync_threshold": 40}
DEFAULTS = {"space": "l2", "m": 16, "ef_construction": 100, "resize_factor": 1.2, "batch_size": 100, "sync_threshold": 1000}
KEYS = {"space": "hnsw:space", "m": "hnsw:M", "ef_construction": "hnsw:construction_ef", "ef_search": "hnsw:search_ef",
        "num_threads": "hnsw:num_threads", "resize_factor": "hnsw:resize_factor", "batch_size": "hnsw:batch_size",
        "sync_threshold": "hnsw:sync_threshold"}
PYTHON_ONLY = ("num_threads", "resize_factor", "batch_size")
SPACES = ("l2", "cosine", "ip")
SINGLE = {"m": 24, "ef_construction": 77, "ef_search": 55, "num_threads": 2, "resize_factor": 1.75, "batch_size": 7, "sync_threshold": 60}
ALL = dict(SINGLE, space="ip", m=12, ef_construction=61)


def fail(sentence):
    sys.exit("rebuild_options: " + sentence)


def collections():
    """name: (parameters that are given when it is made, lines for the control)"""
    result = {}
    for before in SPACES:
        for after in SPACES:
            if before != after:
                result["%s-%s" % (before, after)] = (dict(MADE, space=before), [{"space": after}])
    for name, value in SINGLE.items():
        result["only-" + name] = (dict(MADE, space="cosine"), [{name: value}])
    result["plain"] = ({}, [ALL])
    result["plain-cosine"] = ({}, [{"space": "cosine"}])
    result["plain-m"] = ({}, [{"m": 48, "ef_construction": 3}])
    result["back"] = ({"space": "cosine"}, [{"space": "l2"}, {"ef_search": 50}, {"ef_search": 100}, {"m": 17}, {"m": 16}])
    result["there-and-back"] = (dict(MADE, space="ip"), [{"space": "cosine"}, {"space": "l2", "m": 9}, {"space": "ip", "m": 6}])
    # Only one of the two that must fit together stands in the user's metadata.
    result["pair"] = ({"sync_threshold": 1000}, [{"batch_size": 30, "sync_threshold": 50}])
    result["misread"] = (dict(MADE, space="cosine"), [])
    result["untouched"] = (dict(MADE, space="cosine"), [{}])
    return result


def norm_factor(number):
    return (0.5, 1, 2)[number % 3]


def vectors(name, first, count):
    source = random.Random("%s %d" % (name, first))
    return [[round(source.uniform(-1, 1), 4) * norm_factor(n) for _ in range(DIMENSION)] for n in range(count)]


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def save(path, model):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(model, file)


# --- with Chroma ---

def create(client, name, given):
    """By configuration where the release has one, and for every other collection by metadata, as before."""
    import truth
    if truth.VERSION >= (1, 0) and name.startswith("only-"):
        names = {"m": "max_neighbors"}
        return client.create_collection(name, embedding_function=None, metadata={"note": name},
                                        configuration={"hnsw": {names.get(key, key): value for key, value in given.items()}})
    metadata = {KEYS[key]: value for key, value in given.items()}
    if metadata:
        metadata["note"] = name
    return client.create_collection(name, embedding_function=None, metadata=metadata or None)


def add(collection, record, first, count):
    for begin in range(first, first + count, 60):
        ids = ["id-%d" % n for n in range(begin, begin + 60)]
        given = vectors(collection.name, begin, len(ids))
        collection.add(ids=ids, embeddings=given)
        record["vectors"].update(zip(ids, given))


def fill(directory, path):
    import truth
    client = truth.open_client(directory)
    model = {}
    for name, (given, _) in collections().items():
        collection = create(client, name, given)
        model[name] = {"vectors": {}, "given": given, "asked": {}, "metadata": collection.metadata, "was_cosine": given.get("space") == "cosine"}
        add(collection, model[name], 0, RECORDS)
        collection.delete(ids=["id-3", "id-50"])
        for gone in ("id-3", "id-50"):
            del model[name]["vectors"][gone]
    save(path, model)


def more(directory, path):
    import truth
    client, model = truth.open_client(directory), load(path)
    for name, record in model.items():
        add(client.get_collection(name, embedding_function=None), record, max(int(i[3:]) for i in record["vectors"]) + 1, MORE)
    save(path, model)


def modify(directory, path):
    """1.x then stores what it takes for the whole configuration."""
    import truth
    client, model = truth.open_client(directory), load(path)
    for name, record in model.items():
        if record["asked"]:
            client.get_collection(name, embedding_function=None).modify(configuration={"hnsw": {"ef_search": 444}})
            record["modified"] = {"ef_search": 444}
    save(path, model)


def misread(directory, path):
    import truth
    client, model = truth.open_client(directory), load(path)
    collection, record = client.get_collection("misread", embedding_function=None), model["misread"]
    collection.modify(configuration={"hnsw": {"ef_search": 444}})
    record.update(given={}, modified={"ef_search": 444})
    collection = truth.open_client(directory).get_collection("misread", embedding_function=None)
    if collection.configuration_json["hnsw"]["space"] != "l2":
        fail("modify() has not changed the space")
    save(path, model)


def close_to(found, expected):
    return all(abs(a - b) <= 1e-6 * max(abs(b), 1e-9) for a, b in zip(found, expected))


def check_embeddings(name, collection, record):
    import numpy
    import truth
    ids = sorted(record["vectors"])
    if sorted(collection.get(include=[])["ids"]) != ids or collection.count() != len(ids):
        fail("%s: other records" % name)
    if truth.VERSION < (0, 4, 4):  # its get() of several gives them in another order
        found = {i: collection.get(ids=[i], include=["embeddings"])["embeddings"][0] for i in ids}
    else:
        answer = collection.get(include=["embeddings"])
        found = dict(zip(answer["ids"], answer["embeddings"]))
    for record_id in ids:
        given = [float(numpy.float32(x)) for x in record["vectors"][record_id]]
        vector = [float(x) for x in found[record_id]]
        if vector != given and not (record["was_cosine"] and close_to(vector, given)):
            fail("%s: the embedding of %s is %s, and not %s" % (name, record_id, vector, given))


def distances(space, asked, matrix):
    import numpy
    if space == "l2":
        return ((matrix - asked) ** 2).sum(axis=1)
    if space == "cosine":
        return 1 - matrix @ asked / (numpy.linalg.norm(matrix, axis=1) * numpy.linalg.norm(asked))
    return 1 - matrix @ asked


def check_distances(name, collection, record, space):
    import numpy
    source, missed = random.Random(name), 0
    ids = sorted(record["vectors"])
    matrix = numpy.array([record["vectors"][i] for i in ids])
    for _ in range(10):
        asked = numpy.array([source.uniform(-1, 1) for _ in range(DIMENSION)])
        answer = collection.query(query_embeddings=[asked.tolist()], n_results=5, include=["distances"])
        true = distances(space, asked, matrix)
        for record_id, told in zip(answer["ids"][0], answer["distances"][0]):
            expected = float(true[ids.index(record_id)])
            if abs(told - expected) > 1e-4 * max(1, abs(expected)):
                fail("%s: %s is %s away, and not %s (%s)" % (name, record_id, told, expected, space))
        missed += answer["distances"][0][0] > float(true.min()) + 1e-4 * max(1, abs(float(true.min())))
    # With so few links and candidates Chroma does not always find again what it has added itself.
    if "operated" in record and missed > (2 if len(ids) <= RECORDS else 5):
        fail("%s: %d of 10 queries miss the nearest record" % (name, missed))


def expected_parameters(record):
    return dict(DEFAULTS, **dict(record["given"], **dict(record["asked"], **record.get("modified", {}))))


def check_parameters(name, client, collection, record):
    import parameters
    import truth
    expected, told = expected_parameters(record), parameters.parameters(client, collection)
    # 1.x shows the defaults for a collection of before 1.0, and takes the settings of its segment, which it shows nowhere.
    hidden = truth.VERSION >= (1, 0) and record.get("operated", [1]) < [1]
    for key, value in expected.items():
        if key in told and told[key] != value and not (hidden and KEYS[key] not in (collection.metadata or {})):
            fail("%s: Chroma says %s is %s, and not %s" % (name, key, told[key], value))
    stored = truth.model_value(collection, "configuration_json")
    if truth.VERSION < (1, 0) and stored is not truth.ABSENT and stored:
        hnsw = stored["hnsw_configuration"]
        for key, value in record["asked"].items():
            # Up to 0.5.3 there is no such configuration: later releases make it of the metadata, for people only.
            is_there = record["operated"] >= [0, 5, 4] or KEYS[key] in (record["metadata"] or {})
            if is_there and hnsw["M" if key == "m" else key] != value:
                fail("%s: the stored configuration says %s, and not %s is %s" % (name, hnsw, key, value))


def check_metadata(name, collection, record):
    expected = dict(record["metadata"] or {})
    expected.update({KEYS[key]: value for key, value in record["asked"].items() if KEYS[key] in expected})
    found = dict(collection.metadata or {})
    if name == "pair" and "batch_size" in record["asked"]:
        expected["hnsw:batch_size"] = record["asked"]["batch_size"]
    if record.get("operated", [1]) < [1] and record["asked"].get("space", "l2") != "l2":
        expected["hnsw:space"] = record["asked"]["space"]
    if found != expected:
        fail("%s: the metadata is %s, and not %s" % (name, found, expected))


def check(directory, path):
    import truth
    client, model = truth.open_client(directory), load(path)
    for name, record in sorted(model.items()):
        collection = client.get_collection(name, embedding_function=None)
        check_embeddings(name, collection, record)
        check_parameters(name, client, collection, record)
        check_distances(name, collection, record, expected_parameters(record)["space"])
        check_metadata(name, collection, record)
    print("%s: %d collections" % (".".join(map(str, truth.VERSION)), len(model)))


# --- through the mount ---

class Mount:
    def __init__(self, directory, mount, model, version):
        self.directory, self.mount, self.model = directory, mount, model
        self.is_rust = version >= (1, 0)

    def path(self, *parts):
        return os.path.join(self.mount, "collections", *parts)

    def write(self, name, line):
        """0, or the errno"""
        try:
            with open(self.path(name, "rebuild-hnsw"), "w", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            return error.errno
        return 0

    def sentence(self):
        with open(os.path.join(self.mount, "last_error"), encoding="utf-8") as file:
            return file.read().strip()

    def result(self, name):
        with open(self.path(name, "rebuild-hnsw"), encoding="utf-8") as file:
            return json.loads("".join(line for line in file if not line.startswith("#")))["result"]

    def rebuild(self, name, options, words=""):
        line = " ".join("%s=%s" % item for item in options.items()) + words
        found = self.write(name, line or "1")
        if found != 0:
            fail("%s: '%s' is refused: %s" % (name, line, self.sentence()))
        return self.result(name)["collections"][0]["rebuild"]

    def refused(self, name, line, words="", expected=errno.EINVAL):
        before = state(self.directory)
        found = self.write(name, line)
        if found != expected:
            fail("%s: '%s' gives errno %d" % (name, line, found))
        if words not in self.sentence() or len(self.sentence()) < 20:
            fail("%s: '%s' is refused with: %s" % (name, line, self.sentence()))
        if state(self.directory) != before:
            fail("%s: '%s' has changed something" % (name, line))

    def config(self, name):
        result = {}
        for file in os.listdir(self.path(name, "config")):
            with open(self.path(name, "config", file), encoding="utf-8") as opened:
                result[file] = opened.read().strip()
        return result

    def row(self, sql, *values):
        database = sqlite3.connect("file:%s/chroma.sqlite3?mode=ro" % self.directory, uri=True)
        row = database.execute(sql, values).fetchone()
        database.close()
        return row

    def segment(self, name):
        return self.row("SELECT s.id FROM segments s JOIN collections c ON c.id = s.collection WHERE s.scope = 'VECTOR' AND c.name = ?", name)[0]

    def stored(self, name):
        """All that is stored as a configuration."""
        columns = [column for column in ("config_json_str", "schema_str") if self.row("SELECT count(*) FROM pragma_table_info('collections') WHERE name = ?", column)[0]]
        found = self.row("SELECT %s FROM collections WHERE name = ?" % ", ".join(columns or ["1"]), name)
        segment = self.row("SELECT group_concat(key || quote(str_value) || quote(int_value) || quote(float_value)) FROM (SELECT * FROM segment_metadata WHERE segment_id = ? ORDER BY key)", self.segment(name))
        metadata = self.row("SELECT group_concat(key || quote(str_value) || quote(int_value) || quote(float_value)) FROM (SELECT * FROM collection_metadata WHERE collection_id = (SELECT id FROM collections WHERE name = ?) ORDER BY key)", name)
        return found, segment, metadata


def state(directory):
    """Of each file outside .chromafs its bytes, inode and mtime."""
    result = {}
    for folder, folders, files in os.walk(directory):
        if ".chromafs" in folders:
            folders.remove(".chromafs")
        for name in files:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found = os.stat(path)
                result[path] = (found.st_ino, found.st_mtime_ns, hashlib.sha256(file.read()).hexdigest())
    return result


def same(text, value):
    return text == str(value) if isinstance(value, str) else text != "" and float(text) == value


def check_mount(mount, name, record):
    """config/, info.json, header.bin"""
    expected, shown = expected_parameters(record), mount.config(name)
    with open(mount.path(name, "info.json"), encoding="utf-8") as file:
        told = json.load(file)["configuration"]
    for key, value in expected.items():
        if mount.is_rust and key in PYTHON_ONLY:
            if key in shown:
                fail("%s: config/%s is there" % (name, key))
        elif not same(shown[key], value) or told[key] != value:
            fail("%s: %s is %s in config/ and %s in info.json, and not %s" % (name, key, shown.get(key), told[key], value))
    with open(os.path.join(mount.directory, mount.segment(name), "header.bin"), "rb") as file:
        header = file.read()
    count, = struct.unpack_from("<Q", header, 20)
    m, = struct.unpack_from("<Q", header, 76)
    ef, = struct.unpack_from("<Q", header, 92)
    if (count, m, ef) != (len(record["vectors"]), expected["m"], max(expected["ef_construction"], expected["m"])):
        fail("%s: header.bin has %d elements, M %d, ef_construction %d" % (name, count, m, ef))


def check_result(name, found, options, before):
    for key, value in options.items():
        pair = found["parameters"][key]
        if pair["after"] != value or (key in before and pair["before"] != before[key]):
            fail("%s: the result says %s of %s" % (name, pair, key))
    if set(found["parameters"]) != set(options) or found["lost"] != 0:
        fail("%s: the result is %s" % (name, found))


def usable(mount, options):
    return {key: value for key, value in options.items() if not (mount.is_rust and key in PYTHON_ONLY)}


def dry_run(mount, name, options, before):
    state_before = state(mount.directory)
    check_result(name, mount.rebuild(name, options, " dry_run=1"), options, before)
    if state(mount.directory) != state_before:
        fail("%s: a dry run has changed something" % name)


def rebuild(mount, name, options):
    record = mount.model[name]
    before, segment = expected_parameters(record), mount.segment(name)
    dry_run(mount, name, options, before)
    check_result(name, mount.rebuild(name, options), options, before)
    record["asked"].update(options)
    record["was_cosine"] = record["was_cosine"] or options.get("space") == "cosine"
    if mount.segment(name) == segment:
        fail("%s: no other segment" % name)
    check_mount(mount, name, record)


def twice(mount, name, options):
    """Nothing is written in the configuration, and still the index is made anew."""
    stored, segment = mount.stored(name), mount.segment(name)
    check_result(name, mount.rebuild(name, options), options, options)
    if mount.stored(name) != stored or mount.segment(name) == segment:
        fail("%s: '%s' again: %s became %s" % (name, options, stored, mount.stored(name)))
    check_mount(mount, name, mount.model[name])


def refusals(mount, name):
    for line in ("space=manhattan", "space=", "space=L2", "space=l2,ip", "space=l2%00", "m=1", "m=0", "m=-1", "m=-16", "m=1e1", "m=16.5", "m=99999999999999999999",
                 "m=", "ef_construction=0", "ef_construction=-5", "ef_construction=2147483648", "ef_search=0", "ef_search=x", "num_threads=0", "num_threads=-1",
                 "resize_factor=0.9", "resize_factor=nan", "resize_factor=-1", "resize_factor=inf", "batch_size=0", "batch_size=2", "batch_size=-1",
                 "sync_threshold=1", "sync_threshold=0", "sync_threshold=-3", "m=16 m=16", "M=16", "hnsw:M=16", "m", "# m=16", "automatically_purge=true"):
        mount.refused(name, line)
    if mount.is_rust:
        for option, value in (("num_threads", 2), ("resize_factor", 1.5), ("batch_size", 5)):
            mount.refused(name, "%s=%s" % (option, value), option)
            mount.refused(name, "m=20 %s=%s" % (option, value), option)
    else:
        mount.refused(name, "sync_threshold=2", "sync_threshold")
        mount.refused(name, "batch_size=41", "batch_size")
        mount.refused(name, "sync_threshold=9", "batch_size")
        mount.refused(name, "batch_size=50 sync_threshold=49 m=20", "batch_size")


def operate(directory, mount_path, path, version):
    model = load(path)
    mount = Mount(directory, mount_path, model, tuple(map(int, version.split("."))))
    for record in model.values():
        record["operated"] = [int(part) for part in version.split(".")]
    refusals(mount, "untouched")
    for name, (_, lines) in collections().items():
        for options in lines:
            used = usable(mount, options)
            if used or not options:
                rebuild(mount, name, used)
    for name in ("l2-cosine", "cosine-l2", "plain", "only-m", "back"):
        twice(mount, name, usable(mount, {key: expected_parameters(model[name])[key] for key in model[name]["asked"]}))
    save(path, model)


def mend(directory, mount_path, path, version, space):
    """The originals are there, and would not be any more without being asked for."""
    model = load(path)
    mount = Mount(directory, mount_path, model, tuple(map(int, version.split("."))))
    for line in ("1", "m=20", "dry_run=1"):
        mount.refused("misread", line, "space=cosine", errno.EILSEQ)
    rebuild(mount, "misread", {"space": space})
    if space == "l2":
        model["misread"]["asked"] = {}  # it is what 1.x has taken it for
    save(path, model)


def main():
    commands = {"fill": fill, "more": more, "modify": modify, "misread": misread, "check": check, "operate": operate, "mend": mend}
    if len(sys.argv) < 4 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
