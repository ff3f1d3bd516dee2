/* collections/<entry>/info.json: chops' collection and segment tables. */
#include <errno.h>
#include <string.h>

#include "fs/facts.h"
#include "fs/problems.h"
#include "fs/show.h"
#include "ops/json.h"

static struct json_object *value_json(const struct request *request, const struct metadata_value *value)
{
        bool hidden = request->mount->options->privacy && strncmp(value->key.bytes, "hnsw:", 5) != 0;
        if (hidden)
                return json_string(HIDDEN);
        switch (value->type) {
        case VALUE_STRING:
                return json_text(&value->string);
        case VALUE_INT:
                return json_object_new_int64(value->integer);
        case VALUE_FLOAT:
                return json_double(value->real);
        case VALUE_BOOL:
                return json_object_new_boolean(value->integer != 0);
        case VALUE_NULL:
                break;
        }
        return NULL;
}

static struct json_object *metadata_json(const struct request *request, const struct collection_detail *detail)
{
        if (detail->metadata_count == 0)
                return NULL;
        struct json_object *o = json_object_new_object();
        for (size_t i = 0; i < detail->metadata_count; i++) {
                const struct metadata_value *value = &detail->metadata[i];
                json_object_object_add(o, value->key.bytes, value_json(request, value));
        }
        return o;
}

static struct json_object *collection_json(struct request *request, const struct facts *f, const struct detail_result *d)
{
        const struct collection *c = f->collection;
        struct json_object *o = json_object_new_object();
        if (o == NULL)
                return NULL;
        json_object_object_add(o, "id", json_text(&c->id));
        json_object_object_add(o, "name", private_text(request, &c->name));
        json_object_object_add(o, "tenant", private_text(request, &c->tenant));
        json_object_object_add(o, "database", private_text(request, &c->database));
        json_object_object_add(o, "metadata", metadata_json(request, &d->detail));
        json_object_object_add(o, "dimension", c->has_dimension ? json_object_new_int64(c->dimension) : NULL);
        json_object_object_add(o, "configuration", d->config_failure.code == 0 ? config_json(&d->config) : NULL);
        json_object_object_add(o, "records",
                               number_or_null(f->records != NULL, f->records != NULL ? f->records->audit.records : 0));
        json_object_object_add(o, "wal_entries", number_or_null(f->has_tally, f->tally.entries));
        json_object_object_add(o, "exact", json_object_new_boolean(f->exact));
        json_object_object_add(o, "metadata_segment", metadata_segment_json(request, f));
        json_object_object_add(o, "vector_segment", vector_segment_json(request, f));
        struct json_object *problems = json_object_new_array();
        collection_problems(request, f, &d->config_failure, problems);
        json_object_object_add(o, "problems", problems);
        return o;
}

int show_collection_info(struct request *request, const struct node *node, struct text *ret)
{
        const struct collection *collection = node_collection(request, node);
        if (collection == NULL)
                return -ENOENT;
        struct detail_result *detail = NULL;
        int r = observer_detail(request->mount->observer, request->view, collection, &request->patience, &detail, &request->error);
        if (r < 0)
                return r;
        struct facts facts;
        r = facts_gather(request, collection, WANT_ALL, &facts);
        if (r == 0) {
                r = show_json(collection_json(request, &facts, detail), ret);
                facts_clear(&facts);
        }
        (void) result_put(&detail->shared);
        return r;
}
