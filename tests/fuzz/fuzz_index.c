/*
 * Any bytes as the four binary files of a vector segment. The input is three lengths, little-endian u32, and the bytes: of header.bin, of
 * data_level0.bin, of length.bin; the rest is link_lists.bin. A length beyond what is left takes all that is left.
 */
#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ops/cleanup.h"
#include "ops/hnsw_file.h"
#include "ops/labels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
        const uint8_t *data;
        size_t size;
};

static struct input split(struct input *rest, const uint8_t *length)
{
        uint32_t want;
        memcpy(&want, length, sizeof(want));
        want = le32toh(want);
        struct input part = { rest->data, want < rest->size ? want : rest->size };
        rest->data += part.size;
        rest->size -= part.size;
        return part;
}

static int file_of(const struct input *part)
{
        int fd = memfd_create("part", MFD_CLOEXEC);
        if (fd < 0 || (part->size > 0 && write(fd, part->data, part->size) != (ssize_t) part->size))
                abort();
        return fd;
}

static void must_say(int r, const struct error *e)
{
        if (r > 0 || (r < 0 && (e->code != r || e->text[0] == '\0')))
                abort();
}

static int use_vector(void *context, const struct hnsw_record *record)
{
        const struct hnsw_header *h = context;
        unsigned sum = 0; /* a sanitizer sees a read outside of the record */
        for (size_t i = 0; i < 4 * (size_t) h->dimension; i++)
                sum += record->vector[i];
        return sum == UINT32_MAX ? 1 : 0;
}

static void check_level0(int fd, struct hnsw_header *h)
{
        struct error e = { 0 };
        int scanned = hnsw_level0_scan(fd, h, use_vector, h, &e);
        must_say(scanned, &e);
        int checked = hnsw_level0_check(fd, h, &e);
        must_say(checked, &e);
        struct label_counts counts;
        int counted = label_counts_read(fd, h, NULL, NULL, NULL, &counts, &e);
        must_say(counted, &e);
        if (scanned < 0 && (checked == 0 || counted == 0))
                abort();
        if (counted < 0)
                return;
        if (counts.total != h->count || counts.active + counts.deleted != counts.total || counts.orphan_count != counts.active)
                abort();
        label_counts_clear(&counts);
}

static void check_files(const struct input *header, const struct input *level0, const struct input *lengths,
                        const struct input *links)
{
        CLEANUP(close)
        int header_fd = file_of(header);
        struct hnsw_header h;
        struct error e = { 0 };
        int r = hnsw_header_read(header_fd, &h, &e);
        must_say(r, &e);
        if (r < 0)
                return;
        CLEANUP(close)
        int level0_fd = file_of(level0);
        CLEANUP(close)
        int lengths_fd = file_of(lengths);
        CLEANUP(close)
        int links_fd = file_of(links);
        check_level0(level0_fd, &h);
        must_say(hnsw_length_check(lengths_fd, &h, &e), &e);
        must_say(hnsw_link_lists_check(links_fd, &h, &e), &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size < 12)
                return 0;
        struct input rest = { data + 12, size - 12 };
        struct input header = split(&rest, data);
        struct input level0 = split(&rest, data + 4);
        struct input lengths = split(&rest, data + 8);
        check_files(&header, &level0, &lengths, &rest);
        return 0;
}
