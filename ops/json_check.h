/*
 * Whether a text is JSON (RFC 8259), found out without memory: what is written must not depend on a parser that loses members, or ends the process, when there is none (json-c does both).
 */
#ifndef OPS_JSON_CHECK_H
#define OPS_JSON_CHECK_H

#include "ops/error.h"
#include "ops/text.h"

/* One value and blanks around it. Strings may hold any bytes but control characters. -EILSEQ when it is none, or larger or deeper than JSON_SIZE_MAX and JSON_DEPTH_MAX (ops/json.h). */
int json_check(const struct text *json, struct error *e);

/* What a checked string means, without its quotes and its escapes; half a pair of surrogates is U+FFFD. *ret is the caller's. 0 or -ENOMEM. */
int json_unescape(const struct text *string, struct text *ret);

#endif
