/*
 * Whether there is room for what an operation is going to write, before its first change.
 */
#ifndef OPS_OPERATION_ROOM_H
#define OPS_OPERATION_ROOM_H

#include <stdint.h>

#include "ops/error.h"

/* -ENOSPC with both figures when the file system of fd has less than `bytes` for this user. `what` for the sentence: "the journal and the copy of a VACUUM". */
int room_check(int fd, uint64_t bytes, const char *what, struct error *e);

#endif
