/*
 * The stack machine of Python's pickle format, cut down to what an index_metadata.pickle needs: it turns the bytes into values.
 *
 * - Understands integers, strings, None, booleans, tuples (without their content), dicts and instances of the one class PersistentData.
 *   Nothing is ever called or imported: a name is compared with that class's name, and any other one is an error.
 * - A value is 16 bytes and is passed by copy; a string is a place in the input, a dict is a number. A dict may hold itself: whoever
 *   walks dicts decides how deep.
 * - Bounds: one loop, no recursion; at most 64 marks and 64 dicts; 16 bytes for each push or memo entry and 32 for each pair of a dict,
 *   each of which costs at least a byte of input.
 */
#ifndef OPS_PICKLE_MACHINE_H
#define OPS_PICKLE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/cleanup.h"
#include "ops/db.h"
#include "ops/error.h"

#define PICKLE_FILE "index_metadata.pickle"

enum pickle_kind {
        PICKLE_NONE,
        PICKLE_BOOL,
        PICKLE_INTEGER,      /* 0 to 2^64-1 */
        PICKLE_OUT_OF_RANGE, /* an integer that is negative or too large */
        PICKLE_STRING,
        PICKLE_TUPLE,
        PICKLE_EMPTY_TUPLE,
        PICKLE_DICTIONARY,
        PICKLE_CLASS,
        PICKLE_OBJECT,
};

struct pickle_value {
        uint32_t kind; /* enum pickle_kind */
        uint32_t at;   /* byte offset in the file: of a string's first byte, of another value's opcode */
        union {
                uint64_t integer;
                struct {
                        uint32_t len, hash; /* XXH3 of the bytes, low half */
                } string;
                uint32_t dict; /* number of a dict, for PICKLE_DICTIONARY */
        };
};

struct pickle_pair {
        struct pickle_value key, value;
};

struct pickle_dict {
        struct pickle_pair *pairs; /* in the order of the file; keys may repeat, are strings or other scalars */
        size_t count, allocated;
};

struct pickle_tree;

/* Who may end it: cancelled may be NULL. */
struct pickle_watch {
        db_cancel_fn *cancelled;
        void *context;
};

/* 0, or -EINTR with its sentence. */
int pickle_watch_ask(const struct pickle_watch *watch, struct error *e);

/* Runs the pickle in bytes[0 .. len), which must outlive the result. 0, -EILSEQ with a sentence that has the byte offset, -ENOMEM, -EINTR (asked every few thousand opcodes). */
int pickle_tree_build(const char *bytes, size_t len, const struct pickle_watch *watch, struct pickle_tree **ret, struct error *e);
struct pickle_tree *pickle_tree_free(struct pickle_tree *tree); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct pickle_tree *, pickle_tree_free)

/* The dict that is the pickle's result, or that its result, an instance, was built from; *ret_instance says which. */
const struct pickle_dict *pickle_tree_state(const struct pickle_tree *tree, bool *ret_instance);

/* The dict that a value of kind PICKLE_DICTIONARY means. */
const struct pickle_dict *pickle_tree_dict(const struct pickle_tree *tree, const struct pickle_value *value);

/* "an integer", "a dict", … for sentences. */
const char *pickle_kind_name(uint32_t kind);

#endif
