/*
 * Chroma writes the header first and the pickle last, in place and without a sync, so a crash leaves files of two moments; ops/index_fit.c
 * finds most such mixtures without reading a record. The same mixtures are there for a moment at each persist, and equal stamps before and
 * after reading do not exclude them: a writer can pause between two files. Only time tells both apart, so a mixture of files of which
 * one is young is no damage yet. Young is told by the mtime: writing sets it, while the ctime also changes when a whole directory is
 * moved, restored or given to another owner, which says nothing about a writer. An mtime further in the future is old: clocks jump, and a
 * directory must not stay unjudged until they have caught up.
 */
#include "ops/index_summary.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ops/cleanup.h"
#include "ops/index_fit.h"
#include "ops/labels.h"
#include "ops/pickle_machine.h"

#define ATTEMPTS 4
#define PAUSE_NS (2 * 1000 * 1000) /* between attempts: a small index is persisted in less */

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

/* Reading. */

/* A failure of ours is nobody's fault, and says nothing of the index. */
static void note_failure(struct index_summary *s, struct hnsw_faults *f, enum hnsw_finding_kind kind, const struct error *failure)
{
        struct error *to = index_is_ours(failure->code) ? &s->damage : index_fault(f, kind);
        (void) error_set(to, -failure->code, "%s", failure->text);
}

static void read_header(int fd, struct index_summary *s, struct hnsw_faults *f)
{
        struct error e = { 0 };
        CLEANUP(close)
        int file = file_open_regular(fd, index_file_names[INDEX_HEADER], NULL, &e);
        if (file < 0 || hnsw_header_read(file, &s->header, &e) < 0)
                note_failure(s, f, file < 0 ? HNSW_FILE : HNSW_HEADER, &e);
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

static void read_pickle(int fd, const struct pickle_watch *watch, struct index_summary *s, struct hnsw_faults *f,
                        struct index_metadata **ret)
{
        struct error e = { 0 };
        CLEANUP(close)
        int file = file_open_regular(fd, index_file_names[INDEX_PICKLE], NULL, &e);
        struct index_metadata *m = NULL;
        if (file < 0 || index_metadata_read(file, watch->cancelled, watch->context, &m, &e) < 0) {
                note_failure(s, f, file < 0 ? HNSW_FILE : HNSW_PICKLE, &e);
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

/* Which of the files there are; the header, when there, is read already. */
static void judge_stage(struct index_summary *s, struct hnsw_faults *f)
{
        bool pickle = s->stamps.files[INDEX_PICKLE].present;
        unsigned bins = count_bins(&s->stamps);
        if (bins == 0 && !pickle) {
                s->stage = INDEX_EMPTY;
        } else if (bins < INDEX_PICKLE) {
                s->stage = INDEX_INCOMPLETE;
                index_fit_missing(s, f);
        } else if (pickle) {
                s->stage = INDEX_PERSISTED;
        } else if (s->has_header && s->header.count == 0) {
                s->stage = INDEX_UNPERSISTED;
        } else {
                s->stage = INDEX_INCOMPLETE;
                if (s->has_header)
                        (void) error_set(index_fault(f, HNSW_FILE), ENOENT,
                                         "index_metadata.pickle is missing, but header.bin counts %llu elements: nothing says "
                                         "whose they are",
                                         (unsigned long long) s->header.count);
        }
}

static void read_files(int fd, const struct pickle_watch *watch, struct index_summary *s, struct hnsw_faults *f,
                       struct index_metadata **ret)
{
        stamp_files(fd, &s->stamps);
        if (s->stamps.files[INDEX_HEADER].present)
                read_header(fd, s, f);
        index_fit_kinds(s, f);
        judge_stage(s, f);
        index_fit_sizes(s, f);
        if (!s->stamps.files[INDEX_PICKLE].present)
                return;
        read_pickle(fd, watch, s, f, ret);
        if (*ret != NULL)
                index_fit_metadata(s, *ret, f);
}

static void read_once(int persist_fd, const char *segment_id, const struct pickle_watch *watch, struct index_summary *s,
                      struct hnsw_faults *f, struct index_metadata **ret)
{
        *s = (struct index_summary){ .stage = INDEX_ABSENT, .stamps.dir = file_stamp_at(persist_fd, segment_id) };
        if (f->findings != NULL)
                memset(f->findings, 0, HNSW_FINDING_KINDS * sizeof(*f->findings));
        if (!s->stamps.dir.present)
                return;
        struct error failure;
        CLEANUP(close)
        int fd = file_open_dir(persist_fd, segment_id, &failure);
        if (fd >= 0) {
                read_files(fd, watch, s, f, ret);
        } else {
                note_failure(s, f, HNSW_FILE, &failure);
                s->stage = INDEX_INCOMPLETE;
        }
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

static void read_until_still(int persist_fd, const char *segment_id, const struct pickle_watch *watch, struct index_summary *ret,
                             struct hnsw_faults *f, struct index_metadata **ret_metadata)
{
        struct index_metadata *metadata = NULL;
        bool still = false;
        ret->damage.code = 0;
        f->e = &ret->damage;
        for (int i = 0; !still && ret->damage.code != -EINTR && i < ATTEMPTS; i++) {
                if (i > 0)
                        pause_briefly();
                metadata = index_metadata_free(metadata);
                read_once(persist_fd, segment_id, watch, ret, f, &metadata);
                struct index_stamps after = index_stamps_read(persist_fd, segment_id);
                still = index_stamps_equal(&after, &ret->stamps);
        }
        *ret_metadata = metadata;
        if (ret->damage.code == -EINTR)
                return;
        if (still)
                judge_damage(ret);
        else
                (void) error_set(&ret->damage, EAGAIN, "the index is being written: its files changed each time they were read");
}

void index_summary_read_all(int persist_fd, const char *segment_id, db_cancel_fn *cancelled, void *context,
                            struct index_summary *ret, struct index_metadata **ret_metadata)
{
        struct hnsw_faults first = { 0 };
        read_until_still(persist_fd, segment_id, &(struct pickle_watch){ cancelled, context }, ret, &first, ret_metadata);
}

void index_summary_check(int persist_fd, const char *segment_id, db_cancel_fn *cancelled, void *context,
                         struct hnsw_finding findings[HNSW_FINDING_KINDS], struct index_summary *ret,
                         struct index_metadata **ret_metadata)
{
        struct hnsw_faults all = { .findings = findings };
        read_until_still(persist_fd, segment_id, &(struct pickle_watch){ cancelled, context }, ret, &all, ret_metadata);
}

void index_summary_read(int persist_fd, const char *segment_id, struct index_summary *ret)
{
        struct index_metadata *metadata = NULL;
        index_summary_read_all(persist_fd, segment_id, NULL, NULL, ret, &metadata);
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
