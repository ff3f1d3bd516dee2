/*
 * The text is checked first, so that what is left is to make values of it: only memory can be missing then. json-c's own parser drops a member, or ends the process, when there is none, and a configuration
 * without its space would be another one.
 */
#include "ops/json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ops/json_check.h"

#define SUBSTITUTE '\x1a'

struct reader {
        const char *at, *end;
        struct json_object *root, *open[JSON_DEPTH_MAX]; /* root holds them all */
        unsigned depth;
        struct text key; /* of the value that comes next; bytes NULL: none */
};

/* Between quotes, and what is behind them. */
static struct text take_quoted(struct reader *r)
{
        const char *from = ++r->at;
        while (*r->at != '"')
                r->at += *r->at == '\\' ? 2 : 1;
        return (struct text){ (char *) (uintptr_t) from, (size_t) (r->at++ - from) };
}

static struct text take_token(struct reader *r)
{
        const char *from = r->at;
        while (r->at < r->end && memchr(" \t\n\r,:]}", *r->at, 8) == NULL)
                r->at++;
        return (struct text){ (char *) (uintptr_t) from, (size_t) (r->at - from) };
}

static bool wants_key(const struct reader *r)
{
        return r->depth > 0 && json_object_is_type(r->open[r->depth - 1], json_type_object) && r->key.bytes == NULL;
}

/* Gives a value to what is open. Takes it. */
static int attach(struct reader *r, struct json_object *value)
{
        struct json_object *parent = r->depth == 0 ? NULL : r->open[r->depth - 1];
        int failed = 0;
        if (parent == NULL)
                r->root = value;
        else if (r->key.bytes != NULL)
                failed = json_object_object_add(parent, r->key.bytes, value);
        else
                failed = json_object_array_add(parent, value);
        free(r->key.bytes);
        r->key.bytes = NULL;
        if (failed != 0)
                json_object_put(value);
        return failed != 0 ? -ENOMEM : 0;
}

static int attach_new(struct reader *r, struct json_object *value)
{
        return value == NULL ? -ENOMEM : attach(r, value);
}

static int open_container(struct reader *r)
{
        struct json_object *container = *r->at++ == '{' ? json_object_new_object() : json_object_new_array();
        int code = attach_new(r, container);
        if (code == 0)
                r->open[r->depth++] = container;
        return code;
}

/* json-c's keys end at a NUL: to end there would make another key of it, one that counts perhaps. Chroma's schema_str has those of the user. */
static void replace_nuls(struct text *key)
{
        for (size_t i = 0; i < key->len; i++)
                if (key->bytes[i] == '\0')
                        key->bytes[i] = SUBSTITUTE;
}

static int read_string(struct reader *r)
{
        struct text quoted = take_quoted(r), string = { 0 };
        int code = json_unescape(&quoted, &string);
        if (code < 0)
                return code;
        if (wants_key(r)) {
                replace_nuls(&string);
                r->key = string;
                return 0;
        }
        code = attach_new(r, json_object_new_string_len(string.bytes, (int) string.len));
        free(string.bytes);
        return code;
}

/* An integer beyond all that there are is the last one; a double keeps its digits. */
static struct json_object *number(const char *token)
{
        if (strpbrk(token, ".eE") != NULL)
                return json_object_new_double_s(strtod(token, NULL), token);
        if (*token == '-')
                return json_object_new_int64(strtoll(token, NULL, 10));
        unsigned long long positive = strtoull(token, NULL, 10);
        return positive <= INT64_MAX ? json_object_new_int64((int64_t) positive) : json_object_new_uint64(positive);
}

static int read_scalar(struct reader *r)
{
        struct text token = take_token(r);
        if (*token.bytes == 'n')
                return attach(r, NULL);
        if (*token.bytes == 't' || *token.bytes == 'f')
                return attach_new(r, json_object_new_boolean(*token.bytes == 't'));
        char *copy = strndup(token.bytes, token.len);
        int code = copy == NULL ? -ENOMEM : attach_new(r, number(copy));
        free(copy);
        return code;
}

static int read_next(struct reader *r)
{
        switch (*r->at) {
        case ' ':
        case '\t':
        case '\n':
        case '\r':
        case ',':
        case ':':
                r->at++;
                return 0;
        case '}':
        case ']':
                r->at++;
                r->depth--;
                return 0;
        case '{':
        case '[':
                return open_container(r);
        case '"':
                return read_string(r);
        default:
                return read_scalar(r);
        }
}

int json_parse(const char *bytes, size_t len, struct json_object **ret_object, struct error *e)
{
        struct reader r = { .at = bytes, .end = bytes + len };
        int code = json_check(&(struct text){ (char *) (uintptr_t) bytes, len }, e);
        if (code < 0)
                return code;
        while (code == 0 && r.at < r.end)
                code = read_next(&r);
        free(r.key.bytes);
        if (code == 0) {
                *ret_object = r.root;
                return 0;
        }
        json_object_put(r.root);
        return error_set(e, ENOMEM, "no memory to parse JSON");
}
