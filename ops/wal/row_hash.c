/*
 * Hashes of hashes: XXH3 in one call is faster than fed piece by piece, and the table of what a row holds tells a short value from the beginning of its neighbour. Not cryptographic: it tells that a
 * row is another one, not that somebody made it look the same.
 */
#include "ops/wal/row_hash.h"

#include <string.h>
#include <xxhash.h>

#include "ops/wal/kernels.h"
#include "ops/wal/row_part.h"

#define SHORT 512 /* no other instructions are faster for so few bytes */

_Static_assert(sizeof(struct row_digest) == 8 * (2 + 3 * WAL_COLUMNS), "no holes");

void row_digest_init(struct row_digest *ret, const struct wal_row *row)
{
        *ret = (struct row_digest){ .seq_id = row->seq_id };
        for (int i = 0; i < WAL_COLUMNS; i++) {
                const struct wal_value *value = &row->columns[i];
                ret->columns[i].class = value->class;
                if (value_has_bytes(value))
                        ret->columns[i].number = value->len;
                else if (value->class == WAL_INTEGER)
                        ret->columns[i].number = (uint64_t) value->integer;
                else if (value->class == WAL_REAL)
                        memcpy(&ret->columns[i].number, &value->real, sizeof value->real);
        }
}

uint64_t row_hash_bytes(const char *bytes, size_t len)
{
#if KERNELS_X86
        if (len > SHORT && kernel_usable(KERNEL_AVX2))
                return row_hash_avx2(bytes, len);
#endif
        return len > 0 ? XXH3_64bits(bytes, len) : 0;
}

uint64_t row_digest_hash(const struct row_digest *digest)
{
        return XXH3_64bits(digest, sizeof *digest);
}

uint64_t wal_row_hash(const struct wal_row *row)
{
        struct row_digest digest;
        row_digest_init(&digest, row);
        for (int i = 0; i < WAL_COLUMNS; i++)
                if (value_has_bytes(&row->columns[i]))
                        digest.columns[i].content = row_hash_bytes(row->columns[i].bytes, (size_t) row->columns[i].len);
        return row_digest_hash(&digest);
}
