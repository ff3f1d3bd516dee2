/*
 * The line is cut at blanks; a word is cut at its first '='; its value is checked by the type of the row that has its name. Escapes are checked before
 * anything is decoded, so that decoding can't fail for another reason than memory. Names with commas are cut before they are decoded: %2C is a
 * comma in a name.
 *
 * A line is a stranger's as well (cp -r of an old copy of the mount writes whole files into controls): sentences show at most the beginning of a word, and
 * only what can be printed of it.
 */
#include "ops/operation/command.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_SIZE 80
#define STRING_OF(number) #number
#define STRING(number) STRING_OF(number)

const struct option_spec command_common_options[] = {
        { .name = "dry_run", .type = OPTION_FLAG, .by_default = "0", .help = "say what would be done, and change nothing" },
        { .name = "force",
          .type = OPTION_FLAG,
          .by_default = "0",
          .help = "go on although another process has the directory open, or although nobody can tell" },
        { .name = "keep",
          .type = OPTION_COUNT,
          .max = COMMAND_KEEP_DAYS_MAX,
          .by_default = STRING(COMMAND_KEEP_DAYS),
          .help = "days for which what is taken away stays in .chromafs/trash; 0 removes it at once" },
        { .name = NULL },
};

struct word { /* a part of the line */
        const char *bytes;
        size_t len;
};

static bool is_control(unsigned char c)
{
        return c < 0x20 || c == 0x7f;
}

/* The word as a sentence may show it: cut, without control characters and bytes that are no UTF-8. */
static const char *show(struct word word, char buffer[SHOWN_SIZE])
{
        static const char more[] = "…";
        const unsigned char *p = (const unsigned char *) word.bytes;
        size_t used = 0, i = 0;
        while (i < word.len && used + 4 + sizeof(more) <= SHOWN_SIZE) {
                size_t n = is_control(p[i]) ? 0 : utf8_sequence(p + i, word.len - i);
                if (n == 0)
                        buffer[used] = '?';
                else
                        memcpy(buffer + used, p + i, n);
                used += n == 0 ? 1 : n;
                i += n == 0 ? 1 : n;
        }
        memcpy(buffer + used, i < word.len ? more : "", i < word.len ? sizeof(more) : 1);
        return buffer;
}

static int hex_digit(char c)
{
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that an escape at `i` stands for, or -1 when it is none. */
static int escape_at(struct word word, size_t i)
{
        if (word.len - i < 3)
                return -1;
        int high = hex_digit(word.bytes[i + 1]), low = hex_digit(word.bytes[i + 2]);
        return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static int check_escapes(struct word word, struct error *e)
{
        char shown[SHOWN_SIZE];
        for (size_t i = 0; i < word.len; i++) {
                int byte = word.bytes[i] == '%' ? escape_at(word, i) : 1;
                if (byte < 0)
                        return error_set(e, EINVAL, "'%s': a %% must be followed by two hexadecimal digits; %%25 is a %% itself",
                                         show(word, shown));
                if (byte == 0)
                        return error_set(e, EINVAL, "'%s': no value can hold a NUL (%%00)", show(word, shown));
        }
        return 0;
}

/* Decodes what check_escapes() found good. */
static int decode(struct word word, struct text *ret)
{
        char *bytes = malloc(word.len + 1);
        if (bytes == NULL)
                return -ENOMEM;
        size_t len = 0;
        for (size_t i = 0; i < word.len; i++) {
                bool escape = word.bytes[i] == '%';
                bytes[len++] = escape ? (char) escape_at(word, i) : word.bytes[i];
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
        for (value->count = 0; value->spec->words[value->count] != NULL; value->count++)
                if (text_is(t, value->spec->words[value->count]))
                        return 0;
        return -EINVAL;
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

static int take_names(struct option_value *value, struct word list)
{
        size_t count = 1;
        for (size_t i = 0; i < list.len; i++)
                count += list.bytes[i] == ',';
        value->names = calloc(count, sizeof(*value->names));
        if (value->names == NULL)
                return -ENOMEM;
        for (const char *p = list.bytes, *end = p + list.len; value->name_count < count;) {
                const char *comma = memchr(p, ',', (size_t) (end - p));
                struct word name = { p, (size_t) ((comma != NULL ? comma : end) - p) };
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

static int take_encoded(struct option_value *value, struct word encoded)
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

static int no_memory(struct error *e)
{
        return error_set(e, ENOMEM, "no memory for the options");
}

static struct option_value *find(const struct command *command, const char *name, size_t len)
{
        for (size_t i = 0; i < command->count; i++) {
                const char *own = command->values[i].spec->name;
                if (strlen(own) == len && memcmp(own, name, len) == 0)
                        return &command->values[i];
        }
        return NULL;
}

/* The names of all options, for the sentence about one that is none of them. */
static const char *list_names(const struct command *command, char *buffer, size_t size)
{
        size_t used = 0;
        buffer[0] = '\0';
        for (size_t i = 0; i < command->count && used < size; i++) {
                int n = snprintf(buffer + used, size - used, "%s%s", i > 0 ? ", " : "", command->values[i].spec->name);
                used += n > 0 ? (size_t) n : 0;
        }
        return buffer;
}

static int parse_word(struct command *command, struct word word, struct error *e)
{
        char shown[SHOWN_SIZE], other[256];
        const char *equals = memchr(word.bytes, '=', word.len);
        if (equals == NULL)
                return error_set(e, EINVAL, "'%s' is no option: options are name=value, with blanks between them",
                                 show(word, shown));
        struct word name = { word.bytes, (size_t) (equals - word.bytes) };
        struct option_value *value = find(command, name.bytes, name.len);
        if (value == NULL)
                return error_set(e, EINVAL, "there is no option '%s': there are %s", show(name, shown),
                                 list_names(command, other, sizeof(other)));
        if (value->given)
                return error_set(e, EINVAL, "the option '%s' is given twice", value->spec->name);
        value->given = true;
        int r = check_escapes(word, e);
        if (r < 0)
                return r;
        r = take_encoded(value, (struct word){ equals + 1, word.len - name.len - 1 });
        if (r == -EINVAL)
                return error_set(e, EINVAL, "'%s': %s must be %s", show(word, shown), value->spec->name,
                                 option_form(value->spec, other));
        return r < 0 ? no_memory(e) : 0;
}

/* What holds for the line as a whole; *line loses its newline. */
static int check_line(struct word *line, struct error *e)
{
        if (line->len > 0 && line->bytes[line->len - 1] == '\n')
                line->len--;
        if (line->len > COMMAND_MAX)
                return error_set(e, EINVAL, "the line has %zu bytes: a command has at most %d", line->len, COMMAND_MAX);
        for (size_t i = 0; i < line->len; i++) {
                unsigned char c = (unsigned char) line->bytes[i];
                if (c == '#')
                        return error_set(e, EINVAL,
                                         "a line with a '#' is no command, and ran nothing; in a value it is written %%23");
                if (c == '\n')
                        return error_set(e, EINVAL, "one write is one line: a newline in a value is written %%0A");
                if (is_control(c) && c != '\t')
                        return error_set(e, EINVAL, "byte %zu of the line is the control character 0x%02x%s", i + 1, c,
                                         c == 0 ? ", which no value can hold" : ": in a value it is written as % and two digits");
        }
        return 0;
}

/* Cuts the next word off the line; one without bytes at its end. */
static struct word next_word(struct word *line)
{
        while (line->len > 0 && (*line->bytes == ' ' || *line->bytes == '\t')) {
                line->bytes++;
                line->len--;
        }
        struct word word = { line->bytes, 0 };
        while (word.len < line->len && word.bytes[word.len] != ' ' && word.bytes[word.len] != '\t')
                word.len++;
        line->bytes += word.len;
        line->len -= word.len;
        return word;
}

static int parse_words(struct command *command, struct word line, struct error *e)
{
        struct word rest = line, word = next_word(&rest);
        if (word.len == 1 && word.bytes[0] == '1' && next_word(&rest).len == 0)
                return 0; /* `1` alone is like the empty line */
        for (word = next_word(&line); word.len > 0; word = next_word(&line)) {
                int r = parse_word(command, word, e);
                if (r < 0)
                        return r;
        }
        return 0;
}

static size_t count_rows(const struct option_spec *options)
{
        size_t n = 0;
        while (options != NULL && options[n].name != NULL)
                n++;
        return n;
}

/* Defaults are for people; those that are values of their type are for programs, too. */
static int set_default(struct option_value *value)
{
        enum option_type type = value->spec->type;
        const char *text = value->spec->by_default;
        if (text == NULL || type == OPTION_TEXT || type == OPTION_PATH || type == OPTION_NAMES)
                return 0;
        int r = take_encoded(value, (struct word){ text, strcspn(text, "%") });
        return r == -ENOMEM ? r : 0;
}

static int command_new(const struct option_spec *options, struct command **ret)
{
        size_t own = count_rows(options), count = own + count_rows(command_common_options);
        CLEANUP(command_free)
        struct command *command = calloc(1, sizeof(*command));
        if (command == NULL || (command->values = calloc(count + 1, sizeof(*command->values))) == NULL)
                return -ENOMEM;
        command->count = count;
        for (size_t i = 0; i < count; i++)
                command->values[i].spec = i < own ? &options[i] : &command_common_options[i - own];
        for (size_t i = 0; i < count; i++)
                if (set_default(&command->values[i]) < 0)
                        return -ENOMEM;
        *ret = TAKE(command);
        return 0;
}

static int finish(struct command *command, struct error *e)
{
        for (size_t i = 0; i < command->count; i++) {
                const struct option_value *value = &command->values[i];
                if (value->spec->by_default == NULL && !value->given)
                        return error_set(e, EINVAL, "the option %s= is missing: %s", value->spec->name, value->spec->help);
        }
        command->dry_run = command_option(command, "dry_run")->flag;
        command->force = command_option(command, "force")->flag;
        command->keep_days = (unsigned) command_option(command, "keep")->count;
        return 0;
}

int command_parse(const struct option_spec *options, const char *line, size_t len, struct command **ret, struct error *e)
{
        struct word whole = { line, len };
        int r = check_line(&whole, e);
        if (r < 0)
                return r;
        CLEANUP(command_free)
        struct command *command = NULL;
        if (command_new(options, &command) < 0)
                return no_memory(e);
        r = parse_words(command, whole, e);
        if (r == 0)
                r = finish(command, e);
        if (r == 0)
                *ret = TAKE(command);
        return r;
}

const struct option_value *command_option_or_null(const struct command *command, const char *name)
{
        return find(command, name, strlen(name));
}

const struct option_value *command_option(const struct command *command, const char *name)
{
        const struct option_value *value = find(command, name, strlen(name));
        if (value == NULL)
                abort(); /* a mistake in the program, whatever the line was */
        return value;
}

struct command *command_free(struct command *command)
{
        if (command == NULL)
                return NULL;
        for (size_t i = 0; i < command->count; i++) {
                struct option_value *value = &command->values[i];
                free(value->text.bytes);
                for (size_t j = 0; j < value->name_count; j++)
                        free(value->names[j].bytes);
                free(value->names);
        }
        free(command->values);
        free(command);
        return NULL;
}
