#!/usr/bin/env python3
"""The graph of a vector segment, read by its four files alone (FORMAT of chroma-hnswlib), and two of them compared.

usage: hnsw_files.py PAIRS    lines SEGMENT OTHER FIELD..., what must be the same: level, links, deleted, vector, label, length

Exits with 1 and a sentence for each of the first differences.
"""
import struct
import sys

HEADER = struct.Struct("<iQQQQQQiIQQQdQ")
NAMES = ("version", "offset", "max_elements", "count", "record_size", "label_offset", "data_offset", "max_level",
         "entry_point", "max_m", "max_m0", "m", "mult", "ef_construction")
MUST_AGREE = [name for name in NAMES if name != "max_elements"]


def read(segment, name):
    with open("%s/%s" % (segment, name), "rb") as file:
        return file.read()


def links_of(data, offset):
    count, marks = struct.unpack_from("<HH", data, offset)
    return marks, struct.unpack_from("<%dI" % count, data, offset + 4)


def upper_lists(data, header):
    """For each element the lists of its levels from 1 on."""
    size, offset, lists = 4 * header["m"] + 4, 0, []
    for _ in range(header["count"]):
        length = struct.unpack_from("<I", data, offset)[0]
        lists.append([links_of(data, offset + 4 + at)[1] for at in range(0, length, size)])
        offset += 4 + length
    if offset != len(data):
        sys.exit("link_lists.bin has %d bytes behind its entries" % (len(data) - offset))
    return lists


def load(segment):
    header = dict(zip(NAMES, HEADER.unpack(read(segment, "header.bin"))))
    level0, lengths = read(segment, "data_level0.bin"), read(segment, "length.bin")
    upper, elements = upper_lists(read(segment, "link_lists.bin"), header), []
    for i in range(header["count"]):
        at = i * header["record_size"]
        marks, links = links_of(level0, at)
        elements.append({"links": [links] + upper[i], "level": len(upper[i]), "deleted": marks,
                         "vector": level0[at + header["data_offset"]:at + header["label_offset"]],
                         "label": struct.unpack_from("<Q", level0, at + header["label_offset"])[0],
                         "length": lengths[4 * i:4 * i + 4]})
    return header, elements


def differences(one, other, fields):
    for name in MUST_AGREE:
        if one[0][name] != other[0][name]:
            yield "%s: %s and %s" % (name, one[0][name], other[0][name])
    for i, (a, b) in enumerate(zip(one[1], other[1])):
        for field in fields:
            if a[field] != b[field]:
                yield "element %d, %s: %s and %s" % (i, field, a[field], b[field])


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        pairs = [line.split() for line in file]
    wrong = 0
    for one, other, *fields in pairs:
        found = list(differences(load(one), load(other), fields))
        for sentence in found[:5]:
            print("%s: %s" % (one, sentence[:400]))
        wrong += bool(found)
    if wrong or not pairs:
        sys.exit("%d of %d pairs differ" % (wrong, len(pairs)))


if __name__ == "__main__":
    main()
