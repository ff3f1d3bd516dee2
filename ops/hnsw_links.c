#include "ops/hnsw_links.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SHORT_LIST 64u /* M = 16, the default, has at most 32 links; comparing that many with each other beats a sort */

#define MARK_WORDS 64u

struct hnsw_link_set {
        uint64_t most;
        uint64_t marks[MARK_WORDS]; /* a bit for each value of a link's last 12 bits; all 0 between two lists */
        uint32_t copy[];            /* in the machine's byte order */
};

uint32_t hnsw_link(const unsigned char *links, uint32_t index)
{
        uint32_t value;
        memcpy(&value, links + 4 * (size_t) index, sizeof(value));
        return le32toh(value);
}

static int check_link(uint32_t link, uint32_t id, uint64_t n, const char *file, struct hnsw_faults *f)
{
        if (link == id)
                return error_set(hnsw_fault(f, HNSW_LINK_SELF, id), EILSEQ, "%s: element %u links to itself", file, id);
        if (link >= n)
                return error_set(hnsw_fault(f, HNSW_LINK_RANGE, id), EILSEQ, "%s: element %u links to element %u of %llu", file, id,
                                 link, (unsigned long long) n);
        return 0;
}

int hnsw_links_check(const unsigned char *links, uint32_t count, uint32_t id, uint64_t n, const char *file, struct hnsw_faults *f)
{
        bool bad = false;
        for (uint32_t i = 0; i < count; i++) {
                uint32_t link = hnsw_link(links, i);
                bad |= link >= n || link == id;
        }
        if (!bad)
                return 0;
        int r = 0;
        for (uint32_t i = 0; r == 0 && i < count; i++)
                r = hnsw_fault_code(f, check_link(hnsw_link(links, i), id, n, file, f));
        return r;
}

struct hnsw_link_set *hnsw_link_set_new(uint64_t most_links)
{
        struct hnsw_link_set *set = calloc(1, sizeof(*set) + (size_t) most_links * sizeof(set->copy[0]));
        if (set != NULL)
                set->most = most_links;
        return set;
}

struct hnsw_link_set *hnsw_link_set_free(struct hnsw_link_set *set)
{
        free(set);
        return NULL;
}

static int compare_links(const void *a, const void *b)
{
        const uint32_t *x = a, *y = b;
        return (*x > *y) - (*x < *y);
}

static uint32_t mark_word(uint32_t link)
{
        return link / 64 % MARK_WORDS;
}

/* False: there is none, as one look at each link shows for most of the short lists. */
static bool may_have_twice(struct hnsw_link_set *set, uint32_t count)
{
        uint64_t equal = 0;
        for (uint32_t i = 0; i < count; i++) {
                uint64_t *word = &set->marks[mark_word(set->copy[i])], bit = UINT64_C(1) << set->copy[i] % 64;
                equal |= *word & bit;
                *word |= bit;
        }
        for (uint32_t i = 0; i < count; i++)
                set->marks[mark_word(set->copy[i])] = 0;
        return equal != 0;
}

static bool has_twice_short(const uint32_t *links, uint32_t count)
{
        uint32_t equal = 0; /* no early exit, so that the compiler can compare many at a time */
        for (uint32_t i = 1; i < count; i++)
                for (uint32_t j = 0; j < i; j++)
                        equal |= links[i] == links[j];
        return equal != 0;
}

static bool has_twice_long(uint32_t *links, uint32_t count)
{
        qsort(links, count, sizeof(*links), compare_links);
        for (uint32_t i = 1; i < count; i++)
                if (links[i] == links[i - 1])
                        return true;
        return false;
}

int hnsw_links_unique(struct hnsw_link_set *set, const unsigned char *links, uint32_t count, uint32_t id, const char *file,
                      struct hnsw_faults *f)
{
        if (count > set->most)
                return error_set(hnsw_fault(f, HNSW_LIST, id), EILSEQ, "%s: element %u has %u links, more than %llu", file, id,
                                 count, (unsigned long long) set->most);
        for (uint32_t i = 0; i < count; i++)
                set->copy[i] = hnsw_link(links, i);
        if (!may_have_twice(set, count))
                return 0;
        if (count <= SHORT_LIST ? !has_twice_short(set->copy, count) : !has_twice_long(set->copy, count))
                return 0;
        return hnsw_fault_code(f,
                               error_set(hnsw_fault(f, HNSW_LINK_TWICE, id), EILSEQ, "%s: element %u has a link twice", file, id));
}
