/*
 * The line is cut at blanks; a word is cut at its first '='; its value is checked by the type of the row that has its name (command_values.c). Escapes are
 * checked before anything is decoded, so that decoding can't fail for another reason than memory.
 *
 * A line is a stranger's as well (cp -r of an old copy of the mount writes whole files into controls): sentences show at most the beginning of a word, and
 * only what can be printed of it.
 */
#include "ops/operation/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ops/operation/command_values.h"

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

static bool is_control(unsigned char c)
{
        return c < 0x20 || c == 0x7f;
}

/* The word as a sentence may show it: cut, without control characters and bytes that are no UTF-8. */
static const char *show(struct command_word word, char buffer[SHOWN_SIZE])
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

static int check_escapes(struct command_word word, struct error *e)
{
        char shown[SHOWN_SIZE];
        for (size_t i = 0; i < word.len; i++) {
                int byte = word.bytes[i] == '%' ? command_escape_at(word, i) : 1;
                if (byte < 0)
                        return error_set(e, EINVAL, "'%s': a %% must be followed by two hexadecimal digits; %%25 is a %% itself",
                                         show(word, shown));
                if (byte == 0)
                        return error_set(e, EINVAL, "'%s': no value can hold a NUL (%%00)", show(word, shown));
        }
        return 0;
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

static int parse_word(struct command *command, struct command_word word, struct error *e)
{
        char shown[SHOWN_SIZE], other[256];
        const char *equals = memchr(word.bytes, '=', word.len);
        if (equals == NULL)
                return error_set(e, EINVAL, "'%s' is no option: options are name=value, with blanks between them",
                                 show(word, shown));
        struct command_word name = { word.bytes, (size_t) (equals - word.bytes) };
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
        r = option_value_take(value, (struct command_word){ equals + 1, word.len - name.len - 1 });
        if (r == -EINVAL)
                return error_set(e, EINVAL, "'%s': %s must be %s", show(word, shown), value->spec->name,
                                 option_form(value->spec, other));
        return r < 0 ? no_memory(e) : 0;
}

/* What holds for the line as a whole; *line loses its newline. */
static int check_line(struct command_word *line, struct error *e)
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
static struct command_word next_word(struct command_word *line)
{
        while (line->len > 0 && (*line->bytes == ' ' || *line->bytes == '\t')) {
                line->bytes++;
                line->len--;
        }
        struct command_word word = { line->bytes, 0 };
        while (word.len < line->len && word.bytes[word.len] != ' ' && word.bytes[word.len] != '\t')
                word.len++;
        line->bytes += word.len;
        line->len -= word.len;
        return word;
}

static int parse_words(struct command *command, struct command_word line, struct error *e)
{
        struct command_word rest = line, word = next_word(&rest);
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
        int r = option_value_take(value, (struct command_word){ text, strcspn(text, "%") });
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
        struct command_word whole = { line, len };
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
