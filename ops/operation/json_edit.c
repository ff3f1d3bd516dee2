/*
 * json_check() has found the text well-formed; so the scanner below has only to find where things end: strings at the quote that no
 * backslash precedes, lists and objects by counting brackets outside strings, anything else at what may follow a value. Each step
 * looks at the end of the text all the same.
 */
#include "ops/operation/json_edit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/cleanup.h"
#include "ops/json.h"
#include "ops/json_check.h"

static int odd(const struct json_edit *edit, const char *what, struct error *e)
{
        return error_set(e, EILSEQ, "%s: %s", edit->where, what);
}

/* Scanning. Each function takes an offset and returns the one behind what it passed over; at the end of the text that is its length. */

static size_t skip_blanks(const struct text *t, size_t at)
{
        while (at < t->len && memchr(" \t\n\r", t->bytes[at], 4) != NULL)
                at++;
        return at;
}

static size_t skip_string(const struct text *t, size_t at)
{
        for (at++; at < t->len && t->bytes[at] != '"'; at++)
                if (t->bytes[at] == '\\')
                        at++;
        return at < t->len ? at + 1 : t->len;
}

static size_t skip_nested(const struct text *t, size_t at)
{
        size_t depth = 0;
        while (at < t->len) {
                char c = t->bytes[at];
                if (c == '"') {
                        at = skip_string(t, at);
                        continue;
                }
                at++;
                if (c == '{' || c == '[')
                        depth++;
                else if ((c == '}' || c == ']') && --depth == 0)
                        break;
        }
        return at;
}

static size_t skip_value(const struct text *t, size_t at)
{
        if (at < t->len && t->bytes[at] == '"')
                return skip_string(t, at);
        if (at < t->len && (t->bytes[at] == '{' || t->bytes[at] == '['))
                return skip_nested(t, at);
        while (at < t->len && memchr(",}] \t\n\r", t->bytes[at], 7) == NULL)
                at++;
        return at;
}

static bool has_at(const struct text *t, size_t at, char c)
{
        return at < t->len && t->bytes[at] == c;
}

int json_edit_next(const struct json_edit *edit, size_t *at, struct json_member *ret, struct error *e)
{
        const struct text *t = &edit->text;
        size_t i = skip_blanks(t, has_at(t, *at, '{') ? *at + 1 : *at);
        if (has_at(t, i, ','))
                i = skip_blanks(t, i + 1);
        if (has_at(t, i, '}')) {
                *at = i;
                return 0;
        }
        if (!has_at(t, i, '"'))
                return odd(edit, "an object has a member without a key", e);
        size_t end = skip_string(t, i);
        struct json_member member = { .key = { t->bytes + i + 1, end < i + 2 ? 0 : end - i - 2 } };
        i = skip_blanks(t, end);
        if (!has_at(t, i, ':'))
                return odd(edit, "an object has a key without a value", e);
        member.value = skip_blanks(t, i + 1);
        member.end = skip_value(t, member.value);
        if (member.end == member.value)
                return odd(edit, "an object has a key without a value", e);
        *ret = member;
        *at = member.end;
        return 1;
}

int json_edit_key(const struct json_edit *edit, const struct text *key, struct text *ret, char **ret_held, struct error *e)
{
        *ret = *key;
        if (key->len == 0 || memchr(key->bytes, '\\', key->len) == NULL)
                return 0;
        if (json_unescape(key, ret) < 0)
                return error_set(e, ENOMEM, "no memory for %s", edit->where);
        *ret_held = ret->bytes;
        return 0;
}

static int is_key(const struct json_edit *edit, const struct text *key, const char *name, struct error *e)
{
        CLEANUP(free)
        char *held = NULL;
        struct text decoded;
        int r = json_edit_key(edit, key, &decoded, &held, e);
        return r < 0 ? r : text_is(&decoded, name);
}

/* 1, or 0 when there is none: then ret->end is the offset of the object's '}', and ret->value 1 if it has other members, else 0. */
static int find(const struct json_edit *edit, size_t object, const char *name, struct json_member *ret, struct error *e)
{
        struct json_member member, found = { .value = 0 };
        size_t at = object;
        bool any = false, there = false;
        int r;
        while ((r = json_edit_next(edit, &at, &member, e)) > 0) {
                any = true;
                r = is_key(edit, &member.key, name, e);
                if (r > 0 && there)
                        return odd(edit, "a member is there twice", e);
                if (r < 0)
                        return r;
                if (r > 0)
                        found = member;
                there = there || r > 0;
        }
        if (r == 0)
                *ret = there ? found : (struct json_member){ .value = any, .end = at };
        return r < 0 ? r : there;
}

/* Changing. */

static int replace(struct json_edit *edit, size_t from, size_t to, const char *bytes, size_t len, struct error *e)
{
        struct text *t = &edit->text;
        size_t tail = t->len - to;
        char *grown = malloc(from + len + tail + 1);
        if (grown == NULL)
                return error_set(e, ENOMEM, "no memory for %s", edit->where);
        memcpy(grown, t->bytes, from);
        memcpy(grown + from, bytes, len);
        memcpy(grown + from + len, t->bytes + to, tail);
        free(t->bytes);
        *t = (struct text){ grown, from + len + tail };
        grown[t->len] = '\0';
        return 0;
}

int json_edit_begin(struct json_edit *edit, const struct text *json, const char *where, bool spaced, struct error *e)
{
        struct json_edit begun = { .where = where, .spaced = spaced, .root = skip_blanks(json, 0) };
        int r = json_check(json, e);
        if (r < 0)
                return error_prefix(e, r, "%s", where);
        if (!has_at(json, begun.root, '{'))
                return odd(&begun, "it is no JSON object", e);
        if (text_copy(&begun.text, json->bytes, json->len) < 0)
                return error_set(e, ENOMEM, "no memory for %s", where);
        *edit = begun;
        return 0;
}

void json_edit_clear(struct json_edit *edit)
{
        free(edit->text.bytes);
        edit->text = (struct text){ NULL, 0 };
}

int json_edit_member(const struct json_edit *edit, size_t object, const char *name, struct json_member *ret, struct error *e)
{
        struct json_member member;
        int r = find(edit, object, name, &member, e);
        if (r > 0)
                *ret = member;
        return r;
}

int json_edit_find(const struct json_edit *edit, size_t object, const char *name, size_t *ret_value, struct error *e)
{
        struct json_member member;
        int r = find(edit, object, name, &member, e);
        if (r > 0)
                *ret_value = member.value;
        return r;
}

int json_edit_object(const struct json_edit *edit, size_t object, const char *name, size_t *ret_object, struct error *e)
{
        size_t value = 0;
        int r = json_edit_find(edit, object, name, &value, e);
        if (r <= 0 || !has_at(&edit->text, value, '{'))
                return r < 0 ? r : 0;
        *ret_object = value;
        return 1;
}

int json_edit_make_object(struct json_edit *edit, size_t object, const char *name, size_t *ret_object, struct error *e)
{
        size_t value = 0;
        int r = json_edit_find(edit, object, name, &value, e);
        if (r == 0 || (r > 0 && has_at(&edit->text, value, 'n'))) {
                r = json_edit_set(edit, object, name, "{}", e);
                if (r == 0)
                        r = json_edit_find(edit, object, name, &value, e);
        }
        if (r < 0)
                return r;
        if (!has_at(&edit->text, value, '{'))
                return odd(edit, "there is no place for the settings in it", e);
        *ret_object = value;
        return 0;
}

int json_edit_set(struct json_edit *edit, size_t object, const char *name, const char *json, struct error *e)
{
        char added[256];
        struct json_member member;
        int r = find(edit, object, name, &member, e);
        if (r < 0)
                return r;
        if (r > 0)
                return replace(edit, member.value, member.end, json, strlen(json), e);
        const char *comma = member.value == 0 ? "" : edit->spaced ? ", " : ",", *colon = edit->spaced ? ": " : ":";
        int len = snprintf(added, sizeof(added), "%s\"%s\"%s%s", comma, name, colon, json);
        if (len < 0 || (size_t) len >= sizeof(added))
                return odd(edit, "a member is too long", e);
        return replace(edit, member.end, member.end, added, (size_t) len, e);
}

int json_edit_set_integer(struct json_edit *edit, size_t object, const char *name, int64_t value, struct error *e)
{
        char json[32];
        (void) snprintf(json, sizeof(json), "%" PRId64, value);
        return json_edit_set(edit, object, name, json, e);
}

int json_edit_set_real(struct json_edit *edit, size_t object, const char *name, double value, struct error *e)
{
        char json[32];
        return json_edit_set(edit, object, name, json_format_double(value, json), e);
}
