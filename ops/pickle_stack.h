/*
 * Inside of the pickle machine: its bytes, its stack with marks, its memo. Only the files that implement opcodes include this.
 *
 * - Every function that can fail writes the sentence, with the offset of the opcode that is being run; 0, or -EILSEQ or -ENOMEM.
 * - What comes from the file (a length, a memo number) is compared with what there is before it is used, and never added to anything.
 */
#ifndef OPS_PICKLE_STACK_H
#define OPS_PICKLE_STACK_H

#include "ops/pickle_machine.h"

/* Writers need two marks (a batch of the state, a batch of a dict in it); the rest is room for state keys that are unknown yet. */
#define PICKLE_MARKS_MAX 64u

struct pickle_values {
        struct pickle_value *items;
        size_t count, allocated;
};

struct pickle_machine {
        const unsigned char *bytes;
        size_t len, pos; /* pos: the next byte to read */
        size_t op;       /* offset of the opcode that is being run */
        struct pickle_values stack, memo;
        size_t marks[PICKLE_MARKS_MAX];
        size_t mark_count;
        bool stopped, instantiated;
        struct pickle_tree *tree;
        struct error *e;
};

/* -EILSEQ with a sentence about the opcode that is being run. */
int pickle_bad(struct pickle_machine *m, const char *what);

/* The next n bytes, or NULL with a sentence. */
const unsigned char *pickle_take(struct pickle_machine *m, uint64_t n);

/* A little-endian unsigned operand of `width` bytes, at most 8. */
int pickle_take_uint(struct pickle_machine *m, size_t width, uint64_t *ret);

int pickle_append(struct pickle_machine *m, struct pickle_values *list, struct pickle_value value);

/* Pushes a value that is no string and no dict. */
int pickle_push(struct pickle_machine *m, uint32_t kind, uint64_t integer);

/* The n >= 1 values on top, the lowest first, or NULL with a sentence when there are fewer above the last mark. They stay on the stack. */
struct pickle_value *pickle_top(struct pickle_machine *m, size_t n);

/* Takes the last mark away; *ret_from is where the values above it begin. */
int pickle_pop_mark(struct pickle_machine *m, size_t *ret_from);

/* Copies the top of the stack into the memo; pushes what the memo has at the number that an operand of `width` bytes gives. */
int pickle_memo_put(struct pickle_machine *m, uint64_t index);
int pickle_memo_get(struct pickle_machine *m, size_t width);

/* Opcodes MARK and POP. */
int pickle_op_mark(struct pickle_machine *m);
int pickle_op_pop(struct pickle_machine *m);

#endif
