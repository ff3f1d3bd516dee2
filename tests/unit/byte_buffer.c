#include "tests/unit/byte_buffer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void reserve(struct byte_buffer *b, size_t more)
{
        if (more <= b->allocated - b->len)
                return;
        size_t allocated = (b->len + more) * 2;
        unsigned char *data = realloc(b->data, allocated);
        if (data == NULL)
                abort();
        b->data = data;
        b->allocated = allocated;
}

void bytes_put(struct byte_buffer *b, const void *data, size_t len)
{
        if (len == 0)
                return;
        reserve(b, len);
        memcpy(b->data + b->len, data, len);
        b->len += len;
}

void bytes_put_int(struct byte_buffer *b, uint64_t value, size_t width)
{
        for (size_t i = 0; i < width; i++) {
                unsigned char byte = (unsigned char) (value >> (8 * i));
                bytes_put(b, &byte, 1);
        }
}

void bytes_put_text(struct byte_buffer *b, const char *text)
{
        bytes_put(b, text, strlen(text));
}

void bytes_set_int(struct byte_buffer *b, size_t offset, uint64_t value, size_t width)
{
        if (offset + width > b->len)
                abort();
        for (size_t i = 0; i < width; i++)
                b->data[offset + i] = (unsigned char) (value >> (8 * i));
}

void bytes_fill(struct byte_buffer *b, int byte, size_t count)
{
        if (count == 0)
                return;
        reserve(b, count);
        memset(b->data + b->len, byte, count);
        b->len += count;
}

struct byte_buffer bytes_copy(const struct byte_buffer *b)
{
        struct byte_buffer copy = { 0 };
        bytes_put(&copy, b->data, b->len);
        return copy;
}

void bytes_clear(struct byte_buffer *b)
{
        free(b->data);
        *b = (struct byte_buffer){ 0 };
}

int bytes_memfd(const void *data, size_t len)
{
        int fd = memfd_create("test", MFD_CLOEXEC);
        if (fd < 0)
                abort();
        for (size_t done = 0; done < len;) {
                ssize_t n = pwrite(fd, (const char *) data + done, len - done, (off_t) done);
                if (n <= 0)
                        abort();
                done += (size_t) n;
        }
        return fd;
}
