/*
 * The values of a command's words: between command.c, which cuts the line, and the types of its options.
 */
#ifndef OPS_OPERATION_COMMAND_VALUES_H
#define OPS_OPERATION_COMMAND_VALUES_H

#include "ops/operation/command.h"

struct command_word { /* a part of the line; borrowed */
        const char *bytes;
        size_t len;
};

/* The byte that the '%' at `i` stands for with the two digits behind it, or -1 when it is no escape. */
int command_escape_at(struct command_word word, size_t i);

/* Decodes `encoded`, whose escapes are sound, and takes it as a value of value->spec. -EINVAL, without a sentence, when it is none; -ENOMEM. */
int option_value_take(struct option_value *value, struct command_word encoded);

#endif
