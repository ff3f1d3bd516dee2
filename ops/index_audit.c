/*
 * The order of the passes is that of what they cost to have wrong: records first (labels, level-0 links), then upper links, then lengths.
 * Whatever a pass says is only believed when the stamps of the files are the same before and after all of them: Chroma persists in
 * place, and an index that is read meanwhile looks torn without being damaged. For the same reason nothing bad is said of young files,
 * labels that are only on one side included: they are so between the writing of the records and that of the pickle.
 */
#include "ops/index_audit.h"

#include <errno.h>

#include "ops/cleanup.h"
#include "ops/file.h"
#include "ops/hnsw_file.h"
#include "ops/index_fit.h"
#include "ops/pickle.h"

struct reading {
        int dir_fd;
        const struct hnsw_header *header;
        const struct index_metadata *metadata;
        db_cancel_fn *cancelled;
        void *context;
        struct index_audit *audit;
};

static int read_labels(struct reading *r, int fd, struct error *e)
{
        int code = label_counts_read(fd, r->header, r->metadata, r->cancelled, r->context, &r->audit->labels, e);
        r->audit->has_labels = code == 0;
        return code;
}

static int read_links(struct reading *r, int fd, struct error *e)
{
        return hnsw_link_lists_check(fd, r->header, e);
}

static int read_lengths(struct reading *r, int fd, struct error *e)
{
        return hnsw_length_check(fd, r->header, e);
}

static const struct pass {
        enum index_file file;
        int (*read)(struct reading *r, int fd, struct error *e);
} passes[] = {
        { INDEX_LEVEL0, read_labels },
        { INDEX_LINK_LISTS, read_links },
        { INDEX_LENGTH, read_lengths },
};

static int run_pass(struct reading *r, const struct pass *pass, struct error *e)
{
        if (r->cancelled != NULL && r->cancelled(r->context))
                return error_set(e, EINTR, "cancelled");
        CLEANUP(close)
        int fd = file_open_regular(r->dir_fd, index_file_names[pass->file], NULL, e);
        return fd < 0 ? fd : pass->read(r, fd, e);
}

/* Runs all passes, so that one damaged file hides nothing that another one says. */
static int run_passes(struct reading *r, struct error *e)
{
        for (size_t i = 0; i < sizeof(passes) / sizeof(*passes); i++) {
                struct error found = { 0 };
                int code = run_pass(r, &passes[i], &found);
                if (index_is_ours(code))
                        return error_set(e, -code, "%s", found.text);
                if (code < 0 && r->audit->damage.code == 0)
                        r->audit->damage = found;
        }
        return 0;
}

static int read_records(int persist_fd, const char *segment_id, struct reading *r, struct error *e)
{
        r->dir_fd = file_open_dir(persist_fd, segment_id, &r->audit->damage);
        if (r->dir_fd < 0)
                return index_is_ours(r->dir_fd) ? error_set(e, -r->dir_fd, "%s", r->audit->damage.text) : 0;
        int code = run_passes(r, e);
        (void) close(r->dir_fd);
        return code;
}

static bool never_persisted(enum index_stage stage)
{
        return stage == INDEX_ABSENT || stage == INDEX_EMPTY || stage == INDEX_UNPERSISTED;
}

static int audit_files(int persist_fd, const char *segment_id, struct reading *r, const struct index_summary *summary,
                       struct error *e)
{
        r->audit->stamps = summary->stamps;
        if (never_persisted(summary->stage))
                return 0;
        bool pickle_unreadable = r->metadata == NULL && summary->stamps.files[INDEX_PICKLE].present;
        if (!summary->has_header || pickle_unreadable || !summary->stamps.files[INDEX_LEVEL0].present) {
                /* Nothing to hold the records against. */
                r->audit->damage = summary->damage;
                return 0;
        }
        return read_records(persist_fd, segment_id, r, e);
}

static bool is_suspect(const struct index_audit *audit)
{
        return audit->damage.code != 0 || (audit->has_labels && audit->labels.orphan_count + audit->labels.missing_count > 0);
}

/* Everything behind the summary. */
static int audit_summary(int persist_fd, const char *segment_id, struct reading *reading, const struct index_summary *summary,
                         struct error *e)
{
        struct index_audit *audit = reading->audit;
        int r = audit_files(persist_fd, segment_id, reading, summary, e);
        struct index_stamps after = index_stamps_read(persist_fd, segment_id);
        if (r == 0 && !index_stamps_equal(&after, &audit->stamps))
                r = error_set(e, EAGAIN, "the index of segment %s changed while it was read", segment_id);
        if (r == 0 && is_suspect(audit) && index_stamps_young(&audit->stamps))
                r = error_set(e, EAGAIN, "the index of segment %s is being written", segment_id);
        return r;
}

int index_audit_read_all(int persist_fd, const char *segment_id, db_cancel_fn *cancelled, void *context,
                         struct index_audit *ret_audit, struct index_summary *ret_summary, struct index_metadata **ret_metadata,
                         struct error *e)
{
        CLEANUP(index_metadata_free)
        struct index_metadata *metadata = NULL;
        index_summary_read_all(persist_fd, segment_id, cancelled, context, ret_summary, &metadata);
        if (ret_summary->damage.code == -EAGAIN || index_is_ours(ret_summary->damage.code))
                return error_set(e, -ret_summary->damage.code, "%s", ret_summary->damage.text);
        struct index_audit audit = { 0 };
        struct reading reading = {
                .header = &ret_summary->header,
                .metadata = metadata,
                .cancelled = cancelled,
                .context = context,
                .audit = &audit,
        };
        int r = audit_summary(persist_fd, segment_id, &reading, ret_summary, e);
        if (r < 0) {
                index_audit_clear(&audit);
                return r;
        }
        *ret_audit = audit;
        *ret_metadata = TAKE(metadata);
        return 0;
}

int index_audit_read(int persist_fd, const char *segment_id, db_cancel_fn *cancelled, void *context, struct index_audit *ret_audit,
                     struct error *e)
{
        struct index_summary summary;
        struct index_metadata *metadata = NULL;
        int r = index_audit_read_all(persist_fd, segment_id, cancelled, context, ret_audit, &summary, &metadata, e);
        (void) index_metadata_free(metadata);
        return r;
}

void index_audit_clear(struct index_audit *audit)
{
        if (audit->has_labels)
                label_counts_clear(&audit->labels);
        *audit = (struct index_audit){ 0 };
}
