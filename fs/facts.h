/*
 * What one request knows of a collection, gathered once and shown in several files: measured values come with what they lack.
 */
#ifndef FS_FACTS_H
#define FS_FACTS_H

#include <json-c/json.h>

#include "fs/node.h"
#include "ops/config.h"

struct facts {
        const struct collection *collection;
        struct index_summary index; /* of the vector segment, when has_index */
        bool has_index;
        struct tally tally; /* when has_tally */
        bool has_tally;
        struct labels_result *labels; /* these two: NULL when not measured yet */
        struct records_result *records;
        struct check_result *check; /* what reading check.json has found, when that was read of this state; NULL when not */
        bool exact;                 /* all of the above are of this view, and nobody wrote while they were measured */
        struct error failure;       /* what could not be measured, and why; code 0 when nothing failed */
};

enum facts_wanted { WANT_INDEX = 1, WANT_TALLY = 2, WANT_LABELS = 4, WANT_RECORDS = 8, WANT_ALL = 15 };

/* Gathers what is wanted; what could not be had is NULL, and request->partial set. -EINTR when the caller was interrupted. The caller clears *ret. */
int facts_gather(struct request *request, const struct collection *collection, unsigned wanted, struct facts *ret);
void facts_clear(struct facts *facts);

/* Counts in an index that the caller has; how exact that is he knows. */
void facts_count(struct request *request, struct facts *facts, struct wal_index *index);

/* JSON of a segment of the collection; its place in the segment's own info.json and in the collection's. NULL without memory. */
struct json_object *metadata_segment_json(struct request *request, const struct facts *facts);
struct json_object *vector_segment_json(struct request *request, const struct facts *facts);

/* Text that a person chose: hidden under -o privacy. */
struct json_object *private_text(const struct request *request, const struct text *text);
#define HIDDEN "***"

/* An unsigned number, or null. */
struct json_object *number_or_null(bool known, uint64_t number);

/* Renders and frees the object. */
int show_json(struct json_object *object, struct text *ret);

/* A line of text. */
int show_line(struct text *ret, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
