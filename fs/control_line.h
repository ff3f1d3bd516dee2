/*
 * The options that a line has for the mount itself, which no operation knows: skip=.
 */
#ifndef FS_CONTROL_LINE_H
#define FS_CONTROL_LINE_H

#include "fs/node.h"
#include "ops/operation/command.h"

/* The rows, for controls that take them; ended by one without a name. */
extern const struct option_spec control_options[];

struct control_line {
        struct text rest;  /* the line without these options */
        struct text *skip; /* ids of the collections to leave out, those of the mount's -o skip included */
        size_t skip_count;
};

/* Checks the line against all options that the control has, and takes those of the mount out. -EINVAL: also a name that no collection has. The caller clears *ret. */
int control_line_read(struct request *request, const struct node_type *control, const struct text *line, struct control_line *ret,
                      struct error *e);
void control_line_clear(struct control_line *line);

/* The usage of the control: what it does, its own options, those of the mount. *ret is the caller's. */
int control_usage(const struct node_type *control, struct text *ret);

#endif
