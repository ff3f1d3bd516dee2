/*
 * Who has a file open for writing, as /proc/<pid>/fdinfo and /proc/<pid>/fd tell: the guard's second detector, and the one that knows names.
 *
 * It sees the processes of its own pid namespace that we may examine. Whether that was all that there are is a part of the answer.
 */
#ifndef OPS_OPERATION_GUARD_PROC_H
#define OPS_OPERATION_GUARD_PROC_H

#include <stddef.h>
#include <stdint.h>

#include "ops/operation/guard.h"

struct guard_file {
        uint64_t dev, ino;
        char name[64];
};

/* Looks for a process but ours that has one of the files (sorted here) open for writing. ret->writer: found, with pid, command and file. ret->blind: not found, but not every
   process could be looked at. 0, or a negative errno. */
int guard_proc_look(struct guard_file *files, size_t count, struct guard_finding *ret, struct error *e);

#endif
