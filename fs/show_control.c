/* What can be read of operations: status.json, last_error, history.jsonl, and what a control says of itself. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/control_line.h"
#include "fs/facts.h"
#include "fs/operations.h"
#include "fs/show.h"
#include "ops/json.h"
#include "ops/operation/history.h"
#include "ops/text.h"

/* Keys of an outcome whose values nobody has chosen. All others are hidden: a history is a stranger's, or of another version. */
static const char *const public_keys[] = { "operation", "dry_run", "started", "finished", "seconds", "status", "errno" };
#define PUBLIC_COUNT (sizeof(public_keys) / sizeof(*public_keys))

static bool is_public(const char *key)
{
        for (size_t i = 0; i < PUBLIC_COUNT; i++)
                if (strcmp(key, public_keys[i]) == 0)
                        return true;
        return false;
}

static void hide(struct json_object *o, const char *key)
{
        struct json_object *value = NULL;
        if (json_object_object_get_ex(o, key, &value) && value != NULL)
                json_object_object_add(o, key, json_string(HIDDEN));
}

/* Of the collection its id stays, as everywhere. */
static bool is_id(const char *key, struct json_object *value)
{
        return strcmp(key, "collection") == 0 && json_object_is_type(value, json_type_string) &&
               uuid_valid(json_object_get_string(value));
}

/* Takes the outcome and returns it as it may be shown. */
static struct json_object *shown_outcome(const struct request *request, struct json_object *outcome)
{
        if (!request->mount->options->privacy || outcome == NULL)
                return outcome;
        json_object_object_foreach(outcome, key, value)
        {
                if (!is_public(key) && !is_id(key, value))
                        hide(outcome, key); /* replaces the value: the iteration stays right */
        }
        return outcome;
}

/* --- status.json ----------------------------------------------------------- */

/* What to do without, in this order, when it does not fit: history.jsonl and the control itself have all of it. */
static const char *const long_keys[] = { "result", "options", "sentence", "collection" };
#define LONG_COUNT (sizeof(long_keys) / sizeof(*long_keys))

static int render(struct json_object *status, struct text *ret)
{
        struct text text = { 0 };
        int r = json_render(status, &text);
        if (r < 0)
                return r;
        if (text.len > STATUS_SIZE) {
                free(text.bytes);
                return -EFBIG;
        }
        char *padded = malloc(STATUS_SIZE + 1);
        if (padded != NULL) {
                memset(padded, ' ', STATUS_SIZE);
                memcpy(padded, text.bytes, text.len - 1);
                padded[STATUS_SIZE - 1] = '\n';
                padded[STATUS_SIZE] = '\0';
        }
        free(text.bytes);
        *ret = (struct text){ .bytes = padded, .len = STATUS_SIZE };
        return padded != NULL ? 0 : -ENOMEM;
}

static void drop(struct json_object *o, const char *key)
{
        if (o != NULL && json_object_object_get_ex(o, key, NULL))
                json_object_object_add(o, key, NULL);
}

/* What an operation says of single collections or directories, which can be long, goes before what it says as a whole. */
static void drop_lists(struct json_object *outcome)
{
        struct json_object *result = NULL;
        if (outcome == NULL || !json_object_object_get_ex(outcome, "result", &result) ||
            !json_object_is_type(result, json_type_object))
                return;
        for (struct json_object_iterator i = json_object_iter_begin(result), end = json_object_iter_end(result);
             !json_object_iter_equal(&i, &end); json_object_iter_next(&i))
                if (json_object_is_type(json_object_iter_peek_value(&i), json_type_array))
                        drop(result, json_object_iter_peek_name(&i)); /* replaces the value: the iterator stays right */
}

int show_status(struct request *request, const struct node *node, struct text *ret)
{
        (void) node;
        struct operations *operations = request->mount->operations;
        struct json_object *status = json_object_new_object(), *running = operations_running(operations);
        struct json_object *last = shown_outcome(request, outcomes_last(operations_outcomes(operations), NULL, NULL));
        if (status == NULL)
                return -ENOMEM;
        if (running != NULL && request->mount->options->privacy)
                hide(running, "options");
        json_object_object_add(status, "running", running);
        json_object_object_add(status, "last", last);
        int r = render(status, ret);
        if (r == -EFBIG) {
                drop_lists(last);
                r = render(status, ret);
        }
        for (size_t i = 0; r == -EFBIG && i < LONG_COUNT; i++) {
                drop(last, long_keys[i]);
                r = render(status, ret);
        }
        if (r == -EFBIG) {
                json_object_object_add(status, "last", NULL);
                drop(running, "options");
                r = render(status, ret);
        }
        (void) json_object_put(status);
        return r;
}

/* --- the others ------------------------------------------------------------ */

int show_last_error(struct request *request, const struct node *node, struct text *ret)
{
        (void) node;
        struct error refusal = operations_last_refusal(request->mount->operations);
        if (refusal.code == 0)
                return text_copy(ret, "", 0);
        return request->mount->options->privacy ? show_line(ret, "%s: %s\n", HIDDEN, strerror(-refusal.code))
                                                : show_line(ret, "%s\n", refusal.text);
}

int show_history(struct request *request, const struct node *node, struct text *ret)
{
        (void) node;
        return history_read(observer_dirfd(request->mount->observer), ret, &request->error);
}

/* Appends `more`, which it frees. */
static int append(struct text *text, struct text *more)
{
        char *bytes = realloc(text->bytes, text->len + more->len + 1);
        if (bytes != NULL) {
                memcpy(bytes + text->len, more->bytes, more->len);
                text->len += more->len;
                bytes[text->len] = '\0';
                text->bytes = bytes;
        }
        free(more->bytes);
        return bytes != NULL ? 0 : -ENOMEM;
}

int show_control(struct request *request, const struct node *node, struct text *ret)
{
        struct text text = { 0 }, json = { 0 };
        const struct collection *collection = node->a[0] != '\0' ? node_collection(request, node) : NULL;
        if (node->a[0] != '\0' && collection == NULL)
                return -ENOENT;
        int r = control_usage(node->type, &text);
        if (r < 0)
                return r;
        struct json_object *last = outcomes_last(operations_outcomes(request->mount->operations), node->type->operation,
                                                 collection != NULL ? collection->id.bytes : NULL);
        if (last != NULL)
                r = show_json(shown_outcome(request, last), &json);
        if (r == 0 && json.bytes != NULL)
                r = append(&text, &json);
        if (r < 0)
                free(text.bytes);
        else
                *ret = text;
        return r;
}

int show_cancel(struct request *request, const struct node *node, struct text *ret)
{
        (void) request;
        (void) node;
        return show_line(ret, "# cancel: stops the operation that runs in this mount, which leaves everything as it was.\n"
                              "# Usage: echo 1 > cancel\n"
                              "# Returns when it has ended; succeeds when nothing runs. status.json tells what came of it.\n");
}
