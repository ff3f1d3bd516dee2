/*
 * Changes single members in JSON text; every other byte stays as it is, what a parser would not give back included (a NUL in a key,
 * numbers of any size, blanks).
 *
 * - The text is checked once, when an edit begins; objects are named by the offset of their '{' from then on. A change moves only
 *   what lies behind that, so that an object's offset outlives changes in it, and in those that come after it.
 * - Everything is read off the text itself: json-c may lose a member, or end the process, when there is no memory.
 * - A member that is there twice is -EILSEQ when it is asked for: which of them counts is for each reader to decide.
 * - Linear search, from the front: for a handful of changes to a text that is written by hand or by Chroma.
 */
#ifndef OPS_OPERATION_JSON_EDIT_H
#define OPS_OPERATION_JSON_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/error.h"
#include "ops/text.h"

struct json_edit {
        struct text text;  /* owned */
        const char *where; /* for sentences: static */
        bool spaced;       /* Python's ", " and ": " between what is new, not "," and ":" */
        size_t root;
};

/* Copies `json`, which must be one object: -EILSEQ. Where it fails there is nothing to clear. */
int json_edit_begin(struct json_edit *edit, const struct text *json, const char *where, bool spaced, struct error *e);
void json_edit_clear(struct json_edit *edit);

struct json_member {
        struct text key;   /* as it is written, without its quotes: in the edit's text, which a change moves */
        size_t value, end; /* offsets: where the value begins, and behind it */
};

/* The member behind the offset *at, which moves behind it; at first that is the object's offset. 1, or 0 at the object's end. */
int json_edit_next(const struct json_edit *edit, size_t *at, struct json_member *ret, struct error *e);

/* The key that a member's `key` means: that itself, or without its escapes; then *ret_held has its bytes, which the caller frees. */
int json_edit_key(const struct json_edit *edit, const struct text *key, struct text *ret, char **ret_held, struct error *e);

/* 1 and the member of that name, or 0 when there is none. */
int json_edit_member(const struct json_edit *edit, size_t object, const char *name, struct json_member *ret, struct error *e);

/* 1 and the offset of a member's value, or 0 when there is no such member. */
int json_edit_find(const struct json_edit *edit, size_t object, const char *name, size_t *ret_value, struct error *e);

/* The same of a member that is an object; one that is something else counts as none. */
int json_edit_object(const struct json_edit *edit, size_t object, const char *name, size_t *ret_object, struct error *e);

/* Makes it where it is absent or null; -EILSEQ when it is something else. */
int json_edit_make_object(struct json_edit *edit, size_t object, const char *name, size_t *ret_object, struct error *e);

/* Gives a member the value `json`; one that is not there yet becomes the last. */
int json_edit_set(struct json_edit *edit, size_t object, const char *name, const char *json, struct error *e);
int json_edit_set_integer(struct json_edit *edit, size_t object, const char *name, int64_t value, struct error *e);
int json_edit_set_real(struct json_edit *edit, size_t object, const char *name, double value, struct error *e);

#endif
