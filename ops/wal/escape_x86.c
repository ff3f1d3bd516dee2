/*
 * Escaping with vector instructions: of a block of bytes at once, which are pairs and which odd (ops/wal/escape_kernels.h).
 *
 * Metadata is JSON text, so that about every tenth byte is a '"', and no two texts have them at the same places: a loop that branches at each would spend its time
 * on mispredicted branches. The writing loops therefore put backslashes in without looking where: AVX2 by a table for four bytes at once, AVX-512 by spreading 32 bytes
 * to 32 pairs and squeezing out what is not needed.
 */
#include "ops/wal/escape_kernels.h"
#include "ops/wal/kernels.h"

#if KERNELS_X86

#include <immintrin.h>

struct block256 {
        uint32_t pairs, odd; /* a bit a byte */
        __m256i letters;     /* what stands behind the '\' of a pair, and all other bytes */
};

TARGET_AVX2 static inline struct block256 classify256(__m256i v)
{
        const __m256i letters = _mm256_broadcastsi128_si256(_mm_setr_epi8(ESCAPE_LETTERS));
        __m256i control = _mm256_cmpgt_epi8(_mm256_set1_epi8(' '), v); /* and what is not ASCII: signed */
        __m256i letter = _mm256_shuffle_epi8(letters, v);              /* 0 for what is not ASCII */
        __m256i named =
                _mm256_and_si256(_mm256_cmpgt_epi8(letter, _mm256_setzero_si256()), _mm256_cmpgt_epi8(_mm256_set1_epi8(16), v));
        __m256i odd = _mm256_or_si256(_mm256_andnot_si256(named, control), _mm256_cmpeq_epi8(v, _mm256_set1_epi8(0x7f)));
        __m256i pairs = _mm256_or_si256(_mm256_cmpeq_epi8(v, _mm256_set1_epi8('"')), _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\')));
        return (struct block256){ .pairs = (uint32_t) _mm256_movemask_epi8(_mm256_or_si256(pairs, named)),
                                  .odd = (uint32_t) _mm256_movemask_epi8(odd),
                                  .letters = _mm256_blendv_epi8(v, letter, named) };
}

/* The lower `n` (< 32) bits. */
static inline uint32_t below(uint32_t bits, unsigned n)
{
        return bits & ((UINT32_C(1) << n) - 1);
}

/* Adds what the odd bytes of a block of `size` become, which are marked in `odd`, and those behind the block that follow the last of them; returns how many those are. */
static inline size_t odd_runs(const unsigned char *block, size_t len, size_t size, uint64_t odd, size_t *ret_length)
{
        size_t end = 0;
        while (odd != 0) {
                size_t at = (size_t) __builtin_ctzll(odd);
                end = at + escape_odd_length(block + at, len - at, ret_length);
                odd = end < 64 ? odd >> end << end : 0;
        }
        return end > size ? end - size : 0;
}

TARGET_AVX2 size_t escape_length_avx2(const unsigned char *bytes, size_t len)
{
        size_t done = 0, length = 0;
        while (len - done >= 32) {
                struct block256 b = classify256(_mm256_loadu_si256((const __m256i *) (bytes + done)));
                length += (size_t) (32 + _mm_popcnt_u32(b.pairs) - _mm_popcnt_u32(b.odd));
                if (b.odd != 0)
                        done += odd_runs(bytes + done, len - done, 32, b.odd, &length);
                done += 32;
        }
        return length + escape_length_plain(bytes + done, len - done);
}

#define SLASH 4
static const uint8_t places[16][8] = {
        { 0, 1, 2, 3 },
        { SLASH, 0, 1, 2, 3 },
        { 0, SLASH, 1, 2, 3 },
        { SLASH, 0, SLASH, 1, 2, 3 },
        { 0, 1, SLASH, 2, 3 },
        { SLASH, 0, 1, SLASH, 2, 3 },
        { 0, SLASH, 1, SLASH, 2, 3 },
        { SLASH, 0, SLASH, 1, SLASH, 2, 3 },
        { 0, 1, 2, SLASH, 3 },
        { SLASH, 0, 1, 2, SLASH, 3 },
        { 0, SLASH, 1, 2, SLASH, 3 },
        { SLASH, 0, SLASH, 1, 2, SLASH, 3 },
        { 0, 1, SLASH, 2, SLASH, 3 },
        { SLASH, 0, 1, SLASH, 2, SLASH, 3 },
        { 0, SLASH, 1, SLASH, 2, SLASH, 3 },
        { SLASH, 0, SLASH, 1, SLASH, 2, SLASH, 3 },
};

/* Four bytes at a time, and eight are written: of the last ones the second half will be written over. */
TARGET_AVX2 static inline char *write_pairs(__m256i letters, uint32_t pairs, char *ret)
{
        uint32_t words[8];
        _mm256_storeu_si256((__m256i *) words, letters);
        for (int i = 0; i < 8; i++, pairs >>= 4) {
                __m128i four = _mm_insert_epi32(_mm_cvtsi32_si128((int) words[i]), '\\', 1);
                __m128i place = _mm_loadl_epi64((const __m128i *) places[pairs & 15]);
                _mm_storel_epi64((__m128i *) ret, _mm_shuffle_epi8(four, place));
                ret += 4 + _mm_popcnt_u32(pairs & 15);
        }
        return ret;
}

TARGET_AVX2 char *escape_text_avx2(const unsigned char *bytes, size_t len, char *ret)
{
        size_t done = 0;
        while (len - done >= 40) {
                struct block256 b = classify256(_mm256_loadu_si256((const __m256i *) (bytes + done)));
                unsigned even = b.odd == 0 ? 32 : _tzcnt_u32(b.odd);
                uint32_t pairs = b.odd == 0 ? b.pairs : below(b.pairs, even);
                if (pairs == 0)
                        _mm256_storeu_si256((__m256i *) ret, b.letters);
                else
                        write_pairs(b.letters, pairs, ret);
                ret += even + (unsigned) _mm_popcnt_u32(pairs);
                done += even;
                if (b.odd != 0)
                        done += escape_odd_write(bytes + done, len - done, &ret);
        }
        return escape_text_plain(bytes + done, len - done, ret);
}

struct block512 {
        uint64_t pairs, odd;
        __m512i letters;
};

TARGET_AVX512 static inline struct block512 classify512(__m512i v, uint64_t valid)
{
        const __m512i letters = _mm512_broadcast_i32x4(_mm_setr_epi8(ESCAPE_LETTERS));
        uint64_t control = _mm512_mask_cmplt_epu8_mask(valid, v, _mm512_set1_epi8(' '));
        __m512i letter = _mm512_mask_shuffle_epi8(v, control, letters, v);
        uint64_t named = _mm512_mask_test_epi8_mask(control & _mm512_cmplt_epu8_mask(v, _mm512_set1_epi8(16)), letter, letter);
        uint64_t high = _mm512_mask_cmpgt_epu8_mask(valid, v, _mm512_set1_epi8('~'));
        uint64_t quotes = _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('"')) | _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('\\'));
        return (struct block512){ .pairs = quotes | named, .odd = (control & ~named) | high, .letters = letter };
}

/* The lowest `n` bits. */
TARGET_AVX512 static inline uint64_t lowest(size_t n)
{
        return _bzhi_u64(~UINT64_C(0), n < 64 ? (unsigned) n : 64);
}

TARGET_AVX512 size_t escape_length_avx512(const unsigned char *bytes, size_t len)
{
        size_t length = 0;
        for (size_t done = 0; done < len; done += 64) {
                uint64_t valid = lowest(len - done);
                struct block512 b = classify512(_mm512_maskz_loadu_epi8(valid, bytes + done), valid);
                length += (size_t) (_mm_popcnt_u64(b.pairs) + _mm_popcnt_u64(valid & ~b.odd));
                if (b.odd != 0)
                        done += odd_runs(bytes + done, len - done, 64, b.odd, &length);
        }
        return length;
}

/* 32 bytes, of which `even` are to be written: each becomes a word, '\' below its letter or the letter below nothing, and what is nothing is squeezed out. */
TARGET_AVX512 static inline char *squeeze(__m256i letters, uint32_t pairs, size_t even, char *ret)
{
        __m512i words = _mm512_cvtepu8_epi16(letters);
        words = _mm512_mask_add_epi16(words, pairs, _mm512_slli_epi16(words, 8), _mm512_set1_epi16('\\'));
        uint64_t keep = (lowest(2 * even) & 0x5555555555555555) | _pdep_u64(pairs, 0xaaaaaaaaaaaaaaaa);
        size_t count = even + (size_t) _mm_popcnt_u32(pairs);
        _mm512_mask_storeu_epi8(ret, lowest(count), _mm512_maskz_compress_epi8(keep, words));
        return ret + count;
}

TARGET_AVX512 static inline char *write512(__m512i letters, uint64_t pairs, size_t even, char *ret)
{
        if (pairs == 0) {
                _mm512_mask_storeu_epi8(ret, lowest(even), letters);
                return ret + even;
        }
        ret = squeeze(_mm512_castsi512_si256(letters), (uint32_t) pairs, even < 32 ? even : 32, ret);
        return even <= 32 ? ret : squeeze(_mm512_extracti64x4_epi64(letters, 1), (uint32_t) (pairs >> 32), even - 32, ret);
}

TARGET_AVX512 char *escape_text_avx512(const unsigned char *bytes, size_t len, char *ret)
{
        size_t done = 0;
        while (done < len) {
                uint64_t valid = lowest(len - done);
                struct block512 b = classify512(_mm512_maskz_loadu_epi8(valid, bytes + done), valid);
                size_t even = b.odd != 0 ? _tzcnt_u64(b.odd) : len - done < 64 ? len - done : 64;
                ret = write512(b.letters, b.pairs & lowest(even), even, ret);
                done += even;
                if (b.odd != 0)
                        done += escape_odd_write(bytes + done, len - done, &ret);
        }
        return ret;
}

#endif
