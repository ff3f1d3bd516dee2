/*
 * A line that a user writes to a control. The first byte chooses the rows; the rest is the line. What is accepted must be within what the rows allow, and what is
 * refused must have a sentence that can be shown.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ops/operation/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct option_spec all_types[] = {
        { .name = "vacuum", .type = OPTION_FLAG, .by_default = "1", .help = "a flag" },
        { .name = "purge", .type = OPTION_BOOL, .by_default = "the one in force", .help = "a truth" },
        { .name = "m", .type = OPTION_COUNT, .min = 2, .max = 1000, .by_default = "16", .help = "a count" },
        { .name = "resize_factor", .type = OPTION_REAL, .min = 1, .max = 10, .by_default = "1.2", .help = "a real" },
        { .name = "tokenizer", .type = OPTION_TEXT, .by_default = "trigram", .help = "a text" },
        { .name = "skip", .type = OPTION_NAMES, .by_default = "none", .help = "names" },
        { .name = NULL },
};

static const struct option_spec must[] = {
        { .name = "to", .type = OPTION_PATH, .help = "a path" },
        { .name = NULL },
};

static void check_that(bool good)
{
        if (!good)
                abort();
}

static void check_text(const struct text *t)
{
        check_that(t->len > 0 && strlen(t->bytes) == t->len);
}

static void check_value(const struct option_value *value)
{
        const struct option_spec *spec = value->spec;
        if (spec->type == OPTION_COUNT)
                check_that((double) value->count >= spec->min && (double) value->count <= spec->max);
        if (spec->type == OPTION_REAL)
                check_that(value->real >= spec->min && value->real <= spec->max);
        if (value->text.bytes != NULL)
                check_text(&value->text);
        if (spec->type == OPTION_PATH)
                check_that(value->text.bytes != NULL && value->text.bytes[0] == '/');
        for (size_t i = 0; i < value->name_count; i++)
                check_text(&value->names[i]);
        check_that(value->given || (value->text.bytes == NULL && value->name_count == 0));
}

static void check_refusal(int r, const struct error *e)
{
        check_that((r == -EINVAL || r == -ENOMEM) && e->code == r && e->text[0] != '\0');
        check_that(utf8_valid(e->text, strlen(e->text)));
        for (const char *p = e->text; *p != '\0'; p++)
                check_that((unsigned char) *p >= 0x20 && *p != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct option_spec *const rows[] = { NULL, all_types, must };
        struct command *command = NULL;
        struct error e = { 0 };
        if (size == 0)
                return 0;
        const struct option_spec *options = rows[data[0] % 3];
        int r = command_parse(options, (const char *) data + 1, size - 1, &command, &e);
        if (r < 0) {
                check_refusal(r, &e);
                return 0;
        }
        check_that(memchr(data + 1, '#', size - 1) == NULL && memchr(data + 1, '\0', size - 1) == NULL);
        check_that(command->keep_days <= COMMAND_KEEP_DAYS_MAX);
        for (size_t i = 0; i < command->count; i++)
                check_value(&command->values[i]);
        (void) command_free(command);
        return 0;
}
