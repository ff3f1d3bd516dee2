/*
 * Writes the five files of a large valid vector segment, to measure with.
 *
 * usage: make_index DIRECTORY ELEMENTS DIMENSION DELETED_EVERY
 *
 * Element i (from 0) has label i + 1 and the id "id-<i + 1>"; each whose label is a multiple of DELETED_EVERY is marked deleted and unknown
 * to the pickle, which has the shape of Chroma 0.6.3. Links are random, as many as there is room for, or elements; every 16th element is
 * on level 1.
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/hnsw_file.h"

#define M 16u
#define LEVEL_STEP 16u /* every so many elements one is on level 1 */

struct shape {
        const char *directory;
        uint32_t elements, dimension, deleted_every;
};

static FILE *create(const struct shape *s, const char *name)
{
        char path[4096];
        (void) snprintf(path, sizeof(path), "%s/%s", s->directory, name);
        FILE *f = fopen(path, "wbe");
        if (f == NULL) {
                (void) fprintf(stderr, "make_index: %s: %s\n", path, strerror(errno));
                exit(EXIT_FAILURE);
        }
        return f;
}

static void finish(FILE *f)
{
        if (ferror(f) != 0 || fclose(f) != 0) {
                (void) fprintf(stderr, "make_index: writing failed\n");
                exit(EXIT_FAILURE);
        }
}

static void put(FILE *f, uint64_t value, size_t size)
{
        for (size_t i = 0; i < size; i++)
                (void) fputc((int) (value >> (8 * i) & 0xff), f);
}

static void put_zeros(FILE *f, uint32_t count)
{
        for (uint32_t i = 0; i < count; i++)
                (void) fputc(0, f);
}

/* The same numbers on every machine. */
static uint32_t next_random(void)
{
        static uint64_t state = 88172645463325252u;
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return (uint32_t) (state >> 16);
}

static void write_header(const struct shape *s)
{
        FILE *f = create(s, "header.bin");
        uint64_t data_offset = 8 * M + 4, label_offset = data_offset + 4 * (uint64_t) s->dimension, mult_bits;
        double mult = 1 / log(M);
        memcpy(&mult_bits, &mult, sizeof(mult_bits));
        put(f, 1, 4);                  /* version */
        put(f, 0, 8);                  /* offset of the links */
        put(f, s->elements + 1000, 8); /* capacity */
        put(f, s->elements, 8);
        put(f, label_offset + 8, 8); /* bytes of a record */
        put(f, label_offset, 8);
        put(f, data_offset, 8);
        put(f, 1, 4); /* highest level */
        put(f, 0, 4); /* entry point */
        put(f, M, 8);
        put(f, 2 * M, 8);
        put(f, M, 8);
        put(f, mult_bits, 8);
        put(f, 100, 8); /* ef_construction */
        finish(f);
}

static uint32_t link_count(uint32_t room, uint32_t elements, uint32_t step)
{
        uint32_t others = (elements - 1) / step;
        return others < room ? others : room;
}

/* To others whose numbers are multiples of `step`, as the element's own is: one out of each of as many parts, so that none is there twice. */
static void put_links(FILE *f, uint32_t room, uint32_t elements, uint32_t step, uint32_t self)
{
        uint32_t others = (elements - 1) / step, count = link_count(room, elements, step), part = count == 0 ? 0 : others / count;
        for (uint32_t i = 0; i < count; i++)
                put(f, (self / step + 1 + i * part + next_random() % part) % (others + 1) * step, 4);
        put_zeros(f, 4 * (room - count));
}

static void write_records(const struct shape *s)
{
        FILE *f = create(s, "data_level0.bin");
        for (uint32_t label = 1; label <= s->elements; label++) {
                put(f, link_count(2 * M, s->elements, 1), 2);
                put(f, label % s->deleted_every == 0, 2);
                put_links(f, 2 * M, s->elements, 1, label - 1);
                for (uint32_t i = 0; i < s->dimension; i++)
                        put(f, 0x3f000000u | (next_random() & 0x7fffff), 4); /* from 0.5 to 1 */
                put(f, label, 8);
        }
        finish(f);
}

static void write_lengths_and_lists(const struct shape *s)
{
        FILE *lengths = create(s, "length.bin"), *lists = create(s, "link_lists.bin");
        for (uint32_t i = 0; i < s->elements; i++) {
                put(lengths, 0x3f800000u, 4);
                bool upper = i % LEVEL_STEP == 0;
                put(lists, upper ? 4 * M + 4 : 0, 4);
                if (upper) {
                        put(lists, link_count(M, s->elements, LEVEL_STEP), 4);
                        put_links(lists, M, s->elements, LEVEL_STEP, i);
                }
        }
        finish(lengths);
        finish(lists);
}

static void put_string(FILE *f, const char *text)
{
        put(f, 'X', 1);
        put(f, strlen(text), 4);
        (void) fputs(text, f);
}

static void put_int(FILE *f, uint32_t value)
{
        put(f, 'J', 1);
        put(f, value, 4);
}

static void put_map(FILE *f, const struct shape *s, const char *key, bool label_first)
{
        put_string(f, key);
        (void) fputs("}(", f);
        for (uint32_t label = 1; label <= s->elements; label++) {
                char id[32];
                (void) snprintf(id, sizeof(id), "id-%u", label);
                if (label % s->deleted_every == 0)
                        continue;
                if (label_first)
                        put_int(f, label);
                put_string(f, id);
                if (!label_first)
                        put_int(f, label);
        }
        (void) fputc('u', f);
}

static void write_pickle(const struct shape *s)
{
        FILE *f = create(s, "index_metadata.pickle");
        (void) fputs("\x80\x02"
                     "cchromadb.segment.impl.vector.local_persistent_hnsw\nPersistentData\n)\x81}(",
                     f);
        put_string(f, "dimensionality");
        put_int(f, s->dimension);
        put_string(f, "total_elements_added");
        put_int(f, s->elements);
        put_map(f, s, "id_to_label", false);
        put_map(f, s, "label_to_id", true);
        put_map(f, s, "id_to_seq_id", false);
        (void) fputs("ub.", f);
        finish(f);
}

static uint32_t number(const char *text)
{
        char *end;
        unsigned long value = strtoul(text, &end, 10);
        if (*end != '\0' || value == 0 || value > 100000000) {
                (void) fprintf(stderr, "make_index: %s is no number that will do\n", text);
                exit(2);
        }
        return (uint32_t) value;
}

int main(int argc, char **argv)
{
        if (argc != 5) {
                (void) fprintf(stderr, "usage: make_index DIRECTORY ELEMENTS DIMENSION DELETED_EVERY\n");
                return 2;
        }
        struct shape s = { argv[1], number(argv[2]), number(argv[3]), number(argv[4]) };
        write_header(&s);
        write_records(&s);
        write_lengths_and_lists(&s);
        write_pickle(&s);
        return EXIT_SUCCESS;
}
