/*
 * What is known of a run when it is over, as JSON: for status.json and the history.
 */
#ifndef OPS_OPERATION_OPERATION_OUTCOME_H
#define OPS_OPERATION_OPERATION_OUTCOME_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "ops/error.h"
#include "ops/operation/operation.h"

struct outcome_times {
        time_t started;     /* for people */
        int64_t started_ms; /* of ops/clock.h, for the duration */
};

/* Makes the object as operation.h describes it: `code` is 0 or what the run failed with, `error` its sentence; `result` (may be NULL) is shared. *ret is the
   caller's. -ENOMEM. */
int operation_outcome(const struct operation_request *request, bool dry_run, const struct outcome_times *times, int code,
                      const struct error *error, struct json_object *result, struct json_object **ret);

/* "in_use_by" of a result. */
struct guard_finding;
int operation_add_user(struct json_object *result, const struct guard_finding *finding);

#endif
