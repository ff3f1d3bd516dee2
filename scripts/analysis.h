/*
 * Only for the static analyzers of `make lint`, which include it before a file's first line: what they can't find out.
 *
 * - error_set() and error_prefix() return a negative number: without knowing it they follow errors into the code for success.
 * - The loop of uthash, for cppcheck, which reads no system headers.
 */
#ifndef SCRIPTS_ANALYSIS_H
#define SCRIPTS_ANALYSIS_H

#ifdef __cppcheck__
#define HASH_ITER(hh, head, el, tmp) for ((el) = (head), (tmp) = (el); (el) != NULL; (el) = (tmp))
#else
#include "ops/error.h"
#define error_set(e, err, ...) ((error_set) ((e), (err), __VA_ARGS__), (err) > 0 ? -(err) : -1)
#define error_prefix(e, code, ...) ((error_prefix) ((e), (code), __VA_ARGS__), (code) < 0 ? (code) : -1)
#endif

#endif
