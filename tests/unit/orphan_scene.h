/*
 * Finding and deleting rows that no collection owns in an orphan_place, without the operation around it. The working directory is
 * the place's while it lasts. What returns nothing fails the test when it can't do its work.
 */
#ifndef TESTS_UNIT_ORPHAN_SCENE_H
#define TESTS_UNIT_ORPHAN_SCENE_H

#include "ops/operation/orphan_rows.h"
#include "tests/unit/orphan_place.h"

struct orphan_scene {
        struct schema place;
        struct operation op;
        struct db *db;
        struct orphan_rows rows;
};

void orphan_scene_make(struct orphan_scene *c, int sysdb, int metadb, int embeddings_queue);
void orphan_scene_drop(struct orphan_scene *c);

/* The return of what is tested must be no failure. */
void orphan_scene_must(const struct orphan_scene *c, int r);

/* Fills c->rows; c->db stays open. 0 or a negative errno. */
int orphan_scene_find(struct orphan_scene *c);

/* Deletes c->rows in a transaction, and commits it unless that fails; closes c->db. */
int orphan_scene_delete(struct orphan_scene *c);

#endif
