/*
 * The printed form of JSON documents. json-c's own pretty printer breaks an empty list over two lines and writes the bytes of a key as
 * they are; this one does neither. Numbers are printed by json-c, with the serializers that json.c gave them; strings are not, since it
 * leaves out what it has no memory for.
 */
#include "ops/json.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <json-c/printbuf.h>

#include "ops/json_escape.h"

/* Deeper than what json_parse() takes in, since parsed values are put into documents of our own. */
#define RENDER_DEPTH_MAX (2 * JSON_DEPTH_MAX)

static int append(struct printbuf *out, const char *bytes, size_t len)
{
        if (len > INT_MAX / 2 || printbuf_memappend(out, bytes, (int) len) < 0)
                return -ENOMEM;
        return 0;
}

static const char *short_escape(unsigned char c)
{
        switch (c) {
        case '"':
                return "\\\"";
        case '\\':
                return "\\\\";
        case '\b':
                return "\\b";
        case '\f':
                return "\\f";
        case '\n':
                return "\\n";
        case '\r':
                return "\\r";
        case '\t':
                return "\\t";
        default:
                return NULL;
        }
}

static int append_escape(struct printbuf *out, unsigned char c)
{
        char buffer[8];
        const char *escape = short_escape(c);
        if (escape == NULL) {
                (void) snprintf(buffer, sizeof buffer, "\\u%s%02x", c < 0x80 ? "00" : "dc", c);
                escape = buffer;
        }
        return append(out, escape, strlen(escape));
}

/* Length of what may be written as it is, from `p` on: printable ASCII, 0x7f and whole UTF-8 sequences. */
static size_t plain_run(const unsigned char *p, size_t len)
{
        size_t run = 0;
        while (run < len) {
                size_t n = utf8_sequence(p + run, len - run);
                if (n == 0 || p[run] < 0x20 || p[run] == '"' || p[run] == '\\')
                        break;
                run += n;
        }
        return run;
}

int json_escape(struct printbuf *out, const char *bytes, size_t len)
{
        const unsigned char *p = (const unsigned char *) bytes;
        int r = append(out, "\"", 1);
        while (r == 0 && len > 0) {
                size_t run = plain_run(p, len);
                if (run > 0) {
                        r = append(out, (const char *) p, run);
                } else {
                        r = append_escape(out, *p);
                        run = 1;
                }
                p += run;
                len -= run;
        }
        return r == 0 ? append(out, "\"", 1) : r;
}

static int append_line(struct printbuf *out, int level)
{
        if (append(out, "\n", 1) < 0)
                return -ENOMEM;
        return printbuf_memset(out, -1, ' ', 2 * level) < 0 ? -ENOMEM : 0;
}

static int render(struct printbuf *out, struct json_object *value, int level);

static int render_list(struct printbuf *out, struct json_object *list, int level)
{
        size_t count = json_object_array_length(list);
        int r = append(out, "[", 1);
        for (size_t i = 0; r == 0 && i < count; i++) {
                r = i > 0 ? append(out, ",", 1) : 0;
                if (r == 0)
                        r = append_line(out, level + 1);
                if (r == 0)
                        r = render(out, json_object_array_get_idx(list, i), level + 1);
        }
        if (r == 0 && count > 0)
                r = append_line(out, level);
        return r == 0 ? append(out, "]", 1) : r;
}

static int render_member(struct printbuf *out, const char *key, struct json_object *value, int level)
{
        int r = append_line(out, level);
        if (r == 0)
                r = json_escape(out, key, strlen(key));
        if (r == 0)
                r = append(out, ": ", 2);
        return r == 0 ? render(out, value, level) : r;
}

static int render_object(struct printbuf *out, struct json_object *object, int level)
{
        bool any = false;
        int r = append(out, "{", 1);
        struct json_object_iterator i = json_object_iter_begin(object), end = json_object_iter_end(object);
        for (; r == 0 && !json_object_iter_equal(&i, &end); json_object_iter_next(&i)) {
                r = any ? append(out, ",", 1) : 0;
                if (r == 0)
                        r = render_member(out, json_object_iter_peek_name(&i), json_object_iter_peek_value(&i), level + 1);
                any = true;
        }
        if (r == 0 && any)
                r = append_line(out, level);
        return r == 0 ? append(out, "}", 1) : r;
}

/* Or null, true, false. json-c keeps to itself that it has no memory: a number that did not fit is then empty. */
static int render_number(struct printbuf *out, struct json_object *value)
{
        const char *number = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
        return number == NULL || number[0] == '\0' ? -ENOMEM : append(out, number, strlen(number));
}

static int render(struct printbuf *out, struct json_object *value, int level)
{
        if (level > RENDER_DEPTH_MAX)
                return -ENOMEM;
        if (json_object_is_type(value, json_type_object))
                return render_object(out, value, level);
        if (json_object_is_type(value, json_type_array))
                return render_list(out, value, level);
        return json_object_is_type(value, json_type_string)
                       ? json_escape(out, json_object_get_string(value), (size_t) json_object_get_string_len(value))
                       : render_number(out, value);
}

int json_render(struct json_object *object, struct text *ret_text)
{
        struct printbuf *out = printbuf_new();
        if (out == NULL)
                return -ENOMEM;
        int r = render(out, object, 0);
        if (r == 0)
                r = append(out, "\n", 1);
        if (r == 0)
                r = text_copy(ret_text, out->buf, (size_t) printbuf_length(out));
        printbuf_free(out);
        return r;
}
