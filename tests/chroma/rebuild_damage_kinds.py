"""What can happen to a vector segment and its position. Each kind says in the case what it leaves: `listed`, `gone`, `changed`, `lengths`."""
import copy
import glob
import os
import struct

from rebuild_damage_case import read_pickle, write_pickle

HUGE = 1 << 40


def no_damage(case):
    del case


def links_cut(case):
    case.cut("link_lists.bin", os.path.getsize(case.path("link_lists.bin")) * 2 // 3)


def links_emptied(case):
    case.cut("link_lists.bin", 0)


def links_huge(case):
    case.cut("link_lists.bin", HUGE)


def links_torn(case):
    case.put("link_lists.bin", 8, b"\xfc\xff\xff\x7f")


def header_empty(case):
    case.cut("header.bin", 0)


def header_missing(case):
    os.unlink(case.path("header.bin"))


def header_count_high(case):
    case.put("header.bin", 12, struct.pack("<QQ", 1 << 40, 1 << 40))


def header_count_low(case):
    case.put("header.bin", 20, struct.pack("<Q", 3))


def header_count_zero(case):
    case.put("header.bin", 20, struct.pack("<Q", 0))


def header_entry(case):
    case.put("header.bin", 56, struct.pack("<I", case.header["count"] + 7))


def header_version(case):
    case.put("header.bin", 0, struct.pack("<i", 7))


def header_sizes(case):
    """Of another M, and consistent: the labels show that it is another one."""
    m = case.header["m"] + 3
    vector = case.header["label_offset"] - case.header["data_offset"]
    case.put("header.bin", 28, struct.pack("<QQQ", 8 * m + 4 + vector + 8, 8 * m + 4 + vector, 8 * m + 4))
    case.put("header.bin", 60, struct.pack("<QQQ", m, 2 * m, m))


def level0_at(case, size):
    case.cut("data_level0.bin", size)
    case.gone = {i for i in range(len(case.elements)) if (i + 1) * case.header["record_size"] > size}


def level0_boundary(case):
    level0_at(case, 17 * case.header["record_size"])


def level0_boundary_first(case):
    level0_at(case, case.header["record_size"])


def level0_boundary_last(case):
    level0_at(case, (len(case.elements) - 1) * case.header["record_size"])


def level0_inside(case):
    level0_at(case, 11 * case.header["record_size"] + case.header["data_offset"] + 5)


def level0_inside_label(case):
    level0_at(case, 20 * case.header["record_size"] - 4)


def level0_empty(case):
    level0_at(case, 0)


def level0_missing(case):
    os.unlink(case.path("data_level0.bin"))
    case.gone = set(range(len(case.elements)))


def level0_garbage(case):
    at = len(case.elements) * case.header["record_size"]
    case.put("data_level0.bin", at, case.random.randbytes(40 * case.header["record_size"] + 13))


def copies(case, changed):
    size, count = case.header["record_size"], len(case.elements)
    level0 = case.read("data_level0.bin")[:size * count]
    for n, i in enumerate((2, 8, 15, count - 1)):
        record = bytearray(level0[i * size:(i + 1) * size])
        if changed:
            record[case.header["data_offset"]:case.header["label_offset"]] = case.elements[(i + 1) % count]["vector"]
        case.put("data_level0.bin", (count + n) * size, record)


def level0_copies(case):
    copies(case, False)


def level0_other_copies(case):
    copies(case, True)


def level0_zeros(case):
    """A hole in the midst, as a page that never came to the disk leaves it."""
    size = case.header["record_size"]
    case.put("data_level0.bin", 5 * size, bytes(6 * size))
    case.gone = set(range(5, 11))


def level0_scrambled(case):
    size = case.header["record_size"]
    case.put("data_level0.bin", 3 * size, case.random.randbytes(5 * size))
    case.gone = set(range(3, 8))


def level0_torn_vector(case):
    """For cosine no vector of an index; else nobody can know."""
    at, size = case.header["data_offset"], case.header["record_size"]
    vector = struct.pack("<6f", 3, -4, 5, 0.5, 6, -7)
    case.put("data_level0.bin", 12 * size + at, vector)
    if case.space == "cosine":
        case.gone = {12}
    else:
        case.changed = {12: vector}


def length_garbage(case):
    """What no norm can be, of vectors that are whole."""
    bad = [float("nan"), float("inf"), -1.0, 0.0, float("-inf"), 1e-44, 3e-30]
    case.lengths = [None] * len(case.elements)
    case.write("length.bin", struct.pack("<%df" % len(case.elements), *(bad[i % len(bad)] for i in range(len(case.elements)))))


def length_cut(case):
    case.cut("length.bin", 4 * 9 + 2)
    case.lengths = [length if i < 9 else None for i, length in enumerate(case.lengths)]


def length_empty(case):
    case.cut("length.bin", 0)
    case.lengths = [None] * len(case.elements)


def length_missing(case):
    os.unlink(case.path("length.bin"))
    case.lengths = [None] * len(case.elements)


def pickle_cut(case):
    data = case.read("index_metadata.pickle")
    case.cut("index_metadata.pickle", len(data) * 3 // 5)
    case.listed = None


def pickle_empty(case):
    case.cut("index_metadata.pickle", 0)
    case.listed = None


def pickle_garbage(case):
    case.write("index_metadata.pickle", case.random.randbytes(900))
    case.listed = None


def pickle_missing(case):
    os.unlink(case.path("index_metadata.pickle"))
    case.listed = None


def pickle_older(case):
    with open(os.path.join(case.older, case.name), "rb") as file:
        case.write("index_metadata.pickle", file.read())
    case.listed = read_pickle(case.path("index_metadata.pickle"))["id_to_label"]


def relabel(case, change):
    state = copy.deepcopy(case.state)
    change(state)
    state["label_to_id"] = {label: record_id for record_id, label in state["id_to_label"].items()}
    write_pickle(case.path("index_metadata.pickle"), state, case.is_instance)
    case.listed = state["id_to_label"]


def pickle_labels(case):
    """Of a record that is there, of one that is only in the log, and of none."""
    def change(state):
        last = state["total_elements_added"]
        for n, record_id in enumerate(("a14", "c00", "ghost")):
            state["id_to_label"][record_id] = last + 1 + n
            if state["id_to_seq_id"]:
                state["id_to_seq_id"].setdefault(record_id, 1)
        state["total_elements_added"] = last + 3
    relabel(case, change)


def pickle_without_dimension(case):
    def change(state):
        state["dimensionality"] = None
    relabel(case, change)


def pickle_total_low(case):
    def change(state):
        state["total_elements_added"] = len(state["id_to_label"]) * 6 // 10
    relabel(case, change)


def pickle_total_zero(case):
    def change(state):
        state["total_elements_added"] = 0
    relabel(case, change)


def has_position_row(case):
    return case.db.execute("SELECT count(*) FROM max_seq_id WHERE segment_id = ?", (case.segments["VECTOR"],)).fetchone()[0] == 1


def position_missing(case):
    """Before 0.5.6 it is in the pickle."""
    if has_position_row(case):
        case.db.execute("DELETE FROM max_seq_id WHERE segment_id = ?", (case.segments["VECTOR"],))
    else:
        relabel(case, lambda state: state.update(max_seq_id=None))


def move_position(case, position):
    if has_position_row(case):
        old = case.db.execute("SELECT typeof(seq_id) FROM max_seq_id WHERE segment_id = ?", (case.segments["VECTOR"],)).fetchone()[0]
        case.db.execute("UPDATE max_seq_id SET seq_id = ? WHERE segment_id = ?",
                        (position if old == "integer" else position.to_bytes(8, "big"), case.segments["VECTOR"]))
    else:
        relabel(case, lambda state: state.update(max_seq_id=position))


def position_ahead(case):
    """Of the last row, which the index does not have."""
    move_position(case, case.rows[-1][0])


def position_behind(case):
    move_position(case, case.rows[25][0])


def directory_missing(case):
    for path in glob.glob(case.path("*")):
        os.unlink(path)
    os.rmdir(case.directory)
    case.listed = None


def directory_empty(case):
    for path in glob.glob(case.path("*")):
        os.unlink(path)
    case.listed = None


def all_torn(case):
    header_empty(case)
    links_huge(case)
    level0_inside(case)
    length_cut(case)
    pickle_total_low(case)


def header_and_pickle(case):
    """The records' length is to be found with the few labels of an old pickle."""
    header_missing(case)
    pickle_older(case)


SPACES = ("l2", "cosine", "ip")
IN_ALL_SPACES = (no_damage, level0_boundary, level0_inside, level0_torn_vector, length_garbage, length_cut)
DAMAGES = (
    no_damage, links_cut, links_emptied, links_huge, links_torn, header_empty, header_missing, header_count_high, header_count_low,
    header_count_zero, header_entry, header_version, header_sizes, level0_boundary, level0_boundary_first, level0_boundary_last,
    level0_inside, level0_inside_label, level0_empty, level0_missing, level0_garbage, level0_copies, level0_other_copies, level0_zeros,
    level0_scrambled, level0_torn_vector, length_garbage, length_cut, length_empty, length_missing, pickle_cut, pickle_empty, pickle_garbage,
    pickle_missing, pickle_older, pickle_labels, pickle_without_dimension, pickle_total_low, pickle_total_zero, position_missing,
    position_ahead, position_behind, directory_missing, directory_empty, all_torn, header_and_pickle)
WITHOUT_LOG = (no_damage, links_emptied, level0_boundary, pickle_older, position_missing, directory_missing)


def cases():
    """(name of the collection, damage, space, log)"""
    for n, damage in enumerate(DAMAGES):
        is_norm = damage.__name__.startswith("length")
        for space in SPACES if damage in IN_ALL_SPACES else ("cosine",) if is_norm else (SPACES[n % 3],):
            for log in ("whole", "purged") + (("emptied",) if damage in WITHOUT_LOG else ()):
                yield "%s.%s.%s" % (damage.__name__, space, log), damage, space, log
