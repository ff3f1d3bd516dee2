/*
 * Any bytes as the four files of a segment, loaded; and what loads is used: searched, changed, saved, and loaded again, as the same. The input is as fuzz_index.c's: three
 * lengths, little-endian u32, and the bytes: of header.bin, of data_level0.bin, of length.bin; the rest is link_lists.bin.
 */
#include <endian.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops/hnsw/save.h"
#include "ops/index_summary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EF 20u /* not the file's, which may be a billion */

struct dirs {
        char path[2][40];
        int fd[2]; /* what is loaded, and what is saved */
};

static void dirs_make(struct dirs *d)
{
        for (int i = 0; i < 2; i++) {
                (void) snprintf(d->path[i], sizeof(d->path[i]), "/tmp/chromafs-fuzz-XXXXXX");
                d->fd[i] = mkdtemp(d->path[i]) == NULL ? -1 : open(d->path[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (d->fd[i] < 0)
                        abort();
        }
}

static void dirs_remove(struct dirs *d)
{
        for (int i = 0; i < 2; i++) {
                for (int file = 0; file < INDEX_FILE_COUNT; file++)
                        (void) unlinkat(d->fd[i], index_file_names[file], 0);
                (void) close(d->fd[i]);
                (void) rmdir(d->path[i]);
        }
}

static void put(int dirfd, const char *name, const uint8_t *bytes, size_t len)
{
        int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 || (len > 0 && write(fd, bytes, len) != (ssize_t) len) || close(fd) < 0)
                abort();
}

static struct hnsw *load(int dirfd, struct error *e)
{
        struct hnsw_params params = { .space = SPACE_COSINE, .ef_construction = EF, .stage_fd = -1 };
        struct hnsw *index = NULL;
        int r = hnsw_load(dirfd, &params, 1, NULL, NULL, &index, e);
        if (r > 0 || (r < 0 && (e->code != r || e->text[0] == '\0' || index != NULL)))
                abort();
        return index;
}

static void must_be_same(const struct hnsw *a, const struct hnsw *b)
{
        struct hnsw_info x = hnsw_info(a), y = hnsw_info(b);
        if (x.count != y.count || x.deleted != y.deleted || x.max_level != y.max_level || x.entry_point != y.entry_point ||
            x.upper_bytes != y.upper_bytes)
                abort();
        for (uint32_t id = 0; id < x.count; id++)
                if (hnsw_label(a, id) != hnsw_label(b, id) || hnsw_find(b, hnsw_label(a, id)) != id)
                        abort();
}

static void search(struct hnsw *index, const float *query)
{
        struct hnsw_result results[5];
        struct hnsw_searcher *searcher = hnsw_searcher_new(index);
        int64_t found = searcher == NULL ? 0 : hnsw_search(searcher, query, 5, EF, results);
        if (found < 0 || found > 5)
                abort();
        (void) hnsw_searcher_free(searcher);
}

/* Every vector and link is read by it, so a sanitizer sees one that leads outside. */
static void change(struct hnsw *index, struct error *e)
{
        struct hnsw_info info = hnsw_info(index);
        float *vector = calloc(info.params.dimension, sizeof(*vector));
        if (vector == NULL)
                return;
        search(index, vector);
        if (info.count > 0) {
                (void) hnsw_delete(index, hnsw_label(index, info.entry_point), e);
                (void) hnsw_update(index, hnsw_label(index, (uint32_t) info.count - 1), vector, e);
        }
        uint64_t label = 0;
        while (hnsw_find(index, label) != UINT32_MAX)
                label++;
        vector[0] = 1;
        if (hnsw_add(index, &(struct hnsw_item){ .label = label, .vector = vector }, 1, 1, NULL, NULL, e) < 0)
                abort();
        search(index, vector);
        free(vector);
}

static void use(struct hnsw *index, int dirfd)
{
        struct error e = { 0 };
        change(index, &e);
        if (hnsw_save(index, &(struct hnsw_save){ 0 }, dirfd, NULL, NULL, &e) < 0)
                abort();
        struct hnsw *again = load(dirfd, &e);
        if (again == NULL)
                abort();
        must_be_same(index, again);
        (void) hnsw_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size < 12)
                return 0;
        struct dirs dirs;
        struct error e = { 0 };
        size_t at = 12;
        dirs_make(&dirs);
        for (int i = 0; i < 3; i++) {
                uint32_t want;
                memcpy(&want, data + 4 * (size_t) i, sizeof(want));
                size_t len = le32toh(want) < size - at ? le32toh(want) : size - at;
                put(dirs.fd[0], index_file_names[i], data + at, len);
                at += len;
        }
        put(dirs.fd[0], index_file_names[INDEX_LINK_LISTS], data + at, size - at);
        struct hnsw *index = load(dirs.fd[0], &e);
        if (index != NULL)
                use(index, dirs.fd[1]);
        (void) hnsw_free(index);
        dirs_remove(&dirs);
        return 0;
}
