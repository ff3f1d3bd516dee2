#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/hnsw/hnsw.h"
#include "tests/unit/commit_scene.h"
#include "tests/unit/schema.h"

#define ROWS_MAX 100

static const struct operation_type type = { .name = "commit" };

void commit_scene_make(struct commit_scene *s, enum clean_format format)
{
        *s = (struct commit_scene){ .dimension = INDEX_DIR_DIMENSION, .fd = -1 };
        s->config = (struct hnsw_config){ .space = SPACE_L2, .m = INDEX_DIR_M, .ef_construction = 100, .resize_factor = 1.2 };
        clean_dir_make(&s->dir, format);
        s->op = (struct operation){ .type = &type, .dirfd = s->dir.sql.fd, .sink = &s->sink };
}

static void drop(struct commit_scene *s)
{
        s->v = commit_vector_free(s->v);
        s->metadata = index_metadata_free(s->metadata);
        s->db = db_close(s->db);
        s->catalog = catalog_free(s->catalog);
        if (s->fd >= 0)
                (void) close(s->fd);
        s->fd = -1;
}

void commit_scene_remove(struct commit_scene *s)
{
        drop(s);
        clean_dir_remove(&s->dir);
}

static void remove_index(const struct commit_scene *s)
{
        char id[37], path[96];
        (void) test_uuid(CLEAN_VECTOR + 1, id);
        for (int i = 0; i < INDEX_FILE_COUNT; i++) {
                (void) snprintf(path, sizeof(path), "%s/%s", id, index_file_names[i]);
                assert_int_equal(unlinkat(s->dir.sql.fd, path, 0), 0);
        }
        assert_int_equal(unlinkat(s->dir.sql.fd, id, AT_REMOVEDIR), 0);
}

void commit_scene_collection(struct commit_scene *s, uint64_t count, int64_t position)
{
        clean_dir_collection(&s->dir, 1, count == 0 ? 1 : count, position, position);
        if (count == 0)
                remove_index(s);
}

void commit_scene_index(const struct commit_scene *s, const struct index_dir *index)
{
        char id[37];
        remove_index(s);
        index_dir_make(s->dir.sql.fd, test_uuid(CLEAN_VECTOR + 1, id), index);
}

void commit_scene_log(const struct commit_scene *s, int64_t seq_id, enum commit_operation operation, const char *id, bool vector)
{
        clean_dir_log(&s->dir, seq_id, (int) operation, 1, id, vector);
}

int commit_scene_begin(struct commit_scene *s)
{
        struct error e = { 0 };
        struct index_summary summary;
        drop(s);
        s->db = sql_dir_open(&s->dir.sql);
        assert_int_equal(catalog_read(s->db, &s->catalog, &e), 0);
        assert_int_equal(s->catalog->collection_count, 1);
        const struct collection *c = &s->catalog->collections[0];
        struct commit_vector_start start = {
                .catalog = s->catalog, .collection = c, .config = &s->config, .dimension = s->dimension, .rebuild = s->rebuild
        };
        index_summary_read(s->dir.sql.fd, c->vector->id.bytes, &summary);
        start.has_position = vector_position(c->vector, &summary, &start.position);
        return commit_vector_begin(&s->op, &start, &s->v);
}

static int gather(struct commit_scene *s)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *rows = NULL;
        int r = db_begin(s->db, &s->op.error);
        assert_int_equal(r, 0);
        r = db_prepare(s->db, &rows, &s->op.error, "SELECT seq_id, operation, id, vector FROM embeddings_queue ORDER BY seq_id");
        assert_int_equal(r, 0);
        while (r == 0 && db_step(s->db, rows, &s->op.error) == 1) {
                struct commit_row row = { .seq_id = sqlite3_column_int64(rows, 0),
                                          .operation = (enum commit_operation) sqlite3_column_int(rows, 1),
                                          .vector = sqlite3_column_blob(rows, 3) };
                assert_int_equal(text_copy(&row.id, sqlite3_column_text(rows, 2), (size_t) sqlite3_column_bytes(rows, 2)), 0);
                r = commit_vector_gather(s->v, &row, &s->op.error);
                free(row.id.bytes);
        }
        db_end(s->db);
        return r;
}

int commit_scene_plan(struct commit_scene *s)
{
        int r = commit_scene_begin(s);
        if (r == 0)
                r = gather(s);
        s->counts = (struct commit_counts){ 0 };
        return r < 0 ? r : commit_vector_plan(s->v, s->db, &s->counts, &s->op.error);
}

int commit_scene_build(struct commit_scene *s, uint64_t position)
{
        assert_int_equal(mkdirat(s->dir.sql.fd, "out", 0700), 0);
        s->fd = openat(s->dir.sql.fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(s->fd >= 0);
        return commit_vector_build(s->v, &s->op, s->db, s->fd, position, 2);
}

static void read_built(struct commit_scene *s)
{
        struct error e = { 0 };
        int fd = openat(s->fd, "index_metadata.pickle", O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(index_metadata_read(fd, NULL, NULL, &s->metadata, &e), 0);
        assert_int_equal(close(fd), 0);
}

static void take_place(const struct commit_scene *s, uint64_t position)
{
        char id[37], gone[64];
        (void) snprintf(gone, sizeof(gone), "gone-%llu", (unsigned long long) position);
        (void) test_uuid(CLEAN_VECTOR + 1, id);
        (void) renameat(s->dir.sql.fd, id, s->dir.sql.fd, gone);
        assert_int_equal(renameat(s->dir.sql.fd, "out", s->dir.sql.fd, id), 0);
        index_dir_age(s->dir.sql.fd, id, 3600);
        if (s->dir.format == CLEAN_TOPIC_COLUMN)
                sql_dir_exec(&s->dir.sql, "DELETE FROM max_seq_id WHERE segment_id = %Q", id);
        else if (s->dir.format == CLEAN_RUST)
                sql_dir_exec(&s->dir.sql, "INSERT OR REPLACE INTO max_seq_id VALUES (%Q, %lld)", id, (long long) position);
        else
                sql_dir_exec(&s->dir.sql, "INSERT OR REPLACE INTO max_seq_id VALUES (%Q, x'%016llx')", id,
                             (unsigned long long) position);
}

void commit_scene_commit(struct commit_scene *s, uint64_t position)
{
        if (commit_scene_plan(s) < 0 || commit_scene_build(s, position) < 0)
                fail_msg("%s", s->op.error.text);
        read_built(s);
        s->db = db_close(s->db);
        take_place(s, position);
}

static const struct index_entry *entry_of(const struct commit_scene *s, const char *id)
{
        for (size_t i = 0; i < s->metadata->count; i++)
                if (s->metadata->entries[i].id_len == strlen(id) && memcmp(s->metadata->entries[i].id, id, strlen(id)) == 0)
                        return &s->metadata->entries[i];
        return NULL;
}

uint64_t commit_scene_label(const struct commit_scene *s, const char *id)
{
        const struct index_entry *entry = entry_of(s, id);
        return entry == NULL ? 0 : entry->label;
}

int64_t commit_scene_vector(const struct commit_scene *s, const char *id)
{
        const struct hnsw_params params = { .space = s->config.space, .stage_fd = -1 };
        struct error e = { 0 };
        struct hnsw *index = NULL;
        int64_t found = 0;
        if (hnsw_load(s->fd, &params, 0, NULL, NULL, &index, &e) < 0)
                fail_msg("%s", e.text);
        uint32_t element = hnsw_find(index, commit_scene_label(s, id));
        for (int64_t row = 1; element != UINT32_MAX && found == 0 && row < ROWS_MAX; row++)
                if (memcmp((const void *) hnsw_vector(index, element), (const void *) clean_vector_of(row),
                           4 * INDEX_DIR_DIMENSION) == 0)
                        found = hnsw_is_deleted(index, element) ? 0 : row;
        (void) hnsw_free(index);
        return found;
}
