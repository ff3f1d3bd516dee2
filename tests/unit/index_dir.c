#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ops/index_summary.h"
#include "tests/unit/index_dir.h"

#define QUIET_SECONDS 3600

static void put(unsigned char *at, uint64_t value, size_t size)
{
        for (size_t i = 0; i < size; i++)
                at[i] = (unsigned char) (value >> (8 * i));
}

static void age(int dirfd, const char *path, int seconds)
{
        struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
        assert_int_equal(clock_gettime(CLOCK_REALTIME, &times[1]), 0);
        times[1].tv_sec -= seconds;
        if (utimensat(dirfd, path, times, AT_SYMLINK_NOFOLLOW) < 0)
                assert_true(errno == ENOENT || errno == ENOTDIR || errno == ELOOP);
}

void index_dir_age(int dirfd, const char *name, int seconds)
{
        for (int i = 0; i < INDEX_FILE_COUNT; i++) {
                char path[128];
                (void) snprintf(path, sizeof(path), "%s/%s", name, index_file_names[i]);
                age(dirfd, path, seconds);
        }
        age(dirfd, name, seconds);
}

void index_dir_write(int dirfd, const char *name, const char *file, const void *bytes, size_t len)
{
        char path[128];
        (void) snprintf(path, sizeof(path), "%s/%s", name, file);
        int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, len), (ssize_t) len);
        assert_int_equal(close(fd), 0);
        age(dirfd, path, QUIET_SECONDS);
        age(dirfd, name, QUIET_SECONDS);
}

static void write_header(int dirfd, const char *name, const struct index_dir *index)
{
        unsigned char b[100] = { 0 };
        double mult = 1 / log(INDEX_DIR_M);
        put(b, 1, 4);
        put(b + 12, index->count + 10, 8);
        put(b + 20, index->count, 8);
        put(b + 28, INDEX_DIR_RECORD, 8);
        put(b + 36, INDEX_DIR_RECORD - 8, 8);
        put(b + 44, 8 * INDEX_DIR_M + 4, 8);
        put(b + 52, index->count == 0 ? UINT32_MAX : 0, 4); /* highest level */
        put(b + 56, index->count == 0 ? UINT32_MAX : 0, 4); /* entry point */
        put(b + 60, INDEX_DIR_M, 8);
        put(b + 68, 2 * INDEX_DIR_M, 8);
        put(b + 76, INDEX_DIR_M, 8);
        memcpy(b + 84, &mult, 8);
        put(b + 92, 100, 8);
        index_dir_write(dirfd, name, "header.bin", b, sizeof(b));
}

static void write_records(int dirfd, const char *name, const struct index_dir *index)
{
        size_t len = index->count * INDEX_DIR_RECORD;
        unsigned char *b = calloc(1, len + 1);
        assert_non_null(b);
        for (uint64_t i = 0; i < index->count; i++) {
                unsigned char *record = b + i * INDEX_DIR_RECORD;
                record[2] = i < index->deleted;
                if (i > 0) { /* one link, to the element before */
                        put(record, 1, 2);
                        put(record + 4, i - 1, 4);
                }
                put(record + INDEX_DIR_RECORD - 8, i + 1, 8);
        }
        index_dir_write(dirfd, name, "data_level0.bin", b, len);
        memset(b, 0, len);
        index_dir_write(dirfd, name, "length.bin", b, 4 * index->count);
        index_dir_write(dirfd, name, "link_lists.bin", b, 4 * index->count);
        free(b);
}

/* Rust's shape: a dict. */
struct pickle {
        unsigned char bytes[1 << 16];
        size_t len;
};

static void emit(struct pickle *p, const void *bytes, size_t len)
{
        assert_true(len <= sizeof(p->bytes) - p->len);
        memcpy(p->bytes + p->len, bytes, len);
        p->len += len;
}

static void emit_string(struct pickle *p, const char *s)
{
        unsigned char head[5] = { 'X' };
        put(head + 1, strlen(s), 4);
        emit(p, head, sizeof(head));
        emit(p, s, strlen(s));
}

static void emit_int(struct pickle *p, uint64_t value)
{
        unsigned char b[5] = { 'J' };
        put(b + 1, value, 4);
        emit(p, b, sizeof(b));
}

static void emit_pair(struct pickle *p, uint64_t label, bool by_label)
{
        char id[32];
        (void) snprintf(id, sizeof(id), "id%llu", (unsigned long long) label);
        if (by_label)
                emit_int(p, label);
        emit_string(p, id);
        if (!by_label)
                emit_int(p, label);
}

static void emit_map(struct pickle *p, const struct index_dir *index, bool by_label)
{
        emit_string(p, by_label ? "label_to_id" : "id_to_label");
        emit(p, "}", 1);
        if (index->count == index->deleted && index->extra_label == 0)
                return;
        emit(p, "(", 1);
        for (uint64_t i = index->deleted; i < index->count; i++)
                emit_pair(p, i + 1, by_label);
        if (index->extra_label != 0)
                emit_pair(p, index->extra_label, by_label);
        emit(p, "u", 1);
}

static void write_pickle(int dirfd, const char *name, const struct index_dir *index)
{
        struct pickle *p = calloc(1, sizeof(*p));
        assert_non_null(p);
        uint64_t fits = index->extra_label > index->count ? index->extra_label : index->count;
        emit(p, "\x80\x03}(", 4);
        emit_string(p, "dimensionality");
        emit_int(p, index->dimension != 0 ? index->dimension : INDEX_DIR_DIMENSION);
        emit_string(p, "total_elements_added");
        emit_int(p, index->added != 0 ? index->added : fits);
        emit_string(p, "max_seq_id");
        emit_int(p, 77);
        emit_map(p, index, false);
        emit_map(p, index, true);
        emit_string(p, "id_to_seq_id");
        emit(p, "}u.", 3);
        index_dir_write(dirfd, name, "index_metadata.pickle", p->bytes, p->len);
        free(p);
}

void index_dir_make(int dirfd, const char *name, const struct index_dir *index)
{
        assert_int_equal(mkdirat(dirfd, name, 0755), 0);
        write_header(dirfd, name, index);
        write_records(dirfd, name, index);
        if (!index->without_pickle)
                write_pickle(dirfd, name, index);
        index_dir_age(dirfd, name, QUIET_SECONDS);
}
