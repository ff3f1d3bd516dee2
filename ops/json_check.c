/*
 * One pass, a bit for each level that is open: an object or an array. A value's end says by that bit what may follow.
 */
#include "ops/json_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/json.h"

_Static_assert(JSON_DEPTH_MAX <= 64, "the levels are bits");

struct checker {
        const char *at, *end;
        uint64_t objects; /* a bit for each level: an object, else an array */
        unsigned depth;
};

static int peek(struct checker *c)
{
        while (c->at < c->end && memchr(" \t\n\r", *c->at, 4) != NULL)
                c->at++;
        return c->at < c->end ? (unsigned char) *c->at : -1;
}

static bool take(struct checker *c, int wanted)
{
        bool there = peek(c) == wanted;
        c->at += there;
        return there;
}

/* Strings. */

static int digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits at `at`, or -1. */
static int32_t unit_at(const char *at, const char *end)
{
        int32_t unit = 0;
        for (int i = 0; i < 4; i++) {
                int d = end - at < 4 ? -1 : digit(at[i]);
                if (d < 0)
                        return -1;
                unit = unit * 16 + d;
        }
        return unit;
}

static bool check_escape(struct checker *c)
{
        c->at++;
        if (c->at == c->end)
                return false;
        char kind = *c->at++;
        if (kind != 'u')
                return strchr("\"\\/bfnrt", kind) != NULL && kind != '\0';
        if (unit_at(c->at, c->end) < 0)
                return false;
        c->at += 4;
        return true;
}

static bool check_string(struct checker *c)
{
        if (!take(c, '"'))
                return false;
        while (c->at < c->end && *c->at != '"') {
                if ((unsigned char) *c->at < 0x20)
                        return false;
                if (*c->at != '\\')
                        c->at++;
                else if (!check_escape(c))
                        return false;
        }
        return take(c, '"');
}

/* Numbers and names. */

static bool take_digits(struct checker *c)
{
        const char *from = c->at;
        while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
                c->at++;
        return c->at > from;
}

static bool take_char(struct checker *c, const char *chars)
{
        bool there = c->at < c->end && *c->at != '\0' && strchr(chars, *c->at) != NULL;
        c->at += there;
        return there;
}

static bool check_number(struct checker *c)
{
        (void) take_char(c, "-");
        if (!take_char(c, "0") && !take_digits(c))
                return false;
        if (take_char(c, ".") && !take_digits(c))
                return false;
        if (!take_char(c, "eE"))
                return true;
        (void) take_char(c, "+-");
        return take_digits(c);
}

static bool check_name(struct checker *c)
{
        static const char *const names[] = { "null", "true", "false" };
        for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
                size_t len = strlen(names[i]);
                if ((size_t) (c->end - c->at) >= len && memcmp(c->at, names[i], len) == 0) {
                        c->at += len;
                        return true;
                }
        }
        return false;
}

/* Values. */

static bool in_object(const struct checker *c)
{
        return (c->objects >> (c->depth - 1) & 1u) != 0;
}

static bool check_key(struct checker *c)
{
        return check_string(c) && take(c, ':');
}

/* A value, or the beginning of one: *ret_open. */
static bool begin_value(struct checker *c, bool *ret_open)
{
        int first = peek(c);
        *ret_open = false;
        if (first == '"')
                return check_string(c);
        if (first != '{' && first != '[')
                return first == '-' || (first >= '0' && first <= '9') ? check_number(c) : check_name(c);
        if (c->depth == JSON_DEPTH_MAX)
                return false;
        uint64_t bit = (uint64_t) 1 << c->depth++;
        c->objects = first == '{' ? c->objects | bit : c->objects & ~bit;
        c->at++;
        if (take(c, first == '{' ? '}' : ']')) {
                c->depth--;
                return true;
        }
        *ret_open = true;
        return first == '[' || check_key(c);
}

/* What follows a value, up to the next one; none is left at depth 0. */
static bool end_value(struct checker *c)
{
        while (c->depth > 0) {
                if (take(c, ','))
                        return !in_object(c) || check_key(c);
                if (!take(c, in_object(c) ? '}' : ']'))
                        return false;
                c->depth--;
        }
        return true;
}

static bool check_all(struct checker *c)
{
        bool open;
        do {
                if (!begin_value(c, &open) || (!open && !end_value(c)))
                        return false;
        } while (c->depth > 0);
        return peek(c) < 0;
}

int json_check(const struct text *json, struct error *e)
{
        struct checker c = { .at = json->bytes, .end = json->bytes + json->len };
        if (json->len > JSON_SIZE_MAX)
                return error_set(e, EILSEQ, "JSON of %zu bytes is larger than %u", json->len, JSON_SIZE_MAX);
        if (check_all(&c))
                return 0;
        return error_set(e, EILSEQ, "no JSON, or deeper than %d levels, at byte %zu of %zu", JSON_DEPTH_MAX,
                         (size_t) (c.at - json->bytes), json->len);
}

/* Escapes. */

static char *put_utf8(uint32_t c, char *out)
{
        static const uint32_t marks[] = { 0, 0xc0, 0xe0, 0xf0 };
        int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        *out++ = (char) (marks[more] | c >> 6 * more);
        while (more-- > 0)
                *out++ = (char) (0x80 | (c >> 6 * more & 0x3f));
        return out;
}

/* Behind "\u"; returns what is behind it, or behind the second one of a pair. */
static const char *take_unit(const char *at, const char *end, char **out)
{
        uint32_t c = (uint32_t) unit_at(at, end);
        at += 4;
        if (c >= 0xd800 && c <= 0xdfff) {
                int32_t low = c < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u' ? unit_at(at + 2, end) : -1;
                bool pair = low >= 0xdc00 && low <= 0xdfff;
                c = pair ? 0x10000 + (c - 0xd800) * 0x400 + (uint32_t) (low - 0xdc00) : 0xfffd;
                at += pair ? 6 : 0;
        }
        *out = put_utf8(c, *out);
        return at;
}

int json_unescape(const struct text *string, struct text *ret)
{
        static const char names[] = "bfnrt", means[] = "\b\f\n\r\t";
        const char *at = string->bytes, *end = at + string->len;
        char *bytes = malloc(string->len + 1), *out = bytes; /* it is never longer */
        if (bytes == NULL)
                return -ENOMEM;
        while (at < end) {
                char c = *at++;
                if (c == '\\' && *at == 'u') {
                        at = take_unit(at + 1, end, &out);
                        continue;
                }
                if (c == '\\') {
                        const char *name = strchr(names, c = *at++);
                        c = name != NULL ? means[name - names] : c;
                }
                *out++ = c;
        }
        *out = '\0';
        *ret = (struct text){ bytes, (size_t) (out - bytes) };
        return 0;
}
