/*
 * What a user may ask for as the tokenizer of the full-text table.
 *
 *      spec  = "porter" [base] | base
 *      base  = "trigram" {"case_sensitive" ("0" | "1")}
 *            | "unicode61" {"remove_diacritics" ("0" | "1" | "2") | "categories" text | "separators" text | "tokenchars" text}
 *            | "ascii" {"separators" text | "tokenchars" text}
 *      text  = 'any characters, '' for one quote' | a word of letters, digits, '_', '*' and '-'
 *
 * - Words have blanks between them; each option at most once. It is FTS5's own language
 *   (https://www.sqlite.org/fts5.html#tokenizers) as far as SQLite 3.40 knows it, since a tokenizer that Chroma's SQLite does not
 *   know would lock Chroma out of the table.
 * - What comes out is written anew from what was understood, so that it can stand in a statement once its quotes are doubled.
 */
#ifndef OPS_OPERATION_TOKENIZER_SPEC_H
#define OPS_OPERATION_TOKENIZER_SPEC_H

#include <stdbool.h>

#include "ops/error.h"
#include "ops/text.h"

#define TOKENIZER_MAX 1024

/* Parses `spec`; `ret` gets its one canonical form, NUL-terminated: "unicode61 remove_diacritics 2 tokenchars '-_'". -EINVAL with
   what is allowed. */
int tokenizer_spec_parse(const struct text *spec, char ret[TOKENIZER_MAX], struct error *e);

/* Whether this SQLite accepts it: makes a table with it in memory. -EINVAL with SQLite's sentence, -ENOMEM. */
int tokenizer_spec_try(const char *canonical, struct error *e);

/* Whether FTS5 answers LIKE, and so Chroma's $contains, from an index with this tokenizer: trigram alone, without case. */
bool tokenizer_spec_answers_like(const char *canonical);

#endif
