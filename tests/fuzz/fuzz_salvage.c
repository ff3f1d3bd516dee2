/*
 * Any bytes as the five files of a vector segment, of which everything is read that is left. The input is a byte for dimension, M and space of the collection, four lengths, little-endian u32, and the bytes: of header.bin, of
 * data_level0.bin, of length.bin, of link_lists.bin; the rest is index_metadata.pickle, and there is none of that when nothing is left. A length beyond what is left takes all that is left.
 *
 * What is said to be there must be what the bytes have: each entry's record is within the file, alive, has the entry's label and is the first such one; and its vector can be had, with a norm that is a number.
 */
#include <endian.h>
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/hnsw/salvage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ID "00000000-0000-4000-8000-000000000001"
#define PREFIX 17u
#define DIMENSION_MAX 8u

static void require(int condition)
{
        if (!condition)
                abort();
}

struct files {
        const uint8_t *level0; /* its bytes */
        size_t size;
};

static void write_file(int dirfd, const char *name, const uint8_t *data, size_t size)
{
        int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        require(fd >= 0 && write(fd, data, size) == (ssize_t) size && close(fd) == 0);
}

static struct files write_files(int dirfd, const uint8_t *data, size_t size)
{
        struct files files = { 0 };
        const uint8_t *rest = data + PREFIX;
        size_t left = size - PREFIX;
        for (int i = 0; i < INDEX_PICKLE; i++) {
                uint32_t want;
                memcpy(&want, data + 1 + 4 * i, sizeof(want));
                size_t len = le32toh(want) < left ? le32toh(want) : left;
                write_file(dirfd, index_file_names[i], rest, len);
                if (i == INDEX_LEVEL0)
                        files = (struct files){ rest, len };
                rest += len;
                left -= len;
        }
        if (left > 0)
                write_file(dirfd, index_file_names[INDEX_PICKLE], rest, left);
        return files;
}

/* The bytes of a record, when it is live. */
static const uint8_t *live_record(const struct salvage *s, const struct files *files, uint64_t record)
{
        require(record < s->records && (record + 1) * s->record_size <= files->size);
        const uint8_t *bytes = files->level0 + record * s->record_size;
        return (bytes[2] & 1u) == 0 ? bytes : NULL;
}

static uint64_t label_of(const struct salvage *s, const uint8_t *record)
{
        uint64_t label;
        memcpy(&label, record + s->record_size - sizeof(label), sizeof(label));
        return le64toh(label);
}

static void check_vector(const struct salvage *s, size_t entry, const uint8_t *record)
{
        float vector[DIMENSION_MAX], length;
        struct error e = { 0 };
        require(salvage_vector(s, entry, vector, &length, &e) == 0);
        require(memcmp(vector, record + s->data_offset, 4 * (size_t) s->start.dimension) == 0);
        require(isfinite(length) && length >= 0);
        require((s->marks[entry] & SALVAGE_NORMLESS) == 0 || length == 1);
        require(s->start.space == SPACE_COSINE || length == 1);
}

static void check_entries(const struct salvage *s, const struct files *files)
{
        uint64_t live = 0, doubtful = 0, normless = 0;
        for (size_t i = 0; i < s->metadata->count; i++) {
                if (s->record_of[i] == SALVAGE_NO_RECORD) {
                        require(s->marks[i] == 0);
                        continue;
                }
                const uint8_t *record = live_record(s, files, s->record_of[i]);
                require(record != NULL && label_of(s, record) == s->metadata->entries[i].label);
                live++;
                doubtful += (s->marks[i] & SALVAGE_DOUBTFUL) != 0;
                normless += (s->marks[i] & SALVAGE_NORMLESS) != 0;
                check_vector(s, i, record);
        }
        require(live == s->live && doubtful == s->doubtful && normless == s->normless);
}

static void check_counts(const struct salvage *s, const struct files *files)
{
        require((s->layout == SALVAGE_NO_LAYOUT) == (s->record_size == 0));
        require(s->pickle_error.code == 0 || s->metadata == NULL || s->metadata->disagreeing > 0);
        if (s->layout == SALVAGE_NO_LAYOUT) {
                require(s->live == 0 && (files->size == 0 || s->records_error.code != 0));
                return;
        }
        require(s->records <= files->size / s->record_size);
        require(s->live + s->deleted + s->unlisted + s->doubled + s->bad <= s->records);
        require(s->doubtful <= s->doubled);
}

static void check(int persist_fd, const struct files *files, uint8_t kind)
{
        const struct salvage_start start = { .persist_fd = persist_fd,
                                             .segment_id = ID,
                                             .dimension = 1 + kind % DIMENSION_MAX,
                                             .m = (kind / DIMENSION_MAX) % 8 * 2,
                                             .space = (enum hnsw_space)(kind >> 6) % 3 };
        struct salvage *s = NULL;
        struct error e = { 0 };
        int r = salvage_read(&start, &s, &e);
        require(r <= 0 && (s != NULL) == (r == 0) && (r == 0 || e.text[0] != '\0'));
        if (r < 0)
                return;
        check_counts(s, files);
        if (s->metadata != NULL)
                check_entries(s, files);
        (void) salvage_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char path[] = "/tmp/fuzz-salvage-XXXXXX";
        if (size < PREFIX)
                return 0;
        require(mkdtemp(path) != NULL);
        int persist_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        require(persist_fd >= 0 && mkdirat(persist_fd, ID, 0700) == 0);
        int dirfd = openat(persist_fd, ID, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        require(dirfd >= 0);
        struct files files = write_files(dirfd, data, size);
        check(persist_fd, &files, data[0]);
        for (int i = 0; i < INDEX_FILE_COUNT; i++)
                (void) unlinkat(dirfd, index_file_names[i], 0);
        require(close(dirfd) == 0 && unlinkat(persist_fd, ID, AT_REMOVEDIR) == 0 && close(persist_fd) == 0 && rmdir(path) == 0);
        return 0;
}
