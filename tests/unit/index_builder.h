/*
 * A small valid index, as the four binary files of a vector segment, for tests to damage.
 *
 * Element i has label i+1 and vector (i, i+1, …); it links to the next elements around the ring, as many as the options say. Element 0 is
 * the entry point and on level `max_level`; every fourth one is on level 1. Upper lists link to all others on the level, as room allows.
 */
#ifndef TESTS_INDEX_BUILDER_H
#define TESTS_INDEX_BUILDER_H

#include <stddef.h>
#include <stdint.h>

#include "tests/unit/byte_buffer.h"

struct index_options {
        uint32_t count, m, dimension, links;
        int32_t max_level;      /* 0 or 1 */
        uint32_t deleted_every; /* each element whose number is a multiple of this, from this one on, is deleted; 0: none */
};

struct index_image {
        struct byte_buffer header, level0, lengths, link_lists;
        uint64_t record_size, label_offset;
};

/* Offsets of fields of header.bin. */
enum {
        HEADER_VERSION = 0,
        HEADER_LINKS_OFFSET = 4,
        HEADER_MAX_ELEMENTS = 12,
        HEADER_COUNT = 20,
        HEADER_RECORD_SIZE = 28,
        HEADER_LABEL_OFFSET = 36,
        HEADER_DATA_OFFSET = 44,
        HEADER_MAX_LEVEL = 52,
        HEADER_ENTRY_POINT = 56,
        HEADER_MAX_M = 60,
        HEADER_MAX_M0 = 68,
        HEADER_M = 76,
        HEADER_MULT = 84,
        HEADER_EF_CONSTRUCTION = 92,
};

extern const struct index_options index_small; /* 20 elements, M 4, dimension 3, 6 links, level 1, every 5th deleted */

struct index_image index_build(const struct index_options *options);
void index_files_clear(struct index_image *image);

/* Where a list of an element on level 1 begins in link_lists.bin (its number of links), 0 when it has none. */
size_t index_upper_list(const struct index_image *image, const struct index_options *options, uint32_t id);

#endif
