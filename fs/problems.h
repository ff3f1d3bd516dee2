/*
 * The problems of info.json: each thing that a careful operator would act on, as {code, where, sentence, command}.
 *
 * - `code` is for scripts and stays; `where` is a path in the mount; `command` is what cures it, from the mount point, or null when no
 *   control of this version does.
 * - The problems of the root come from the tables, the headers and the pickles; those of a collection from its raw labels and records too.
 */
#ifndef FS_PROBLEMS_H
#define FS_PROBLEMS_H

#include <json-c/json.h>

#include "fs/facts.h"
#include "ops/orphans.h"

/* Shares of things from which on they are problems. */
#define PROBLEM_FRAGMENTATION 33.3 /* percent */
#define PROBLEM_WAL_ENTRIES 10000  /* rows of one collection */
#define PROBLEM_FREE_PAGES 0.25    /* share of the database's pages, when there are at least 1,000 free */

/* Adds those of one collection to `problems`. `config_failure` is what was wrong with its configuration (code 0: nothing). */
void collection_problems(struct request *request, const struct facts *facts, const struct error *config_failure,
                         struct json_object *problems);

/* Adds the only one of a database that can't be read. */
void database_unreadable(const struct error *error, struct json_object *problems);

/* Adds those of the directory as a whole. `fts` may be NULL (not measured); `log_failure` is why the log can't be (code 0: nothing). */
void directory_problems(struct request *request, const struct orphans *orphans, uint64_t orphan_entries,
                        const struct fts_result *fts, const struct error *log_failure, struct json_object *problems);

#endif
