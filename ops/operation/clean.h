/*
 * clean: gives back the room of the write-ahead log that both segments of a collection have applied.
 */
#ifndef OPS_OPERATION_CLEAN_H
#define OPS_OPERATION_CLEAN_H

#include "ops/operation/operation.h"

extern const struct operation_type operation_clean;

#endif
