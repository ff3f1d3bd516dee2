#include "ops/key_sort.h"

#include <stdbool.h>
#include <string.h>

static uint64_t differing_bits(const struct key_index *items, size_t count, bool *ret_sorted)
{
        uint64_t differ = 0;
        bool sorted = true;
        for (size_t i = 1; i < count; i++) {
                differ |= items[i].key ^ items[0].key;
                sorted = sorted && items[i - 1].key <= items[i].key;
        }
        *ret_sorted = sorted;
        return differ;
}

/* One stable pass: from `in` to `out`, in the order of the byte at `shift`. */
static void distribute(const struct key_index *in, struct key_index *out, size_t count, unsigned shift)
{
        size_t next[256] = { 0 };
        for (size_t i = 0; i < count; i++)
                next[(in[i].key >> shift) & 0xff]++;
        size_t start = 0;
        for (size_t digit = 0; digit < 256; digit++) {
                size_t n = next[digit];
                next[digit] = start;
                start += n;
        }
        for (size_t i = 0; i < count; i++)
                out[next[(in[i].key >> shift) & 0xff]++] = in[i];
}

void key_sort(struct key_index *items, struct key_index *scratch, size_t count)
{
        bool sorted;
        uint64_t differ = differing_bits(items, count, &sorted);
        if (sorted)
                return; /* the usual case: labels were handed out in the order in which they were written */
        struct key_index *in = items, *out = scratch;
        for (unsigned shift = 0; shift < 64; shift += 8) {
                if (((differ >> shift) & 0xff) == 0)
                        continue;
                distribute(in, out, count, shift);
                struct key_index *swap = in;
                in = out;
                out = swap;
        }
        if (in != items)
                memcpy(items, in, count * sizeof(*items));
}
