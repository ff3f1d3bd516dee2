/* The five files of a vector segment in memory, right at first, and one way to damage them for each kind of finding. */
#ifndef TESTS_SEGMENT_FILES_H
#define TESTS_SEGMENT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/index_summary.h"
#include "tests/unit/byte_buffer.h"

#define SEGMENT_FILES_ID "00000000-0000-4000-8000-000000000001"

struct segment_files {
        struct byte_buffer files[INDEX_FILE_COUNT];
        uint64_t count, record, label_offset, m;
};

/* Of an existing directory; of index_small, with a pickle. segment_clear() for each. */
struct segment_files segment_read(int dirfd, const char *directory);
struct segment_files segment_small(void);
struct segment_files segment_copy(const struct segment_files *s);
void segment_clear(struct segment_files *s);

/* As the directory SEGMENT_FILES_ID, an hour old. */
void segment_write(int dirfd, const struct segment_files *s);

/* A little-endian number at an offset of a file. */
uint64_t segment_get(const struct byte_buffer *b, size_t offset, size_t width);

/* Sets one at an offset of an element's record. */
void segment_poke(struct segment_files *s, uint64_t id, uint64_t offset, uint64_t value, size_t width);

void segment_damage_header(struct segment_files *s);
void segment_damage_links_end(struct segment_files *s);
void segment_damage_list(struct segment_files *s);

#define KIND(kind) (1u << (kind))

/* Needs elements that are deleted, some that are not, and some above level 0. */
struct segment_damage {
        const char *name;
        void (*make)(struct segment_files *s);
        unsigned kinds;           /* KIND() of what is found then */
        bool complete, reach_too; /* the elements behind what was damaged may be out of reach */
};

extern const struct segment_damage segment_damages[];
extern const size_t segment_damage_count;

#endif
