/*
 * Words of JSON as Chroma's parsers read them (row_json.h): white space, strings, numbers, names.
 */
#ifndef OPS_COMMIT_ROW_LEX_H
#define OPS_COMMIT_ROW_LEX_H

#include "ops/commit/row_json.h"

struct commit_lexer {
        const char *begin, *at, *end;
        enum commit_dialect dialect;
        char *strings;  /* where the next one goes: what is free is longer than what is left to read */
        bool surrogate; /* a string has half a pair: Python only */
        bool endless;   /* an integer is too large for a double: Python only */
        struct error *why;
};

/* Why this is no metadata, and where: 1. */
int commit_lex_fail(struct commit_lexer *lexer, const char *what);

/* Skips white space; the next byte, or -1 at the end. */
int commit_lex_peek(struct commit_lexer *lexer);

/* All begin at their first byte, and return 0 or 1. */
int commit_lex_string(struct commit_lexer *lexer, struct text *ret);
int commit_lex_number(struct commit_lexer *lexer, struct commit_value *ret);
int commit_lex_name(struct commit_lexer *lexer, struct commit_value *ret); /* null, true, false, NaN, Infinity */

#endif
