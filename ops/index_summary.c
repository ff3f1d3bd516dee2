/*
 * The five files, and what one moment of them must satisfy (FORMAT 6; I2, I4). N, S, M and the highest level are the header's:
 *
 *   data_level0.bin         at least N * S bytes
 *   length.bin              at least N * 4
 *   link_lists.bin          N entries of 4 bytes, and for each level that a node has above 0 a list of 4 * M + 4:
 *                           from 4 * N to N * (4 + max_level * (4 * M + 4)) bytes
 *   index_metadata.pickle   live ids <= N <= total_elements_added, and no label above that; the header's dimension
 *
 * Chroma writes the header first and the pickle last, in place and without a sync, so a crash leaves files of two moments; these checks
 * find most such mixtures without reading a record. The same mixtures are there for a moment at each persist, and equal stamps before and
 * after reading do not exclude them: a writer can pause between two files. Only time tells both apart, so a mixture of files of which
 * one is young is no damage yet. Young is told by the mtime: writing sets it, while the ctime also changes when a whole directory is
 * moved, restored or given to another owner, which says nothing about a writer. An mtime further in the future is old: clocks jump, and a
 * directory must not stay unjudged until they have caught up. There is no pickle before the first persist, and the header counts nothing
 * then: a header that counts something without a pickle has lost it.
 *
 * One real state looks like damage and is: hnswlib up to 0.7.3 does not write an index's only element (FORMAT 6.5), so N is 0 where
 * the pickle has one label. Its vector is in the WAL or lost.
 */
#include "ops/index_summary.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ops/cleanup.h"
#include "ops/labels.h"

#define ATTEMPTS 4
#define PAUSE_NS (2 * 1000 * 1000) /* between attempts: a small index is persisted in less */
#define LABELS_SHOWN 8

const char *const index_file_names[INDEX_FILE_COUNT] = {
        [INDEX_HEADER] = "header.bin",         [INDEX_LEVEL0] = "data_level0.bin",       [INDEX_LENGTH] = "length.bin",
        [INDEX_LINK_LISTS] = "link_lists.bin", [INDEX_PICKLE] = "index_metadata.pickle",
};

/* Stamps. */

static void stamp_files(int fd, struct index_stamps *stamps)
{
        for (int i = 0; i < INDEX_FILE_COUNT; i++)
                stamps->files[i] = file_stamp_at(fd, index_file_names[i]);
}

struct index_stamps index_stamps_read(int persist_fd, const char *segment_id)
{
        struct index_stamps stamps = { .dir = file_stamp_at(persist_fd, segment_id) };
        if (!stamps.dir.present)
                return stamps;
        /* Through a descriptor: a path would be followed where the directory is a link. */
        CLEANUP(close)
        int fd = file_open_dir(persist_fd, segment_id, NULL);
        if (fd >= 0)
                stamp_files(fd, &stamps);
        return stamps;
}

bool index_stamps_equal(const struct index_stamps *a, const struct index_stamps *b)
{
        bool equal = file_stamp_equal(&a->dir, &b->dir);
        for (int i = 0; i < INDEX_FILE_COUNT; i++)
                equal = equal && file_stamp_equal(&a->files[i], &b->files[i]);
        return equal;
}

bool index_stamps_young(const struct index_stamps *stamps)
{
        struct timespec t;
        (void) clock_gettime(CLOCK_REALTIME, &t);
        int64_t now = (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
        for (int i = -1; i < INDEX_FILE_COUNT; i++) {
                const struct file_stamp *stamp = i < 0 ? &stamps->dir : &stamps->files[i];
                int64_t age;
                if (stamp->present && !__builtin_sub_overflow(now, stamp->mtime_ns, &age) && age > -INDEX_QUIET_NS &&
                    age < INDEX_QUIET_NS)
                        return true;
        }
        return false;
}

/* Checks. Each writes the first damage it finds and leaves an earlier one alone. */

static struct error *unless_damaged(struct index_summary *s)
{
        return s->damage.code == 0 ? &s->damage : NULL;
}

static void check_at_least(struct index_summary *s, enum index_file file, uint64_t each)
{
        const struct file_stamp *stamp = &s->stamps.files[file];
        uint64_t need;
        if (__builtin_mul_overflow(s->header.count, each, &need) || (stamp->present && stamp->size < need))
                (void) error_set(unless_damaged(s), EILSEQ,
                                 "%s has %llu bytes, too few for the %llu elements that header.bin counts", index_file_names[file],
                                 (unsigned long long) stamp->size, (unsigned long long) s->header.count);
}

static void check_links_size(struct index_summary *s)
{
        const struct hnsw_header *h = &s->header;
        uint64_t levels = h->max_level > 0 ? (uint64_t) h->max_level : 0, most;
        /* A bound that does not fit is one that no file exceeds. */
        if (__builtin_mul_overflow(h->m, 4u, &most) || __builtin_add_overflow(most, 4u, &most) ||
            __builtin_mul_overflow(most, levels, &most) || __builtin_add_overflow(most, 4u, &most) ||
            __builtin_mul_overflow(most, h->count, &most))
                return;
        uint64_t size = s->stamps.files[INDEX_LINK_LISTS].size;
        if (size > most)
                (void) error_set(unless_damaged(s), EILSEQ,
                                 "link_lists.bin has %llu bytes, more than the %llu elements that header.bin counts can have",
                                 (unsigned long long) size, (unsigned long long) h->count);
}

static void check_sizes(struct index_summary *s)
{
        if (!s->has_header)
                return;
        check_at_least(s, INDEX_LEVEL0, s->header.record_size);
        check_at_least(s, INDEX_LENGTH, 4);
        check_at_least(s, INDEX_LINK_LISTS, 4);
        check_links_size(s);
}

/* "1, 2, 3 and 7 more" */
static const char *show_labels(const struct index_metadata *m, char *buffer, size_t size)
{
        int used = 0;
        size_t shown = m->count < LABELS_SHOWN ? m->count : LABELS_SHOWN;
        for (size_t i = 0; i < shown; i++)
                used += snprintf(buffer + used, size - (size_t) used, "%s%llu", i == 0 ? "" : ", ",
                                 (unsigned long long) m->entries[i].label);
        if (shown < m->count)
                (void) snprintf(buffer + used, size - (size_t) used, " and %zu more", m->count - shown);
        return buffer;
}

static void check_live(struct index_summary *s, const struct index_metadata *m)
{
        char labels[LABELS_SHOWN * 22 + 32];
        uint64_t count = s->header.count;
        if (m->count <= count)
                return;
        if (count == 0)
                (void) error_set(unless_damaged(s), EILSEQ,
                                 "the index is empty, but index_metadata.pickle knows label%s %s: the index lacks %s",
                                 m->count == 1 ? "" : "s", show_labels(m, labels, sizeof(labels)), m->count == 1 ? "it" : "them");
        else
                (void) error_set(unless_damaged(s), EILSEQ,
                                 "header.bin counts %llu elements, but index_metadata.pickle has %zu labels: the index lacks %llu "
                                 "or more of them",
                                 (unsigned long long) count, m->count, (unsigned long long) (m->count - count));
}

static void check_counters(struct index_summary *s, const struct index_metadata *m)
{
        unsigned long long added = m->total_elements_added;
        uint64_t highest = m->count == 0 ? 0 : m->entries[m->count - 1].label;
        if (highest > added)
                (void) error_set(
                        unless_damaged(s), EILSEQ,
                        "index_metadata.pickle has label %llu, but says that only %llu were ever given out: new ones would collide",
                        (unsigned long long) highest, added);
        if (s->has_header && s->header.count > added)
                (void) error_set(unless_damaged(s), EILSEQ,
                                 "header.bin counts %llu elements, but index_metadata.pickle says that only %llu were ever added",
                                 (unsigned long long) s->header.count, added);
}

static void check_metadata(struct index_summary *s, const struct index_metadata *m)
{
        if (s->has_header)
                check_live(s, m);
        check_counters(s, m);
        if (s->has_header && m->has_dimensionality && m->dimensionality != s->header.dimension)
                (void) error_set(unless_damaged(s), EILSEQ, "index_metadata.pickle says dimension %llu, but header.bin %u",
                                 (unsigned long long) m->dimensionality, s->header.dimension);
}

/* Reading. */

static void read_header(int fd, struct index_summary *s)
{
        struct error e = { 0 };
        CLEANUP(close)
        int file = file_open_regular(fd, index_file_names[INDEX_HEADER], NULL, &e);
        if (file < 0 || hnsw_header_read(file, &s->header, &e) < 0)
                (void) error_set(unless_damaged(s), -e.code, "%s", e.text);
        else
                s->has_header = true;
}

static void note_metadata(struct index_summary *s, const struct index_metadata *m)
{
        s->has_pickle = true;
        s->has_dimensionality = m->has_dimensionality;
        s->dimensionality = m->dimensionality;
        s->total_elements_added = m->total_elements_added;
        s->total_labels = m->count;
        s->has_max_seq_id = m->has_max_seq_id;
        s->max_seq_id = m->max_seq_id;
        s->fragmentation = index_fragmentation(m);
}

static void read_pickle(int fd, struct index_summary *s, struct index_metadata **ret)
{
        struct error e = { 0 };
        CLEANUP(close)
        int file = file_open_regular(fd, index_file_names[INDEX_PICKLE], NULL, &e);
        struct index_metadata *m = NULL;
        if (file < 0 || index_metadata_read(file, &m, &e) < 0) {
                (void) error_set(unless_damaged(s), -e.code, "%s", e.text);
                return;
        }
        note_metadata(s, m);
        *ret = m;
}

static unsigned count_bins(const struct index_stamps *stamps)
{
        unsigned present = 0;
        for (int i = 0; i < INDEX_PICKLE; i++)
                present += stamps->files[i].present;
        return present;
}

static void name_missing(struct index_summary *s)
{
        for (int i = 0; i < INDEX_PICKLE; i++)
                if (!s->stamps.files[i].present)
                        (void) error_set(unless_damaged(s), ENOENT, "%s is missing, while other files of the index are there",
                                         index_file_names[i]);
}

/* Which of the files there are; the header, when there, is read already. */
static void judge_stage(struct index_summary *s)
{
        bool pickle = s->stamps.files[INDEX_PICKLE].present;
        unsigned bins = count_bins(&s->stamps);
        if (bins == 0 && !pickle) {
                s->stage = INDEX_EMPTY;
        } else if (bins < INDEX_PICKLE) {
                s->stage = INDEX_INCOMPLETE;
                name_missing(s);
        } else if (pickle) {
                s->stage = INDEX_PERSISTED;
        } else if (s->has_header && s->header.count == 0) {
                s->stage = INDEX_UNPERSISTED;
        } else {
                s->stage = INDEX_INCOMPLETE;
                if (s->has_header)
                        (void) error_set(unless_damaged(s), ENOENT,
                                         "index_metadata.pickle is missing, but header.bin counts %llu elements: nothing says "
                                         "whose they are",
                                         (unsigned long long) s->header.count);
        }
}

/* The header and the pickle are found out when they are opened, too, but the others are only opened by an audit. */
static void check_kinds(struct index_summary *s)
{
        for (int i = 0; i < INDEX_FILE_COUNT; i++) {
                const struct file_stamp *stamp = &s->stamps.files[i];
                if (stamp->present && S_ISLNK(stamp->mode))
                        (void) error_set(unless_damaged(s), ELOOP, "%s is a symbolic link", index_file_names[i]);
                else if (stamp->present && !S_ISREG(stamp->mode))
                        (void) error_set(unless_damaged(s), EILSEQ, "%s is no regular file", index_file_names[i]);
        }
}

static void read_files(int fd, struct index_summary *s, struct index_metadata **ret)
{
        stamp_files(fd, &s->stamps);
        if (s->stamps.files[INDEX_HEADER].present)
                read_header(fd, s);
        check_kinds(s);
        judge_stage(s);
        check_sizes(s);
        if (!s->stamps.files[INDEX_PICKLE].present)
                return;
        read_pickle(fd, s, ret);
        if (*ret != NULL)
                check_metadata(s, *ret);
}

static void read_once(int persist_fd, const char *segment_id, struct index_summary *s, struct index_metadata **ret)
{
        *s = (struct index_summary){ .stage = INDEX_ABSENT, .stamps.dir = file_stamp_at(persist_fd, segment_id) };
        if (!s->stamps.dir.present)
                return;
        CLEANUP(close)
        int fd = file_open_dir(persist_fd, segment_id, &s->damage);
        if (fd >= 0)
                read_files(fd, s, ret);
        else
                s->stage = INDEX_INCOMPLETE;
}

static void pause_briefly(void)
{
        struct timespec t = { .tv_nsec = PAUSE_NS };
        (void) nanosleep(&t, NULL);
}

static void judge_damage(struct index_summary *s)
{
        if (s->damage.code != 0 && index_stamps_young(&s->stamps))
                (void) error_set(&s->damage, EAGAIN, "the index is being written: its files do not fit each other yet");
}

void index_summary_read_all(int persist_fd, const char *segment_id, struct index_summary *ret, struct index_metadata **ret_metadata)
{
        struct index_metadata *metadata = NULL;
        for (int i = 0; i < ATTEMPTS; i++) {
                if (i > 0)
                        pause_briefly();
                metadata = index_metadata_free(metadata);
                read_once(persist_fd, segment_id, ret, &metadata);
                struct index_stamps after = index_stamps_read(persist_fd, segment_id);
                if (index_stamps_equal(&after, &ret->stamps)) {
                        *ret_metadata = metadata;
                        judge_damage(ret);
                        return;
                }
        }
        *ret_metadata = metadata;
        (void) error_set(&ret->damage, EAGAIN, "the index is being written: its files changed each time they were read");
}

void index_summary_read(int persist_fd, const char *segment_id, struct index_summary *ret)
{
        struct index_metadata *metadata = NULL;
        index_summary_read_all(persist_fd, segment_id, ret, &metadata);
        (void) index_metadata_free(metadata);
}

const char *index_stage_name(enum index_stage stage)
{
        static const char *const names[] = {
                [INDEX_ABSENT] = "absent",       [INDEX_EMPTY] = "empty",           [INDEX_UNPERSISTED] = "unpersisted",
                [INDEX_PERSISTED] = "persisted", [INDEX_INCOMPLETE] = "incomplete",
        };
        return names[stage];
}

bool vector_position(const struct segment *segment, const struct index_summary *summary, uint64_t *ret)
{
        /* A row that can't be decoded is still a row: Chroma would not look into the pickle either. */
        if (segment == NULL || segment->position_bad)
                return false;
        if (!segment->has_position && !summary->has_max_seq_id)
                return false;
        *ret = segment->has_position ? segment->position : summary->max_seq_id;
        return true;
}
