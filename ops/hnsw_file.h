/*
 * The four binary files of a vector segment, as chroma-hnswlib and the hnswlib crate write them (FORMAT 6.1 to 6.4): little-endian,
 * persistence version 1, the same layout in every Chroma from 0.4.0 to 1.5.9.
 *
 *   header.bin        100 bytes, the counts and sizes that the others are read by
 *   data_level0.bin   N records of S bytes: level-0 links, the deleted mark, the vector, the label; garbage may follow
 *   length.bin        N floats: norms of the original vectors (cosine only); garbage may follow
 *   link_lists.bin    N entries: links of the levels above 0; ends exactly with the last entry
 *
 * - Reading is pread in pieces of a few hundred KiB whatever the counts say; nothing is allocated by a count of the file before that
 *   count was checked against the size of a file that holds as much.
 * - Functions check what they read against the header and each other and stop at the first thing that is wrong: -EILSEQ (wrong) or
 *   -EIO (ends too early), with a sentence that names file, element and value. Those that take `struct hnsw_faults` can be told to go on, and then
 *   fail only where nothing behind can be read: that was counted, too. -ENOMEM is always a failure, and its sentence in f->e.
 * - Not thread-safe on one descriptor's data being changed: a caller who must know compares file stamps before and after.
 */
#ifndef OPS_HNSW_FILE_H
#define OPS_HNSW_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/hnsw_faults.h"
#include "ops/hnsw_links.h"

#define HNSW_HEADER_SIZE 100u
#define HNSW_NO_ENTRY_POINT UINT32_MAX

struct hnsw_header {
        uint64_t max_elements; /* allocated capacity, in elements */
        uint64_t count;        /* N: elements in the index, deleted ones included */
        uint64_t record_size;  /* S: bytes of a record of data_level0.bin */
        uint64_t label_offset; /* bytes into a record */
        uint64_t data_offset;  /* bytes into a record */
        int32_t max_level;     /* -1 when empty */
        uint32_t entry_point;  /* internal id, HNSW_NO_ENTRY_POINT when empty */
        uint64_t m;            /* M: links of a node on a level above 0; twice as many on level 0 */
        double mult;           /* 1/ln(M) */
        uint64_t ef_construction;
        uint32_t dimension; /* derived: (label_offset - data_offset) / 4 */
};

struct hnsw_record {
        uint32_t internal_id;
        bool deleted;
        uint64_t label;
        uint16_t link_count;         /* level 0, at most 2*M, checked */
        const unsigned char *links;  /* link_count little-endian u32, unaligned; each below N, checked */
        const unsigned char *vector; /* dimension little-endian floats, unaligned */
};

/* Decodes and checks a header: version, every size against M and the dimension, count <= max_elements, entry point below count, levels
   possible. 0 or -EILSEQ. Source: FORMAT 6.1. */
int hnsw_header_decode(const unsigned char bytes[HNSW_HEADER_SIZE], struct hnsw_header *ret, struct error *e);

/* Reads header.bin from an open descriptor: exactly 100 bytes. */
int hnsw_header_read(int fd, struct hnsw_header *ret, struct error *e);

/* Decodes and checks one record of header->record_size bytes: its number of links, marks, and links (below N, no self link). 0 or -EILSEQ. */
int hnsw_record_decode(const unsigned char *bytes, uint32_t id, const struct hnsw_header *header, struct hnsw_record *ret,
                       struct error *e);

/* Called for each record in the order of internal ids; the record is valid during the call only. A value other than 0 ends the scan and
   is returned by it. */
typedef int hnsw_record_fn(void *context, const struct hnsw_record *record);

/* Reads the N records of data_level0.bin, checks links (below N, no self link, count <= 2M) and hands each to `fn`. Labels are not
   checked here. */
int hnsw_level0_scan(int fd, const struct hnsw_header *header, hnsw_record_fn *fn, void *context, struct error *e);

/* A scan whose faults go to `f`, and which looks for doubles when there is a `set` for 2M links. When it goes on behind a bad link, `fn` sees it; a list
   that has more links than it has room for is an empty one. */
int hnsw_level0_read(int fd, const struct hnsw_header *header, struct hnsw_link_set *set, hnsw_record_fn *fn, void *context,
                     struct hnsw_faults *f);

/* Size of data_level0.bin against N: what a caller checks before it takes memory for N things. The scan does it too. */
int hnsw_level0_size_check(int fd, const struct hnsw_header *header, struct error *e);

/* A scan that also looks for a link that one record has twice: slower, for a check and not for a count. */
int hnsw_level0_check(int fd, const struct hnsw_header *header, struct error *e);

/* Walks link_lists.bin: N entries, sizes possible for M, links below N, the highest level is max_level, the entry point has it, the
   walk ends at the end of the file. */
int hnsw_link_lists_check(int fd, const struct hnsw_header *header, struct error *e);

/* A list of link_lists.bin, valid during the call only: `count` links, at most M, in `links`. A value other than 0 ends the walk. */
typedef int hnsw_upper_fn(void *context, uint32_t id, uint32_t level, uint32_t count, const unsigned char *links);

/* The same with faults, and each list to `fn` (may be NULL), in the order of internal ids and from level 1 upwards. When it goes on behind a bad link, `fn` sees it; a list
   that has more links than it has room for is an empty one. `levels` gets
   the level of each element: N bytes, zeroed by the caller. */
int hnsw_link_lists_read(int fd, const struct hnsw_header *header, unsigned char *levels, hnsw_upper_fn *fn, void *context,
                         struct hnsw_faults *f);

/* Size of data_level0.bin against N. */
int hnsw_level0_size(int fd, const struct hnsw_header *header, struct hnsw_faults *f);

/* Size of link_lists.bin against N: before a caller takes memory for the levels. */
int hnsw_link_lists_size_check(int fd, const struct hnsw_header *header, struct hnsw_faults *f);

/* Size of length.bin against N. */
int hnsw_length_check(int fd, const struct hnsw_header *header, struct error *e);
int hnsw_length_read(int fd, const struct hnsw_header *header, struct hnsw_faults *f);

/* Notes a failure to read a file, which `failure` tells of: its code. */
int hnsw_fault_read(struct hnsw_faults *f, const struct error *failure);

#endif
