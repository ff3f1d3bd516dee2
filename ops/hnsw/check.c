/*
 * The order is that of what depends on what: header and pickle, without which nothing can be held against anything; the records, whose number bounds all else; the upper links;
 * then labels and reachability, which need all of the former. A file that can't be read to its end leaves out what needs it, and nothing else.
 *
 * A header may count more than there is, and a file may have a hole where it says that there are records. A hole of that size is read as what it is, no records at all: nothing
 * behind its beginning is looked at, in any file.
 */
#include "ops/hnsw/check.h"

#include <errno.h>
#include <string.h>

#include "ops/cleanup.h"
#include "ops/file.h"
#include "ops/hnsw/check_parts.h"
#include "ops/index_fit.h"

static const struct {
        const char *name;
        bool is_harmless, is_of_label;
} kinds[HNSW_FINDING_KINDS] = {
        [HNSW_FILE] = { "file", false, false },
        [HNSW_HEADER] = { "header", false, false },
        [HNSW_SIZE] = { "size", false, false },
        [HNSW_LEVEL] = { "level", false, false },
        [HNSW_LIST] = { "list", false, false },
        [HNSW_LINK_RANGE] = { "link_range", false, false },
        [HNSW_LINK_SELF] = { "link_self", false, false },
        [HNSW_LINK_TWICE] = { "link_twice", false, false },
        [HNSW_LINK_LEVEL] = { "link_level", false, false },
        [HNSW_LABEL_TWICE] = { "label_twice", false, true },
        [HNSW_LABEL_RANGE] = { "label_range", false, true },
        [HNSW_LABEL_ORPHAN] = { "label_orphan", false, true },
        [HNSW_LABEL_MISSING] = { "label_missing", false, true },
        [HNSW_PICKLE] = { "pickle", false, false },
        [HNSW_VECTOR] = { "vector", true, false },
        [HNSW_UNREACHABLE] = { "unreachable", true, false },
};

const char *hnsw_finding_name(enum hnsw_finding_kind kind)
{
        return kinds[kind].name;
}

bool hnsw_finding_is_of_label(enum hnsw_finding_kind kind)
{
        return kinds[kind].is_of_label;
}

static bool has_findings(const struct hnsw_check *check)
{
        for (int i = 0; i < HNSW_FINDING_KINDS; i++)
                if (check->findings[i].count > 0)
                        return true;
        return false;
}

bool hnsw_check_is_ok(const struct hnsw_check *check)
{
        return check->complete && !has_findings(check);
}

/* ---- labels and reachability ---- */

static int take_difference(void *context, uint64_t label, bool in_index)
{
        struct checking *c = context;
        if (in_index)
                (void) error_set(hnsw_fault(&c->f, HNSW_LABEL_ORPHAN, label), EILSEQ,
                                 "label %llu of the index belongs to no record: index_metadata.pickle does not have it",
                                 (unsigned long long) label);
        else
                (void) error_set(hnsw_fault(&c->f, HNSW_LABEL_MISSING, label), EILSEQ,
                                 "label %llu of index_metadata.pickle is that of no live element of the index",
                                 (unsigned long long) label);
        return 0;
}

static void check_labels(struct checking *c)
{
        (void) label_lists_sort(&c->labels, &c->f);
        if (c->metadata != NULL)
                (void) label_lists_compare(&c->labels, c->metadata, take_difference, c);
        else
                c->check->complete = false;
}

static int check_reach(struct checking *c)
{
        int r = check_graph_reach(&c->graph, c->header, c->cancelled, c->context, c->f.e);
        if (r < 0)
                return r;
        for (uint32_t id = 0; id < c->header->count; id++)
                if (c->graph.marks[id] == 0)
                        (void) error_set(hnsw_fault(&c->f, HNSW_UNREACHABLE, id), EILSEQ,
                                         "no links lead from entry point %u to element %u: no search finds it",
                                         c->header->entry_point, id);
        return 0;
}

static int check_files(struct checking *c)
{
        bool records = false, links = false;
        int r = check_passes(c, &records, &links);
        if (r < 0)
                return r;
        if (records)
                check_labels(c);
        else
                c->check->complete = false;
        return records && links ? check_reach(c) : 0;
}

/* ---- the segment ---- */

static bool never_persisted(enum index_stage stage)
{
        return stage == INDEX_ABSENT || stage == INDEX_EMPTY || stage == INDEX_UNPERSISTED;
}

static int check_segment(int persist_fd, const char *segment_id, struct checking *c, const struct index_summary *summary)
{
        struct hnsw_check *check = c->check;
        check->stamps = summary->stamps;
        check->stage = summary->stage;
        check->has_header = summary->has_header;
        check->elements = summary->has_header ? summary->header.count : 0;
        check->complete = check->has_elements = never_persisted(summary->stage);
        if (check->complete || !summary->has_header)
                return 0;
        struct error failure;
        CLEANUP(close)
        int dir_fd = c->dir_fd = file_open_dir(persist_fd, segment_id, &failure);
        if (dir_fd < 0)
                return index_is_ours(dir_fd) ? error_set(c->f.e, -dir_fd, "%s", failure.text)
                                             : (hnsw_fault_read(&c->f, &failure), 0);
        int r = check_files(c);
        label_lists_clear(&c->labels);
        check_graph_clear(&c->graph);
        return r;
}

static void judge(struct hnsw_check *check)
{
        for (int i = 0; i < HNSW_FINDING_KINDS; i++)
                if (check->findings[i].count > 0 && !kinds[i].is_harmless)
                        check->is_fatal = true;
}

static int check_and_judge(int persist_fd, const char *segment_id, struct checking *c, bool is_own, struct error *e)
{
        struct index_summary summary;
        CLEANUP(index_metadata_free)
        struct index_metadata *metadata = NULL;
        index_summary_check(persist_fd, segment_id, c->cancelled, c->context, c->check->findings, &summary, &metadata);
        if (summary.damage.code < 0)
                return error_set(e, -summary.damage.code, "%s", summary.damage.text);
        c->header = &summary.header;
        c->metadata = metadata;
        int r = check_segment(persist_fd, segment_id, c, &summary);
        struct index_stamps after = index_stamps_read(persist_fd, segment_id);
        if (r == 0 && !index_stamps_equal(&after, &c->check->stamps))
                r = error_set(e, EAGAIN, "the index of segment %s changed while it was read", segment_id);
        if (r == 0 && !is_own && has_findings(c->check) && index_stamps_young(&c->check->stamps))
                r = error_set(e, EAGAIN, "the index of segment %s is being written", segment_id);
        judge(c->check);
        c->header = NULL;
        c->metadata = NULL;
        return r;
}

static int check_as(int persist_fd, const char *segment_id, bool is_own, db_cancel_fn *cancelled, void *context,
                    struct hnsw_check *ret, struct error *e)
{
        CLEANUP(free)
        struct hnsw_check *check = calloc(1, sizeof(*check));
        if (check == NULL)
                return error_set(e, ENOMEM, "no memory for a check: %zu bytes", sizeof(*check));
        struct checking c = {
                .cancelled = cancelled, .context = context, .check = check, .f = { .findings = check->findings, .e = e }
        };
        int r = check_and_judge(persist_fd, segment_id, &c, is_own, e);
        if (r == 0)
                *ret = *check;
        return r;
}

int hnsw_check(int persist_fd, const char *segment_id, db_cancel_fn *cancelled, void *context, struct hnsw_check *ret,
               struct error *e)
{
        return check_as(persist_fd, segment_id, false, cancelled, context, ret, e);
}

int hnsw_check_own(int persist_fd, const char *segment_id, db_cancel_fn *cancelled, void *context, struct hnsw_check *ret,
                   struct error *e)
{
        return check_as(persist_fd, segment_id, true, cancelled, context, ret, e);
}
