/*
 * How long a record of data_level0.bin is, which M says: that of header.bin, that of the configuration, or any at all.
 *
 * The first records are looked at with each length: with the right one, their labels are those of the pickle. With a wrong one some are by chance, since a link with a zero behind it looks like a label, and where
 * one length is a multiple of the other half of them are. So it is the number of different labels that counts, not their share: a pickle that is too old lists few of many; and a length is found by labels alone only where they
 * are most of what there can be. A vector that is read with a wrong length would be one that nobody ever stored.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ops/hnsw/hnsw.h"
#include "ops/hnsw/salvage_parts.h"
#include "ops/index_fit.h"

#define PROBES 64u     /* records with a label that are looked at, */
#define PASSED 1024u   /* and most that are gone through to find them: a torn file may begin with zeros */
#define M_TRIED 512u   /* when neither header nor configuration says it */
#define LABELS_LEAST 3 /* which say it then */
#define SURE 75u       /* percent of the labels: more than every second, which can be right where the length is wrong */
#define LIKELY 50u
#define POSSIBLE 25u

struct layout {
        uint64_t m;
        size_t data_offset, record_size;
};

struct evidence {
        uint64_t probes, hits;
        uint64_t possible; /* hits: those that the pickle lists, and deleted ones that were seen */
};

static struct layout layout_of(const struct salvage *s, uint64_t m)
{
        size_t data = 8 * (size_t) m + 4;
        return (struct layout){ m, data, data + 4 * (size_t) s->start.dimension + 8 };
}

/* 0 where it has none. Failures of the file show when it is read as a whole. */
static uint64_t read_label(const struct salvage *s, uint64_t record, size_t record_size)
{
        uint64_t label = 0;
        if (file_pread_exact(s->level0_fd, &label, sizeof(label), (record + 1) * record_size - sizeof(label), "data_level0.bin",
                             NULL) < 0)
                return 0;
        return le64toh(label);
}

/* Of a record that is marked as deleted, a label that was given out. */
static bool was_listed(const struct salvage *s, uint64_t record, size_t record_size, uint64_t label)
{
        unsigned char mark = 0;
        return label <= s->metadata->total_elements_added &&
               file_pread_exact(s->level0_fd, &mark, 1, record * record_size + SALVAGE_MARK_OFFSET, "data_level0.bin", NULL) == 0 &&
               mark == SALVAGE_DELETED;
}

static bool is_among(const uint64_t *labels, uint64_t count, uint64_t label)
{
        for (uint64_t i = 0; i < count; i++)
                if (labels[i] == label)
                        return true;
        return false;
}

static struct evidence look(const struct salvage *s, size_t record_size)
{
        uint64_t seen[PROBES], count = s->size / record_size;
        struct evidence found = { .possible = s->metadata == NULL ? 0 : s->metadata->count };
        count = count < PASSED ? count : PASSED;
        for (uint64_t i = 0; s->metadata != NULL && i < count && found.probes < PROBES; i++) {
                uint64_t label = read_label(s, i, record_size);
                found.probes += label != 0;
                if (label == 0 || is_among(seen, found.hits, label))
                        continue;
                bool is_listed = index_metadata_by_label(s->metadata, label) != NULL;
                bool is_deleted = !is_listed && was_listed(s, i, record_size, label);
                found.possible += is_deleted;
                if (is_listed || is_deleted)
                        seen[found.hits++] = label;
        }
        return found;
}

/* Of what there can be at most. */
static bool is_at_least(const struct evidence *found, unsigned percent)
{
        return 100 * found->hits >= percent * (found->possible < found->probes ? found->possible : found->probes);
}

struct header_sizes { /* of header.bin, when they fit each other; else M is 0. Its counts may be anything. */
        uint64_t m, dimension, record_size, count;
};

static uint64_t number_at(const unsigned char *bytes)
{
        uint64_t number;
        memcpy(&number, bytes, sizeof(number));
        return le64toh(number);
}

static struct header_sizes decode_sizes(const unsigned char bytes[HNSW_HEADER_SIZE])
{
        uint64_t record_size = number_at(bytes + 28), label_offset = number_at(bytes + 36), data_offset = number_at(bytes + 44);
        uint64_t m = data_offset >= 4 ? (data_offset - 4) / 8 : 0;
        bool fits = m >= 1 && m <= HNSW_M_MAX && data_offset == 8 * m + 4 && label_offset > data_offset &&
                    label_offset - data_offset <= 4 * (uint64_t) UINT32_MAX && (label_offset - data_offset) % 4 == 0 &&
                    record_size == label_offset + 8;
        if (!fits)
                return (struct header_sizes){ 0 };
        return (struct header_sizes){ m, (label_offset - data_offset) / 4, record_size, number_at(bytes + 20) };
}

static int read_sizes(int segment_fd, struct header_sizes *ret, struct error *e)
{
        struct error found = { 0 };
        unsigned char bytes[HNSW_HEADER_SIZE];
        CLEANUP(close)
        int fd = file_open_regular(segment_fd, index_file_names[INDEX_HEADER], NULL, &found);
        *ret = (struct header_sizes){ 0 };
        if (fd < 0)
                return salvage_is_damage(fd) ? 0 : error_set(e, -fd, "%s", found.text);
        ssize_t len = file_pread(fd, bytes, sizeof(bytes), 0);
        if (len < 0)
                return error_set(e, (int) -len, "header.bin can't be read: %s", strerror((int) -len));
        if (len == (ssize_t) sizeof(bytes))
                *ret = decode_sizes(bytes);
        return 0;
}

static void use_layout(struct salvage *s, uint64_t m, enum salvage_layout kind)
{
        struct layout l = layout_of(s, m);
        s->layout = kind;
        s->m = (uint32_t) m;
        s->data_offset = l.data_offset;
        s->record_size = l.record_size;
}

static void use_no_layout(struct salvage *s)
{
        s->layout = SALVAGE_NO_LAYOUT;
        s->m = 0;
        s->data_offset = s->record_size = 0;
}

/* Takes it when it is better than what there is. Two records together end with a label, too: they are none. */
static void try_layout(struct salvage *s, uint64_t m, enum salvage_layout kind, struct evidence *best)
{
        bool is_first = s->layout == SALVAGE_NO_LAYOUT, by_labels = kind == SALVAGE_FROM_LABELS;
        if (m == 0 || m > HNSW_M_MAX || (!is_first && m == s->m))
                return;
        size_t record_size = layout_of(s, m).record_size;
        struct evidence found = look(s, record_size);
        if (by_labels && (found.hits < LABELS_LEAST || !is_at_least(&found, SURE)))
                return;
        if (!is_first && (found.hits <= best->hits || (best->hits > 0 && record_size % s->record_size == 0)))
                return;
        *best = found;
        use_layout(s, m, kind);
}

/* Records of another dimension can have the length of those of this one, with links where vectors are looked for. */
static int check_dimension(const struct salvage *s, const struct header_sizes *header, struct error *e)
{
        uint64_t own = s->start.dimension, other = own;
        struct evidence found = { 0 };
        if (s->metadata == NULL || s->metadata->count == 0)
                return 0;
        if (header->m != 0 && header->dimension != own)
                found = look(s, header->record_size);
        if (found.hits > 0 && is_at_least(&found, LIKELY))
                other = header->dimension;
        else if ((header->m == 0 || header->dimension != own) && s->metadata->has_dimensionality)
                other = s->metadata->dimensionality;
        return other == own ? 0
                            : error_set(e, EILSEQ, "the index has vectors of dimension %llu, and the collection those of %llu",
                                        (unsigned long long) other, (unsigned long long) own);
}

/* M is only guessed where the pickle says that the dimension is right: else it would make up for a wrong one. What the configuration says may be younger than the index. */
int salvage_find_layout(struct salvage *s, int segment_fd, struct error *e)
{
        struct evidence best = { 0 };
        struct header_sizes header;
        int r = read_sizes(segment_fd, &header, e);
        if (r == 0)
                r = check_dimension(s, &header, e);
        if (r < 0)
                return r;
        bool can_guess =
                s->metadata != NULL && s->metadata->has_dimensionality && s->metadata->dimensionality == s->start.dimension;
        try_layout(s, header.dimension == s->start.dimension ? header.m : 0, SALVAGE_FROM_HEADER, &best);
        try_layout(s, s->start.m, SALVAGE_FROM_CONFIG, &best);
        bool is_sure = s->layout != SALVAGE_NO_LAYOUT && is_at_least(&best, SURE) &&
                       (s->layout == SALVAGE_FROM_HEADER || best.hits >= LABELS_LEAST);
        for (uint64_t m = 1; !is_sure && can_guess && m <= M_TRIED; m++)
                try_layout(s, m, SALVAGE_FROM_LABELS, &best);
        bool is_listed = s->metadata != NULL && s->metadata->count > 0;
        if (s->layout == SALVAGE_FROM_CONFIG && is_listed && (best.hits == 0 || !is_at_least(&best, can_guess ? POSSIBLE : LIKELY)))
                use_no_layout(s);
        /* But for a lone element (FORMAT 6.5), a count below that of the pickle's is torn, and says nothing. */
        bool is_torn = is_listed && s->metadata->count > 1 && header.count < s->metadata->count;
        s->counted = s->layout == SALVAGE_FROM_HEADER && !is_torn ? header.count : UINT64_MAX;
        return 0;
}
