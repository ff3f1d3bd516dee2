/*
 * Operations that are wrong on purpose: the harness must find out.
 */
#ifndef TESTS_FAULTS_WRONG_H
#define TESTS_FAULTS_WRONG_H

#include "ops/operation/operation.h"

extern const struct operation_type wrong_twice;    /* two transactions for one change: wrong when it is killed between them */
extern const struct operation_type wrong_unsynced; /* does not sync: wrong when the machine dies */
extern const struct operation_type wrong_late;     /* fails when it has changed the directory */

#endif
