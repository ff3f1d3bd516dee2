/*
 * The hash of what is stored: of the classes, numbers and lengths of a row's values, and of the hashes of the bytes that count.
 */
#ifndef OPS_WAL_ROW_HASH_H
#define OPS_WAL_ROW_HASH_H

#include "ops/wal/row.h"

struct row_digest { /* hashed as it lies in memory: without holes */
        int64_t seq_id;
        uint64_t piece; /* its number and one, 0 for a whole row */
        struct {
                uint64_t class;
                uint64_t number;  /* the integer, the real's bits, or the length */
                uint64_t content; /* the hash of the bytes of a text or blob; 0 where they don't count */
        } columns[WAL_COLUMNS];
};

void row_digest_init(struct row_digest *ret, const struct wal_row *row); /* all but piece and contents, which are 0 */
uint64_t row_digest_hash(const struct row_digest *digest);
uint64_t row_hash_bytes(const char *bytes, size_t len);

/* row_hash_bytes() for a machine that has AVX2 (x86-64). */
uint64_t row_hash_avx2(const char *bytes, size_t len);

#endif
