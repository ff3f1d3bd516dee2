/*
 * What reading a control says first: made from the rows that parse it, so that the two can't differ. Every line is a comment, and a line with a '#' is no
 * command: a copy of the tree that is written back runs nothing.
 */
#include "ops/operation/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *placeholder(enum option_type type)
{
        static const char *const placeholders[] = {
                [OPTION_FLAG] = "0|1",    [OPTION_BOOL] = "true|false", [OPTION_COUNT] = "N",         [OPTION_REAL] = "NUMBER",
                [OPTION_TEXT] = "STRING", [OPTION_PATH] = "PATH",       [OPTION_NAMES] = "NAME,NAME", [OPTION_WORD] = "WORD",
        };
        return placeholders[type];
}

static void print_option(FILE *out, const struct option_spec *option)
{
        char form[OPTION_FORM_SIZE];
        fprintf(out, "#   %s=%s\n#       %s.\n#       %s; ", option->name, placeholder(option->type), option->help,
                option_form(option, form));
        if (option->by_default != NULL)
                fprintf(out, "default: %s\n", option->by_default);
        else
                fprintf(out, "must be given\n");
}

static void print_options(FILE *out, const struct option_spec *options)
{
        for (; options != NULL && options->name != NULL; options++)
                print_option(out, options);
}

/* The shortest command that can run: with the options that must be given. */
static void print_example(FILE *out, const char *name, const struct option_spec *options)
{
        const char *between = "# Usage: echo '";
        for (; options != NULL && options->name != NULL; options++)
                if (options->by_default == NULL) {
                        fprintf(out, "%s%s=%s", between, options->name, placeholder(options->type));
                        between = " ";
                }
        if (*between == '#')
                fprintf(out, "# Usage: echo 1 > %s, or echo 'OPTION=VALUE ...' > %s\n", name, name);
        else
                fprintf(out, "' > %s, with further options behind\n", name);
}

int command_usage(const char *name, const char *summary, const struct option_spec *options, struct text *ret)
{
        char *bytes = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&bytes, &len);
        if (out == NULL)
                return -ENOMEM;
        fprintf(out, "# %s: %s\n", name, summary);
        print_example(out, name, options);
        fprintf(out, "# Options (a blank, a comma and other special bytes in a value are written as %%XX):\n");
        print_options(out, options);
        print_options(out, command_common_options);
        bool failed = ferror(out) != 0;
        if (fclose(out) != 0 || failed) {
                free(bytes);
                return -ENOMEM;
        }
        *ret = (struct text){ bytes, len };
        return 0;
}
