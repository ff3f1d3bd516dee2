/*
 * What the rows of options say of a value: each type takes a decoded value, or refuses it, and has words for what it takes.
 *
 * Names with commas are cut before they are decoded: %2C is a comma in a name.
 */
#include "ops/operation/command_values.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static int hex_digit(char c)
{
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int command_escape_at(struct command_word word, size_t i)
{
        if (word.len - i < 3)
                return -1;
        int high = hex_digit(word.bytes[i + 1]), low = hex_digit(word.bytes[i + 2]);
        return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Escapes have been looked at before. */
static int decode(struct command_word word, struct text *ret)
{
        char *bytes = malloc(word.len + 1);
        if (bytes == NULL)
                return -ENOMEM;
        size_t len = 0;
        for (size_t i = 0; i < word.len; i++) {
                bool escape = word.bytes[i] == '%';
                bytes[len++] = escape ? (char) command_escape_at(word, i) : word.bytes[i];
                i += escape ? 2 : 0;
        }
        bytes[len] = '\0';
        *ret = (struct text){ bytes, len };
        return 0;
}

/* The types: each takes a decoded value, and gives 0, -EINVAL without a sentence, or -ENOMEM. */

static int take_word(struct option_value *value, const struct text *t, const char *no, const char *yes)
{
        value->flag = text_is(t, yes);
        return value->flag || text_is(t, no) ? 0 : -EINVAL;
}

static int take_count(struct option_value *value, const struct text *t)
{
        uint64_t n = 0;
        for (size_t i = 0; i < t->len; i++) {
                if (t->bytes[i] < '0' || t->bytes[i] > '9' || __builtin_mul_overflow(n, 10u, &n) ||
                    __builtin_add_overflow(n, (uint64_t) (t->bytes[i] - '0'), &n))
                        return -EINVAL;
        }
        if (t->len == 0 || (double) n < value->spec->min || (double) n > value->spec->max)
                return -EINVAL;
        value->count = n;
        return 0;
}

/* Only decimal numbers: strtod() would also take blanks, hexadecimal numbers, infinities. */
static int take_real(struct option_value *value, const struct text *t)
{
        if (t->len == 0 || strspn(t->bytes, "0123456789+-.eE") != t->len)
                return -EINVAL;
        char *end = NULL;
        double d = strtod(t->bytes, &end);
        if (end != t->bytes + t->len || !isfinite(d) || d < value->spec->min || d > value->spec->max)
                return -EINVAL;
        value->real = d;
        return 0;
}

static int take_text(struct option_value *value, struct text *t, char first)
{
        if (t->len == 0 || (first != '\0' && t->bytes[0] != first))
                return -EINVAL;
        value->text = *t;
        t->bytes = NULL;
        return 0;
}

static int take_choice(struct option_value *value, const struct text *t)
{
        uint64_t which = 0;
        while (value->spec->words[which] != NULL && !text_is(t, value->spec->words[which]))
                which++;
        if (value->spec->words[which] == NULL)
                return -EINVAL;
        value->count = which;
        return 0;
}

static int take(struct option_value *value, struct text *t)
{
        switch (value->spec->type) {
        case OPTION_FLAG:
                return take_word(value, t, "0", "1");
        case OPTION_BOOL:
                return take_word(value, t, "false", "true");
        case OPTION_COUNT:
                return take_count(value, t);
        case OPTION_REAL:
                return take_real(value, t);
        case OPTION_TEXT:
                return take_text(value, t, '\0');
        case OPTION_PATH:
                return take_text(value, t, '/');
        case OPTION_WORD:
                return take_choice(value, t);
        case OPTION_NAMES:
                break;
        }
        return -EINVAL;
}

static int take_names(struct option_value *value, struct command_word list)
{
        size_t count = 1;
        for (size_t i = 0; i < list.len; i++)
                count += list.bytes[i] == ',';
        value->names = calloc(count, sizeof(*value->names));
        if (value->names == NULL)
                return -ENOMEM;
        for (const char *p = list.bytes, *end = p + list.len; value->name_count < count;) {
                const char *comma = memchr(p, ',', (size_t) (end - p));
                struct command_word name = { p, (size_t) ((comma != NULL ? comma : end) - p) };
                if (name.len == 0)
                        return -EINVAL;
                int r = decode(name, &value->names[value->name_count]);
                if (r < 0)
                        return r;
                value->name_count++;
                p = comma != NULL ? comma + 1 : end;
        }
        return 0;
}

int option_value_take(struct option_value *value, struct command_word encoded)
{
        if (value->spec->type == OPTION_NAMES)
                return take_names(value, encoded);
        struct text t = { 0 };
        int r = decode(encoded, &t);
        if (r == 0)
                r = take(value, &t);
        free(t.bytes);
        return r;
}

static void list_words(const struct option_spec *spec, char buffer[OPTION_FORM_SIZE])
{
        size_t used = (size_t) snprintf(buffer, OPTION_FORM_SIZE, "one of");
        for (const char *const *word = spec->words; *word != NULL && used < OPTION_FORM_SIZE; word++) {
                int n = snprintf(buffer + used, OPTION_FORM_SIZE - used, " %s%s", *word, word[1] != NULL ? "," : "");
                used += n > 0 ? (size_t) n : 0;
        }
}

const char *option_form(const struct option_spec *spec, char buffer[OPTION_FORM_SIZE])
{
        static const char *const forms[] = {
                [OPTION_FLAG] = "0 or 1",
                [OPTION_BOOL] = "true or false",
                [OPTION_TEXT] = "text, not empty",
                [OPTION_PATH] = "an absolute path",
                [OPTION_NAMES] = "names with commas between them",
        };
        if (spec->type == OPTION_COUNT)
                (void) snprintf(buffer, OPTION_FORM_SIZE, "a whole number from %.15g to %.15g", spec->min, spec->max);
        else if (spec->type == OPTION_REAL)
                (void) snprintf(buffer, OPTION_FORM_SIZE, "a number from %.15g to %.15g", spec->min, spec->max);
        else if (spec->type == OPTION_WORD)
                list_words(spec, buffer);
        else
                (void) snprintf(buffer, OPTION_FORM_SIZE, "%s", forms[spec->type]);
        return buffer;
}
