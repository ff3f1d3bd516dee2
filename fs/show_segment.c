/* segments/<segment id>/: one value a file, and all of them in info.json. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fs/facts.h"
#include "fs/present.h"
#include "fs/show.h"
#include "ops/dir_size.h"
#include "ops/json.h"

static unsigned wanted_by(const char *value)
{
        return strcmp(value, "wal_gap") == 0 ? WANT_INDEX | WANT_TALLY : WANT_INDEX;
}

static struct json_object *segment_json(struct request *request, const struct segment *segment, const struct facts *facts)
{
        struct json_object *o =
                segment->scope == SCOPE_VECTOR ? vector_segment_json(request, facts) : metadata_segment_json(request, facts);
        if (o != NULL)
                json_object_object_add(o, "collection", json_text(&facts->collection->id));
        return o;
}

/* A segment that no collection owns, or one too many: what its row says. */
static struct json_object *lone_segment_json(const struct segment *segment)
{
        struct json_object *o = json_object_new_object();
        if (o == NULL)
                return NULL;
        json_object_object_add(o, "id", json_text(&segment->id));
        json_object_object_add(o, "type", json_text(&segment->type));
        json_object_object_add(o, "scope", json_text(&segment->scope_text));
        json_object_object_add(o, "max_seq_id", number_or_null(segment->has_position, segment->position));
        json_object_object_add(o, "collection", json_text(&segment->collection_id));
        return o;
}

int show_segment_info(struct request *request, const struct node *node, struct text *ret)
{
        const struct segment *segment = node_segment(request, node);
        if (segment == NULL)
                return -ENOENT;
        if (!is_owned(segment))
                return show_json(lone_segment_json(segment), ret);
        struct facts facts;
        unsigned wanted = segment->scope == SCOPE_VECTOR ? WANT_ALL : WANT_INDEX | WANT_TALLY;
        int r = facts_gather(request, segment->collection, wanted, &facts);
        if (r < 0)
                return r;
        r = show_json(segment_json(request, segment, &facts), ret);
        facts_clear(&facts);
        return r;
}

static int show_value(const struct segment *segment, const struct facts *f, const char *value, struct text *ret)
{
        bool vector = segment->scope == SCOPE_VECTOR;
        if (strcmp(value, "max_seq_id") == 0) {
                uint64_t position;
                bool known = vector ? vector_position(segment, &f->index, &position) : segment->has_position;
                return known ? show_line(ret, "%" PRIu64 "\n", vector ? position : segment->position) : show_line(ret, "null\n");
        }
        if (strcmp(value, "wal_gap") == 0) {
                if (!f->has_tally)
                        return f->failure.code != 0 ? f->failure.code : show_line(ret, "null\n");
                return show_line(ret, "%" PRIu64 "\n", vector ? f->tally.vector_gap : f->tally.metadata_gap);
        }
        bool known = strcmp(value, "dimension") == 0 ? f->index.has_header : f->index.has_pickle;
        if (!known) /* Chroma is writing it */
                return show_line(ret, "null\n");
        if (strcmp(value, "dimension") == 0)
                return show_line(ret, "%" PRIu32 "\n", f->index.header.dimension);
        char number[32];
        return show_line(ret, "%s\n", json_format_double(f->index.fragmentation, number));
}

static int show_size(struct request *request, const struct segment *segment, struct text *ret)
{
        struct dir_size size;
        int r = dir_size_read(observer_dirfd(request->mount->observer), segment->id.bytes, &size, &request->error);
        return r < 0 ? r : show_line(ret, "%" PRIu64 "\n", size.apparent);
}

int show_segment_value(struct request *request, const struct node *node, struct text *ret)
{
        const struct segment *segment = node_segment(request, node);
        const char *value = node->type->name;
        if (segment == NULL)
                return -ENOENT;
        if (strcmp(value, "type") == 0)
                return show_line(ret, "%s\n", segment->type.bytes);
        if (strcmp(value, "scope") == 0)
                return show_line(ret, "%s\n", segment->scope_text.bytes);
        if (strcmp(value, "size") == 0)
                return show_size(request, segment, ret);
        struct facts facts;
        int r = facts_gather(request, segment->collection, wanted_by(value), &facts);
        if (r < 0)
                return r;
        r = show_value(segment, &facts, value, ret);
        if (r < 0 && facts.failure.code != 0)
                request->error = facts.failure;
        facts_clear(&facts);
        return r;
}

static int show_counts(const struct label_counts *l, struct text *ret)
{
        return show_line(ret, "total %" PRIu64 "\nactive %" PRIu64 "\ndeleted %" PRIu64 "\nallocated %" PRIu64 "\norphan %zu\n",
                         l->total, l->active, l->deleted, l->allocated, l->orphan_count);
}

/* Until the records were read, the header says how many there are; NULL while Chroma writes that, too. */
static int show_header_counts(const struct hnsw_header *h, struct text *ret)
{
        if (h == NULL)
                return show_line(ret, "total null\nactive null\ndeleted null\nallocated null\norphan null\n");
        return show_line(ret, "total %" PRIu64 "\nactive null\ndeleted null\nallocated %" PRIu64 "\norphan null\n", h->count,
                         h->max_elements);
}

int show_labels(struct request *request, const struct node *node, struct text *ret)
{
        const struct segment *segment = node_segment(request, node);
        if (segment == NULL)
                return -ENOENT;
        struct facts f;
        int r = facts_gather(request, segment->collection, WANT_INDEX | WANT_LABELS, &f);
        if (r < 0)
                return r;
        const struct index_audit *audit = f.labels != NULL ? &f.labels->audit : NULL;
        if (audit != NULL && audit->has_labels)
                r = show_counts(&audit->labels, ret);
        else if (audit != NULL && audit->damage.code < 0)
                r = error_set(&request->error, -audit->damage.code, "%s", audit->damage.text);
        else
                r = show_header_counts(f.index.has_header ? &f.index.header : NULL, ret);
        facts_clear(&f);
        return r;
}

static bool index_has(struct request *request, const struct segment *segment, const char *value)
{
        struct index_summary index;
        observer_index(request->mount->observer, segment, &index);
        if (index.damage.code == -EAGAIN) /* Chroma is writing it: what was there will be there again */
                return true;
        uint64_t position;
        if (strcmp(value, "max_seq_id") == 0)
                return vector_position(segment, &index, &position);
        if (strcmp(value, "dimension") == 0)
                return index.has_header;
        if (strcmp(value, "fragmentation") == 0)
                return index.has_pickle;
        return index.stage != INDEX_ABSENT;
}

bool has_segment_value(struct request *request, const struct node *node)
{
        const struct segment *segment = node_segment(request, node);
        const char *value = node->type->name;
        if (segment == NULL)
                return false;
        if (strcmp(value, "type") == 0 || strcmp(value, "scope") == 0)
                return true;
        if (!is_owned(segment))
                return false;
        if (strcmp(value, "wal_gap") == 0)
                return true;
        if (segment->scope == SCOPE_METADATA)
                return strcmp(value, "max_seq_id") == 0 && segment->has_position;
        return segment->scope == SCOPE_VECTOR && index_has(request, segment, value);
}

bool has_labels(struct request *request, const struct node *node)
{
        const struct segment *segment = node_segment(request, node);
        if (segment == NULL || segment->scope != SCOPE_VECTOR || !is_owned(segment))
                return false;
        struct index_summary index;
        observer_index(request->mount->observer, segment, &index);
        if (index.damage.code == -EAGAIN)
                return true;
        return index.has_header && index.stage != INDEX_UNPERSISTED;
}
