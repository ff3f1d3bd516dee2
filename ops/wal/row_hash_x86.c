/*
 * The hash of a vector, with instructions that libxxhash uses only where it was built for one machine: twice as fast. It is the same hash.
 */
#include "ops/wal/row_hash.h"

#include "ops/wal/kernels.h"

#if KERNELS_X86
#include <immintrin.h>
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif
#define XXH_INLINE_ALL
#define XXH_VECTOR 2 /* XXH_AVX2 */
#include <xxhash.h>

uint64_t row_hash_avx2(const char *bytes, size_t len)
{
        return XXH3_64bits(bytes, len);
}

#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
