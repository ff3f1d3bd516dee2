/*
 * JSON of a stranger, changed in place. Bit 0 of the first byte says whether what is new is spaced, the next two how many objects are made on the way; the second byte names these and
 * the member, by two bits each; the third chooses its value; the rest is the text.
 *
 * What can be edited json-c takes for an object, too; it takes more (a number that ends in its point), which no Chroma would read. An edit that succeeds makes what json-c makes of the same change, and not one byte differs besides; one that fails
 * changes nothing.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/cleanup.h"
#include "ops/json.h"
#include "ops/operation/json_edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = { "a", "b", "hnsw", "vector_index" };
static const char *const values[] = { "0", "-17", "1.5", "\"l2\"", "{}", "1e-05", "9223372036854775807", "null" };

static void check(bool good)
{
        if (!good)
                abort();
}

static void check_refusal(int r, const struct error *e)
{
        check(r == -EILSEQ && e->code == r && e->text[0] != '\0' && utf8_valid(e->text, strlen(e->text)));
}

static struct json_object *parse(const char *bytes, size_t len)
{
        struct json_object *object = NULL;
        struct error e = { 0 };
        check(json_parse(bytes, len, &object, &e) == 0);
        return object;
}

/* What is in it begins `after` behind `from`; returns the offset behind that. */
static size_t expect(const struct text *after, size_t from, const char *bytes)
{
        size_t len = strlen(bytes);
        check(from <= after->len && len <= after->len - from && memcmp(after->bytes + from, bytes, len) == 0);
        return from + len;
}

static void expect_rest(const struct text *after, size_t from, const struct text *before, size_t before_from)
{
        check(before_from <= before->len && after->len - from == before->len - before_from &&
              memcmp(after->bytes + from, before->bytes + before_from, after->len - from) == 0);
}

/* The value at `value`, all of it and nothing else, became `json`. */
static void check_replaced(const struct text *before, const struct text *after, size_t value, const char *json)
{
        check(value < before->len && memcmp(before->bytes, after->bytes, value) == 0);
        size_t end = expect(after, value, json), rest = after->len - end;
        check(rest <= before->len - value);
        json_object_put(parse(before->bytes + value, before->len - rest - value));
        expect_rest(after, end, before, before->len - rest);
}

static bool has_at(const struct text *after, size_t at, const char *bytes)
{
        return after->len - at >= strlen(bytes) && memcmp(after->bytes + at, bytes, strlen(bytes)) == 0;
}

/* The member was put before a '}': json-c says whether it was the right one. */
static void check_added(const struct text *before, const struct text *after, bool spaced, const char *name, const char *json)
{
        char member[64], more[72];
        (void) snprintf(member, sizeof(member), "\"%s\"%s%s", name, spaced ? ": " : ":", json);
        (void) snprintf(more, sizeof(more), "%s%s", spaced ? ", " : ",", member);
        check(after->len > before->len);
        size_t len = after->len - before->len;
        const char *added = len == strlen(member) ? member : more;
        check(len == strlen(added));
        for (size_t at = 0; at < before->len; at++) {
                if (before->bytes[at] == '}' && has_at(after, at, added) &&
                    memcmp(after->bytes + at + len, before->bytes + at, before->len - at) == 0)
                        return;
                check(before->bytes[at] == after->bytes[at]);
        }
        check(false);
}

/* What json-c makes of it. It ends a key at a NUL, which other readers don't. */
static void check_meaning(struct json_object *model, const struct text *after)
{
        struct json_object *object = parse(after->bytes, after->len);
        check(memmem(after->bytes, after->len, "\\u0000", 6) != NULL ||
              strcmp(json_object_to_json_string(model), json_object_to_json_string(object)) == 0);
        json_object_put(object);
}

static bool same(const struct text *a, const struct text *b)
{
        return text_equal(a, b);
}

struct run {
        struct json_edit *edit;
        struct json_object *model, *object; /* all of it, and the object that is being changed */
        size_t at;
};

/* One change; false when it was refused, or changed nothing. `makes`: of an object, which goes on. */
static bool change(struct run *run, const char *name, const char *json, bool makes)
{
        struct error e = { 0 };
        struct text before;
        size_t value = 0;
        if (text_copy(&before, run->edit->text.bytes, run->edit->text.len) < 0)
                return false;
        int found = json_edit_find(run->edit, run->at, name, &value, &e);
        int r = makes ? json_edit_make_object(run->edit, run->at, name, &run->at, &e)
                      : json_edit_set(run->edit, run->at, name, json, &e);
        check(found >= 0 || r < 0);
        bool kept = same(&before, &run->edit->text);
        if (r < 0) {
                check_refusal(r, &e);
                check(kept);
        } else if (found == 0) {
                check_added(&before, &run->edit->text, run->edit->spaced, name, json);
        } else if (!makes || before.bytes[value] != '{') {
                check(!makes || before.bytes[value] == 'n');
                check_replaced(&before, &run->edit->text, value, json);
        } else {
                check(kept);
        }
        if (r == 0 && (!makes || found == 0 || before.bytes[value] != '{'))
                check(json_object_object_add(run->object, name, parse(json, strlen(json))) == 0);
        free(before.bytes);
        if (r == 0 && memmem(run->edit->text.bytes, run->edit->text.len, "\\u0000", 6) == NULL)
                check_meaning(run->model, &run->edit->text);
        if (r == 0 && makes)
                run->object = json_object_object_get(run->object, name);
        return r == 0 && (!makes || json_object_is_type(run->object, json_type_object));
}

static void edit_it(struct json_edit *edit, struct json_object *model, const uint8_t *choice)
{
        struct run run = { edit, model, model, edit->root };
        unsigned steps = choice[0] >> 1 & 3u;
        for (unsigned i = 0; i < steps; i++)
                if (!change(&run, names[choice[1] >> (2 * i) & 3u], "{}", true))
                        return;
        (void) change(&run, names[choice[1] >> 6], values[choice[2] % (sizeof(values) / sizeof(values[0]))], false);
}

/* json-c writes a number with a point or an exponent as it was read, its freedoms included; and it has more than JSON. */
static bool has_free_number(const char *json)
{
        const char *start = json;
        for (; *json != '\0'; json++)
                if (*json == '.' || (*json >= '0' && *json <= '9' && (json[1] == 'e' || json[1] == 'E')))
                        return true;
        return strstr(start, "NaN") != NULL || strstr(start, "Infinity") != NULL;
}

/* Written by json-c it is JSON without its freedoms. */
static void check_taken(struct json_object *model)
{
        struct json_edit edit = { .text = { NULL, 0 } };
        struct error e = { 0 };
        const char *written = json_object_to_json_string(model);
        struct text json = { (char *) (uintptr_t) written, written == NULL ? 0 : strlen(written) };
        if (written == NULL || has_free_number(written))
                return;
        check(json_edit_begin(&edit, &json, "config_json_str", false, &e) == 0);
        json_edit_clear(&edit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct json_object *model = NULL;
        struct json_edit edit = { .text = { NULL, 0 } };
        struct text json = { NULL, 0 };
        struct error e = { 0 }, other = { 0 };
        if (size < 3 || text_copy(&json, (const char *) data + 3, size - 3) < 0)
                return 0;
        int parsed = json_parse(json.bytes, json.len, &model, &other);
        int r = json_edit_begin(&edit, &json, "config_json_str", (data[0] & 1) != 0, &e);
        bool is_object = parsed == 0 && json_object_is_type(model, json_type_object);
        check(r < 0 || is_object);
        if (is_object)
                check_taken(model);
        if (r == 0) {
                check(same(&json, &edit.text));
                edit_it(&edit, model, data);
                json_edit_clear(&edit);
        } else {
                check_refusal(r, &e);
                check(edit.text.bytes == NULL);
        }
        json_object_put(model);
        free(json.bytes);
        return 0;
}
