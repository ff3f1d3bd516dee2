/*
 * JSON values out of bytes and doubles.
 *
 * json-c prints a string's bytes as they are, so that a byte that is no UTF-8 would make the document invalid. A text that holds one
 * therefore carries its own serializer, which prints the escaped form made here: U+DC80 to U+DCFF stand for the bytes 0x80 to 0xff, as in
 * Python's surrogateescape, so that the reader can have every byte back. Doubles carry their shortest form in the same way, because
 * json-c itself would print 17 digits.
 */
#include "ops/json.h"

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <json-c/printbuf.h>

#include "ops/json_escape.h"

/* The serializer of strings whose printed form is their userdata. */
static int print_escaped(struct json_object *object, struct printbuf *out, int level, int flags)
{
        (void) level;
        (void) flags;
        const char *escaped = json_object_get_userdata(object);
        return printbuf_memappend(out, escaped, (int) strlen(escaped));
}

static char *escaped_copy(const struct text *t)
{
        struct printbuf *out = printbuf_new();
        if (out == NULL)
                return NULL;
        char *copy = json_escape(out, t->bytes, t->len) == 0 ? strdup(out->buf) : NULL;
        printbuf_free(out);
        return copy;
}

struct json_object *json_text(const struct text *t)
{
        if (t->len > INT_MAX)
                return NULL;
        struct json_object *object = json_object_new_string_len(t->bytes, (int) t->len);
        if (object == NULL || utf8_valid(t->bytes, t->len))
                return object;
        char *escaped = escaped_copy(t);
        if (escaped == NULL) {
                json_object_put(object);
                return NULL;
        }
        json_object_set_serializer(object, print_escaped, escaped, json_object_free_userdata);
        return object;
}

struct json_object *json_bytes(const char *bytes, size_t len)
{
        struct text t = { .bytes = (char *) (uintptr_t) bytes, .len = len };
        return json_text(&t);
}

struct json_object *json_string(const char *s)
{
        return json_bytes(s, strlen(s));
}

struct json_object *json_double(double d)
{
        char buffer[32];
        /* Not NULL for JSON null: that would be no memory. */
        return json_object_new_double_s(d, isfinite(d) ? json_format_double(d, buffer) : "null");
}

int json_add(struct json_object *object, const char *key, struct json_object *value)
{
        if (json_object_object_add(object, key, value) == 0)
                return 0;
        json_object_put(value);
        return -ENOMEM;
}

/* A decimal number: digits * 10^exponent, digits without trailing zeros. */
struct decimal {
        uint64_t digits;
        int exponent;
};

static bool reads_back(uint64_t digits, int exponent, double d)
{
        char buffer[40];
        (void) snprintf(buffer, sizeof buffer, "%" PRIu64 "e%d", digits, exponent);
        return strtod(buffer, NULL) == d;
}

/*
 * The nearest decimal of `count` digits, or the next one above it, when that reads back as d. The one above matters at powers of two, where
 * the doubles below lie closer than those above: 2**-44 is 5.684341886080802e-14, though ...801e-14 is nearer.
 */
static bool shorten(double d, int count, struct decimal *ret)
{
        char buffer[40];
        (void) snprintf(buffer, sizeof buffer, "%.*e", count - 1, d);
        char *mark = strchr(buffer, 'e');
        int exponent = (int) strtol(mark + 1, NULL, 10) - (count - 1);
        uint64_t digits = 0;
        for (const char *p = buffer; p < mark; p++)
                if (*p >= '0' && *p <= '9')
                        digits = digits * 10 + (uint64_t) (*p - '0');
        for (uint64_t end = digits + 1; digits <= end; digits++)
                if (reads_back(digits, exponent, d)) {
                        *ret = (struct decimal){ digits, exponent };
                        return true;
                }
        return false;
}

/* Room for what a caller of the two below can ask for at most, with a margin for what the compiler can't see is smaller. */
#define PLAIN_MAX 64

/* Lays `digits` out with the decimal point behind the first `point` of them. */
static void print_plain(char *out, const char *digits, int point)
{
        int count = (int) strlen(digits);
        if (point <= 0)
                (void) snprintf(out, PLAIN_MAX, "0.%.*s%s", -point, "0000", digits);
        else if (point >= count)
                (void) snprintf(out, PLAIN_MAX, "%s%.*s.0", digits, point - count, "0000000000000000");
        else
                (void) snprintf(out, PLAIN_MAX, "%.*s.%s", point, digits, digits + point);
}

static void print_exponent(char *out, const char *digits, int exponent)
{
        (void) snprintf(out, PLAIN_MAX, "%c%s%se%c%02d", digits[0], digits[1] != '\0' ? "." : "", digits + 1,
                        exponent < 0 ? '-' : '+', abs(exponent));
}

static void format_finite(double d, char out[PLAIN_MAX])
{
        struct decimal decimal = { 0, 0 };
        for (int count = 1; count <= DBL_DECIMAL_DIG && !shorten(d, count, &decimal); count++)
                continue;
        char digits[24];
        int count = snprintf(digits, sizeof digits, "%" PRIu64, decimal.digits);
        int exponent = decimal.exponent + count - 1;
        while (count > 1 && digits[count - 1] == '0')
                digits[--count] = '\0';
        if (exponent < -4 || exponent >= 16)
                print_exponent(out, digits, exponent);
        else
                print_plain(out, digits, exponent + 1);
}

char *json_format_double(double d, char buffer[32])
{
        char plain[PLAIN_MAX] = "inf";
        if (isfinite(d))
                format_finite(fabs(d), plain);
        (void) snprintf(buffer, 32, "%s%.30s", !isnan(d) && signbit(d) ? "-" : "", isnan(d) ? "nan" : plain);
        return buffer;
}
