/*
 * A collection whose vector segment is committed, without the rest of a commit: gathered, planned and built into the folder "out". Every failure that is not expected ends the test.
 */
#ifndef TESTS_COMMIT_SCENE_H
#define TESTS_COMMIT_SCENE_H

#include "ops/commit/vector.h"
#include "ops/pickle.h"
#include "tests/unit/clean_dir.h"

struct commit_scene {
        struct clean_dir dir;
        struct operation op;
        struct operation_sink sink;
        struct hnsw_config config;         /* l2, M 4, unless a test changes it */
        const struct hnsw_config *rebuild; /* of the index that is made anew; NULL: the old one is added to */
        uint32_t dimension;                /* 3 */
        struct catalog *catalog;
        struct db *db;
        struct commit_vector *v;
        struct commit_counts counts;
        int fd;                          /* of "out" */
        struct index_metadata *metadata; /* of what was built */
};

void commit_scene_make(struct commit_scene *s, enum clean_format format); /* without a collection */
void commit_scene_remove(struct commit_scene *s);

/* Collection 1 with an index, or without a directory when count is 0. */
void commit_scene_collection(struct commit_scene *s, uint64_t count, int64_t position);

/* Another index in its place. */
void commit_scene_index(const struct commit_scene *s, const struct index_dir *index);

/* A row of its log; see clean_dir_log(). */
void commit_scene_log(const struct commit_scene *s, int64_t seq_id, enum commit_operation operation, const char *id, bool vector);

int commit_scene_begin(struct commit_scene *s);
int commit_scene_plan(struct commit_scene *s); /* begins, gathers and plans; the first failure */
int commit_scene_build(struct commit_scene *s, uint64_t position);

/* Plans and builds, and checks what was built; then "out" takes the place of the index. */
void commit_scene_commit(struct commit_scene *s, uint64_t position);

/* The label of an id in what was built; 0: none. */
uint64_t commit_scene_label(const struct commit_scene *s, const char *id);

/* The row of the log whose vector the id has there; 0: it has none. */
int64_t commit_scene_vector(const struct commit_scene *s, const char *id);

#endif
