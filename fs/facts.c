#include "fs/facts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fs/stream.h"
#include "ops/dir_size.h"
#include "ops/json.h"

#define ORPHAN_LABELS_SHOWN 1000

static int note(struct request *request, struct facts *facts, int r, bool there, bool current, const struct error *failure)
{
        if (r == -EINTR)
                return r;
        if (r < 0 && facts->failure.code == 0)
                facts->failure = *failure;
        if (r < 0 || !there || !current) {
                facts->exact = false;
                request->partial = request->partial || r == 0;
        }
        return 0;
}

void facts_count(struct request *request, struct facts *f, struct wal_index *index)
{
        struct tally_positions positions = observer_positions(request->mount->observer, f->collection);
        int r = tally_read(index, f->collection, &positions, &f->tally, &f->failure);
        f->has_tally = r == 0;
        if (r < 0)
                f->failure.code = r;
}

static int gather_tally(struct request *request, struct facts *f)
{
        bool current = false;
        struct error failure = { 0 };
        CLEANUP(wal_index_put)
        struct wal_index *index = NULL;
        int r = stream_index(request, request->patience.until_ms, &index, &current, &failure);
        if (r == 0 && index != NULL)
                facts_count(request, f, index);
        return note(request, f, r, f->has_tally, current && observer_is_still(request->mount->observer, request->view), &failure);
}

static int gather_labels(struct request *request, struct facts *f)
{
        bool current = false;
        struct error failure = { 0 };
        int r = observer_labels(request->mount->observer, f->collection->vector, &request->patience, &f->labels, &current,
                                &failure);
        return note(request, f, r, f->labels != NULL, current, &failure);
}

static int gather_records(struct request *request, struct facts *f)
{
        bool current = false;
        struct error failure = { 0 };
        int r = observer_records(request->mount->observer, request->view, f->collection, &request->patience, &f->records, &current,
                                 &failure);
        return note(request, f, r, f->records != NULL, current, &failure);
}

int facts_gather(struct request *request, const struct collection *collection, unsigned wanted, struct facts *ret)
{
        *ret = (struct facts){ .collection = collection, .exact = true };
        const struct segment *vector = collection->vector;
        ret->has_index = (wanted & WANT_INDEX) != 0 && vector != NULL && vector->id_is_uuid;
        if (ret->has_index)
                observer_index(request->mount->observer, vector, &ret->index);
        if (ret->has_index)
                ret->check = observer_known_check(request->mount->observer, vector->id.bytes, &ret->index.stamps);
        if (ret->has_index && ret->index.damage.code == -EAGAIN) { /* it is being written */
                ret->exact = false;
                request->partial = true;
        }
        int r = (wanted & WANT_TALLY) != 0 ? gather_tally(request, ret) : 0;
        if (r == 0 && (wanted & WANT_LABELS) != 0 && ret->has_index)
                r = gather_labels(request, ret);
        if (r == 0 && (wanted & WANT_RECORDS) != 0)
                r = gather_records(request, ret);
        if (r < 0)
                facts_clear(ret);
        return r;
}

void facts_clear(struct facts *facts)
{
        if (facts->labels != NULL)
                (void) result_put(&facts->labels->shared);
        if (facts->records != NULL)
                (void) result_put(&facts->records->shared);
        if (facts->check != NULL)
                (void) result_put(&facts->check->shared);
        facts->labels = NULL;
        facts->check = NULL;
        facts->records = NULL;
}

struct json_object *private_text(const struct request *request, const struct text *text)
{
        return request->mount->options->privacy ? json_string(HIDDEN) : json_text(text);
}

struct json_object *number_or_null(bool known, uint64_t number)
{
        return known ? json_object_new_uint64(number) : NULL;
}

static void add_segment(struct json_object *o, const struct segment *s)
{
        json_object_object_add(o, "id", json_text(&s->id));
        json_object_object_add(o, "type", json_text(&s->type));
        json_object_object_add(o, "scope", json_text(&s->scope_text));
}

struct json_object *metadata_segment_json(struct request *request, const struct facts *f)
{
        (void) request;
        const struct segment *s = f->collection->metadata;
        struct json_object *o = s != NULL ? json_object_new_object() : NULL;
        if (o == NULL)
                return NULL;
        add_segment(o, s);
        json_object_object_add(o, "max_seq_id", number_or_null(s->has_position, s->position));
        json_object_object_add(o, "wal_gap", number_or_null(f->has_tally, f->tally.metadata_gap));
        return o;
}

static struct json_object *index_json(const struct index_summary *index)
{
        struct json_object *o = json_object_new_object();
        if (o == NULL)
                return NULL;
        const struct hnsw_header *h = &index->header;
        json_object_object_add(o, "state", json_string(index_stage_name(index->stage)));
        json_object_object_add(o, "max_seq_id", number_or_null(index->has_max_seq_id, index->max_seq_id));
        json_object_object_add(o, "total_labels", number_or_null(index->has_pickle, index->total_labels));
        json_object_object_add(o, "total_elements_added", number_or_null(index->has_pickle, index->total_elements_added));
        json_object_object_add(o, "elements", number_or_null(index->has_header, h->count));
        json_object_object_add(o, "max_elements", number_or_null(index->has_header, h->max_elements));
        json_object_object_add(o, "dimension", number_or_null(index->has_header, h->dimension));
        json_object_object_add(o, "m", number_or_null(index->has_header, h->m));
        json_object_object_add(o, "ef_construction", number_or_null(index->has_header, h->ef_construction));
        return o;
}

static struct json_object *labels_json(const struct labels_result *result)
{
        if (result == NULL || !result->audit.has_labels)
                return NULL;
        const struct label_counts *labels = &result->audit.labels;
        struct json_object *o = json_object_new_object(), *orphans = json_object_new_array();
        json_object_object_add(o, "total", json_object_new_uint64(labels->total));
        json_object_object_add(o, "active", json_object_new_uint64(labels->active));
        json_object_object_add(o, "deleted", json_object_new_uint64(labels->deleted));
        json_object_object_add(o, "allocated", json_object_new_uint64(labels->allocated));
        for (size_t i = 0; i < labels->orphan_count && i < ORPHAN_LABELS_SHOWN; i++)
                json_object_array_add(orphans, json_object_new_uint64(labels->orphans[i]));
        json_object_object_add(o, "orphan", orphans);
        json_object_object_add(o, "orphan_total", json_object_new_uint64(labels->orphan_count));
        return o;
}

static struct json_object *vectorless_json(const struct request *request, const struct records_result *result)
{
        if (result == NULL || !result->vectors_known)
                return NULL;
        const struct record_audit *audit = &result->audit;
        struct json_object *o = json_object_new_object(), *first = json_object_new_array();
        json_object_object_add(o, "count", json_object_new_uint64(audit->without_vector));
        for (size_t i = 0; i < audit->first_count && !request->mount->options->privacy; i++)
                json_object_array_add(first, json_text(&audit->first[i]));
        json_object_object_add(o, "first", first);
        return o;
}

static struct json_object *segment_path(const struct request *request, const struct facts *f)
{
        if (!f->has_index || f->index.stage == INDEX_ABSENT)
                return NULL;
        if (request->mount->options->privacy)
                return json_string(HIDDEN);
        char *path = NULL;
        if (asprintf(&path, "%s/%s", request->mount->persist_path, f->collection->vector->id.bytes) < 0)
                return NULL;
        struct json_object *o = json_string(path);
        free(path);
        return o;
}

/* Of all that the segment's directory holds; null when it can't be read. */
static struct json_object *segment_size(const struct request *request, const struct facts *f)
{
        struct dir_size size;
        if (!f->has_index || f->index.stage == INDEX_ABSENT ||
            dir_size_read(observer_dirfd(request->mount->observer), f->collection->vector->id.bytes, &size, NULL) < 0)
                return NULL;
        return json_object_new_uint64(size.apparent);
}

struct json_object *vector_segment_json(struct request *request, const struct facts *f)
{
        const struct segment *s = f->collection->vector;
        struct json_object *o = s != NULL ? json_object_new_object() : NULL;
        if (o == NULL)
                return NULL;
        const struct index_summary *index = &f->index;
        bool there = f->has_index && index->stage != INDEX_ABSENT;
        add_segment(o, s);
        json_object_object_add(o, "path", segment_path(request, f));
        json_object_object_add(o, "size", segment_size(request, f));
        json_object_object_add(o, "max_seq_id", number_or_null(s->has_position, s->position));
        json_object_object_add(o, "index", there ? index_json(index) : NULL);
        json_object_object_add(o, "wal_gap", number_or_null(f->has_tally, f->tally.vector_gap));
        json_object_object_add(o, "labels", labels_json(f->labels));
        json_object_object_add(o, "ids_without_vector", vectorless_json(request, f->records));
        json_object_object_add(o, "fragmentation", there && index->has_pickle ? json_double(index->fragmentation) : NULL);
        return o;
}

int show_json(struct json_object *object, struct text *ret)
{
        if (object == NULL)
                return -ENOMEM;
        int r = json_render(object, ret);
        (void) json_object_put(object);
        return r;
}

int show_line(struct text *ret, const char *format, ...)
{
        char *line = NULL;
        va_list args;
        va_start(args, format);
        int n = vasprintf(&line, format, args);
        va_end(args);
        if (n < 0)
                return -ENOMEM;
        *ret = (struct text){ .bytes = line, .len = (size_t) n };
        return 0;
}
