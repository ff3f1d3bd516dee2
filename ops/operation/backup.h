/*
 * The operation `backup`: a checked, consistent copy of the whole directory, made beside a Chroma that goes on writing.
 */
#ifndef OPS_OPERATION_BACKUP_H
#define OPS_OPERATION_BACKUP_H

#include "ops/operation/operation.h"

extern const struct operation_type operation_backup;

#endif
