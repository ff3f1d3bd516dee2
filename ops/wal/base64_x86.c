/*
 * Base64 with vector instructions: the bytes of each group of three are laid into one 32-bit lane, its four sextets are shifted into the lane's four bytes,
 * and all of them become characters at once. (After W. Muła and D. Lemire, "Faster Base64 Encoding and Decoding Using AVX2 Instructions", 2018, and
 * "Base64 encoding and decoding at almost the speed of a memory copy", 2020.)
 */
#include "ops/wal/base64_x86.h"

#include "ops/wal/kernels.h"

#if KERNELS_X86

#include <immintrin.h>
#include <stdint.h>

/* Where the bytes of a lane come from: the second, first, third and second one of its group. */
#define LANE(group) 3 * (group) + 1, 3 * (group), 3 * (group) + 2, 3 * (group) + 1
#define LANES(group) LANE(group), LANE((group) + 1), LANE((group) + 2), LANE((group) + 3)

/* Sextets to characters: to each is added what the range that it is in lies above it. */
TARGET_AVX2 static inline __m256i characters(__m256i sextets)
{
        const __m256i above =
                _mm256_broadcastsi128_si256(_mm_setr_epi8('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                                                          '0' - 52, '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0));
        __m256i range = _mm256_subs_epu8(sextets, _mm256_set1_epi8(51)); /* 0 for letters, 1 to 12 for what follows */
        __m256i upper = _mm256_cmpgt_epi8(_mm256_set1_epi8(26), sextets);
        range = _mm256_or_si256(range, _mm256_and_si256(upper, _mm256_set1_epi8(13)));
        return _mm256_add_epi8(sextets, _mm256_shuffle_epi8(above, range));
}

/* Two multiplications shift the four sextets of a lane, each by its own distance. */
TARGET_AVX2 static inline __m256i sextets(__m256i lanes)
{
        __m256i odd = _mm256_and_si256(lanes, _mm256_set1_epi32(0x0fc0fc00));
        __m256i even = _mm256_and_si256(lanes, _mm256_set1_epi32(0x003f03f0));
        return _mm256_or_si256(_mm256_mulhi_epu16(odd, _mm256_set1_epi32(0x04000040)),
                               _mm256_mullo_epi16(even, _mm256_set1_epi32(0x01000010)));
}

TARGET_AVX2 size_t base64_groups_avx2(const unsigned char *bytes, size_t len, char *ret)
{
        const __m256i spread = _mm256_broadcastsi128_si256(_mm_setr_epi8(LANES(0)));
        size_t done = 0;
        for (; len - done >= 28; done += 24, ret += 32) { /* 24 are used: the second half begins at the 12th, and 16 are read */
                __m128i low = _mm_loadu_si128((const __m128i *) (bytes + done));
                __m128i high = _mm_loadu_si128((const __m128i *) (bytes + done + 12));
                __m256i lanes = _mm256_shuffle_epi8(_mm256_set_m128i(high, low), spread);
                _mm256_storeu_si256((__m256i *) ret, characters(sextets(lanes)));
        }
        return done;
}

static const uint8_t lanes512[64] = { LANES(0), LANES(4), LANES(8), LANES(12) };
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* A multishift takes eight bits of a 64-bit lane from any bit on; the permutation looks at the lower six of them. */
TARGET_AVX512 static inline __m512i encode512(__m512i block)
{
        const __m512i shifts = _mm512_set1_epi64(0x3036242a1016040a);
        __m512i lanes = _mm512_permutexvar_epi8(_mm512_loadu_si512(lanes512), block);
        return _mm512_permutexvar_epi8(_mm512_multishift_epi64_epi8(shifts, lanes), _mm512_loadu_si512(alphabet));
}

TARGET_AVX512 void base64_groups_avx512(const unsigned char *bytes, size_t len, char *ret)
{
        const __mmask64 block = (UINT64_C(1) << 48) - 1;
        size_t done = 0;
        for (; len - done >= 48; done += 48, ret += 64)
                _mm512_storeu_si512(ret, encode512(_mm512_maskz_loadu_epi8(block, bytes + done)));
        size_t rest = len - done, characters = (rest * 4 + 2) / 3;
        __m512i last = _mm512_maskz_loadu_epi8(_bzhi_u64(block, (unsigned) rest), bytes + done);
        _mm512_mask_storeu_epi8(ret, _bzhi_u64(~UINT64_C(0), (unsigned) characters), encode512(last));
}

#endif
