/*
 * Bytes that a test puts together: files of a hostile directory, one field at a time. Running out of memory ends the test.
 */
#ifndef TESTS_BYTE_BUFFER_H
#define TESTS_BYTE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

struct byte_buffer {
        unsigned char *data;
        size_t len, allocated;
};

void bytes_put(struct byte_buffer *b, const void *data, size_t len);
void bytes_put_int(struct byte_buffer *b, uint64_t value, size_t width); /* little-endian */
void bytes_put_text(struct byte_buffer *b, const char *text);            /* without the NUL */
void bytes_set_int(struct byte_buffer *b, size_t offset, uint64_t value, size_t width);
void bytes_fill(struct byte_buffer *b, int byte, size_t count);
struct byte_buffer bytes_copy(const struct byte_buffer *b);
void bytes_clear(struct byte_buffer *b);

/* A file without a name that holds `len` bytes; the caller closes it. */
int bytes_memfd(const void *data, size_t len);

#endif
