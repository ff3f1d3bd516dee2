/*
 * Errors of the library: a negative errno for the caller to return, and one sentence for a person to read.
 *
 * - Every function that can fail returns 0 (or a count, or a descriptor) on success and a negative errno on failure, and takes a
 *   `struct error *` as its last parameter, which may be NULL when nobody will read the sentence.
 * - The sentence is written once, where the failure arises, where all that is known about it is at hand; callers only add where.
 * - Out-parameters (ret_x) are untouched on failure.
 */
#ifndef OPS_ERROR_H
#define OPS_ERROR_H

struct error {
        int code;       /* negative errno, 0 when nothing failed */
        char text[512]; /* the sentence, UTF-8, no newline, cut at the end when too long */
};

/* Sets *e (when not NULL) to the positive errno `err` and the formatted sentence; returns -err, so that `return error_set(…)` does. */
int error_set(struct error *e, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "context: " before the sentence of *e (when not NULL); returns e's code or, without e, `code` as given. */
int error_prefix(struct error *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
