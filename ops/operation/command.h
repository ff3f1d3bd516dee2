/*
 * What a user writes to start an operation: one line of words, and what each word may say.
 *
 * - A line is empty, or `1`, or `name=value` words with blanks between them; values are percent-decoded. A newline may end it; there is
 *   none inside. A name that the operation does not have, one that is given twice, a value of the wrong form or out of range, a NUL, a '#', another
 *   control character, or more than COMMAND_MAX bytes: -EINVAL, and the sentence says which word and what is allowed. Each of these bytes but NUL can be
 *   part of a value as %XX.
 * - An operation declares its options once, as rows: parsing, usage and the manual page all come from these rows.
 */
#ifndef OPS_OPERATION_COMMAND_H
#define OPS_OPERATION_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/cleanup.h"
#include "ops/error.h"
#include "ops/text.h"

#define COMMAND_MAX 65536

enum option_type {
        OPTION_FLAG,  /* 0 or 1 */
        OPTION_BOOL,  /* true or false */
        OPTION_COUNT, /* a whole number from min to max */
        OPTION_REAL,  /* a finite number from min to max */
        OPTION_TEXT,  /* any bytes but NUL, not empty */
        OPTION_PATH,  /* an absolute path */
        OPTION_NAMES, /* names with commas between them; a comma in a name is %2C */
        OPTION_WORD,  /* one of `words` */
};

struct option_spec {
        const char *name;
        enum option_type type;
        double min, max;          /* of OPTION_COUNT (exact below 2^53) and OPTION_REAL */
        const char *by_default;   /* for people: "7", "the one in force"; NULL: must be given */
        const char *help;         /* a sentence without its full stop */
        const char *const *words; /* of OPTION_WORD; ended by NULL */
};

/* Options that every operation has: dry_run, force, keep (days that what was taken away stays in the trash). Ended by a row without a name. */
extern const struct option_spec command_common_options[];
#define COMMAND_KEEP_DAYS 7
#define COMMAND_KEEP_DAYS_MAX 36500

struct option_value { /* of a row: what the line says of it. A flag or number that is not given has its default, where by_default is one */
        const struct option_spec *spec;
        bool given;
        bool flag;          /* OPTION_FLAG, OPTION_BOOL */
        uint64_t count;     /* OPTION_COUNT; OPTION_WORD: which of `words` */
        double real;        /* OPTION_REAL */
        struct text text;   /* OPTION_TEXT, OPTION_PATH; bytes NULL when not given */
        struct text *names; /* OPTION_NAMES */
        size_t name_count;
};

struct command {
        struct option_value *values; /* of the operation's rows and of the common ones, in their order */
        size_t count;
        bool dry_run, force;
        unsigned keep_days;
};

/* Parses a line against the rows (ended by one without a name; NULL for none) and the common ones. *ret is the caller's. -EINVAL, -ENOMEM. */
int command_parse(const struct option_spec *options, const char *line, size_t len, struct command **ret, struct error *e);

/* The value of a row; `name` must be one of the rows. */
const struct option_value *command_option(const struct command *command, const char *name);

/* The same; NULL when the operation has no such option. */
const struct option_value *command_option_or_null(const struct command *command, const char *name);

/* What a value of the row may be, as words for a sentence: "a whole number from 0 to 7". Written into buffer, which it returns. */
#define OPTION_FORM_SIZE 128
const char *option_form(const struct option_spec *spec, char buffer[OPTION_FORM_SIZE]);

/* Usage as lines that begin with "# ": the summary, then each option with its range, default and help. *ret is the caller's. -ENOMEM. */
int command_usage(const char *name, const char *summary, const struct option_spec *options, struct text *ret);

struct command *command_free(struct command *command); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct command *, command_free)

#endif
