/*
 * segments/<segment id>/check.json: everything that is wrong with an index.
 *
 * It is padded with blanks to a constant size, since a stat of it must not read the whole index. To open it can take as long as reading that: the open waits, and nothing
 * else does.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/facts.h"
#include "fs/present.h"
#include "fs/show.h"
#include "ops/clock.h"
#include "ops/json.h"

bool has_check(struct request *request, const struct node *node)
{
        const struct segment *segment = node_segment(request, node);
        if (segment == NULL || segment->scope != SCOPE_VECTOR || !is_owned(segment))
                return false;
        return file_stamp_at(observer_dirfd(request->mount->observer), segment->id.bytes).present;
}

static struct json_object *finding_json(enum hnsw_finding_kind kind, const struct hnsw_finding *finding)
{
        struct json_object *o = json_object_new_object();
        if (o == NULL)
                return NULL;
        json_object_object_add(o, "kind", json_string(hnsw_finding_name(kind)));
        json_object_object_add(o, "count", json_object_new_uint64(finding->count));
        json_object_object_add(o, hnsw_finding_is_of_label(kind) ? "label" : "element",
                               number_or_null(finding->at != HNSW_NOWHERE, finding->at));
        json_object_object_add(o, "sentence", json_string(finding->first.text));
        return o;
}

static struct json_object *findings_json(const struct hnsw_check *check)
{
        struct json_object *list = json_object_new_array();
        for (int i = 0; list != NULL && i < HNSW_FINDING_KINDS; i++)
                if (check->findings[i].count > 0)
                        json_object_array_add(list, finding_json((enum hnsw_finding_kind) i, &check->findings[i]));
        return list;
}

/* NULL: it could not be checked, since somebody writes to it. */
static struct json_object *check_json(const struct hnsw_check *check)
{
        struct json_object *o = json_object_new_object();
        if (o == NULL)
                return NULL;
        json_object_object_add(o, "ok", check != NULL ? json_object_new_boolean(hnsw_check_is_ok(check)) : NULL);
        json_object_object_add(o, "elements",
                               number_or_null(check != NULL && check->has_header, check != NULL ? check->elements : 0));
        json_object_object_add(o, "live", number_or_null(check != NULL && check->has_elements, check != NULL ? check->live : 0));
        json_object_object_add(o, "deleted",
                               number_or_null(check != NULL && check->has_elements, check != NULL ? check->deleted : 0));
        json_object_object_add(o, "complete", json_object_new_boolean(check != NULL && check->complete));
        json_object_object_add(o, "findings", check != NULL ? findings_json(check) : json_object_new_array());
        return o;
}

static int pad(struct text *text)
{
        char *padded = realloc(text->bytes, CHECK_SIZE + 1);
        if (padded == NULL)
                return -ENOMEM;
        memset(padded + text->len - 1, ' ', CHECK_SIZE - text->len);
        padded[CHECK_SIZE - 1] = '\n';
        padded[CHECK_SIZE] = '\0';
        *text = (struct text){ .bytes = padded, .len = CHECK_SIZE };
        return 0;
}

/* A sentence can quote what a file says, and escapes make that longer: what does not fit goes without, from the last one on. */
static int render(struct json_object *o, struct text *ret)
{
        struct json_object *findings = json_object_object_get(o, "findings");
        struct text text = { 0 };
        int r = json_render(o, &text);
        for (size_t i = json_object_array_length(findings); r == 0 && text.len > CHECK_SIZE && i > 0; i--) {
                json_object_object_add(json_object_array_get_idx(findings, i - 1), "sentence", NULL);
                free(text.bytes);
                text = (struct text){ 0 };
                r = json_render(o, &text);
        }
        if (r == 0)
                r = text.len <= CHECK_SIZE ? pad(&text) : -EFBIG;
        if (r < 0)
                free(text.bytes);
        else
                *ret = text;
        return r;
}

static int show(const struct hnsw_check *check, struct text *ret)
{
        struct json_object *o = check_json(check);
        if (o == NULL)
                return -ENOMEM;
        int r = render(o, ret);
        (void) json_object_put(o);
        return r;
}

/* Who writes again and again must not keep a reader for ever. */
static bool gives_up(const struct request *request, const struct segment *segment)
{
        struct index_stamps stamps = index_stamps_read(observer_dirfd(request->mount->observer), segment->id.bytes);
        return clock_ms() >= request->give_up_ms && index_stamps_young(&stamps);
}

int show_check(struct request *request, const struct node *node, struct text *ret)
{
        const struct segment *segment = node_segment(request, node);
        if (segment == NULL)
                return -ENOENT;
        struct patience patience = request->patience;
        patience.until_ms = clock_ms() + request->stream_wait_ms;
        struct check_result *result = NULL;
        bool current = false;
        int r = observer_check(request->mount->observer, segment, &patience, &result, &current, &request->error);
        if (r < 0)
                return r;
        int failure = result != NULL ? result->failure.code : 0;
        if (current && failure == 0)
                r = show(&result->check, ret);
        else if (current && failure != -EAGAIN)
                r = error_set(&request->error, -failure, "%s", result->failure.text);
        else
                r = gives_up(request, segment) ? show(NULL, ret) : -EINPROGRESS;
        if (result != NULL)
                (void) result_put(&result->shared);
        return r;
}
