#include "tests/faults/wrong.h"

#include <errno.h>
#include <stdlib.h>

static int change(struct operation *op, struct write_db *w, const char *sql)
{
        int r = write_db_begin(w, NULL, &op->error);
        if (r == 0)
                r = write_db_exec(w, &op->error, sql);
        return r < 0 ? r : write_db_commit(w, &op->error);
}

static int change_twice(struct operation *op)
{
        CLEANUP(write_db_close)
        struct write_db *w = NULL;
        int r = operation_write(op, &w);
        if (r == 0)
                r = change(op, w, "DELETE FROM embeddings_queue WHERE seq_id < (SELECT max(seq_id) FROM embeddings_queue)");
        return r < 0 ? r : change(op, w, "UPDATE collections SET dimension = 5");
}

static int change_unsynced(struct operation *op)
{
        CLEANUP(write_db_close)
        struct write_db *w = NULL;
        int r = operation_write(op, &w);
        if (r == 0)
                r = write_db_exec(w, &op->error, "PRAGMA synchronous=OFF");
        return r < 0 ? r : change(op, w, "DELETE FROM embeddings_queue WHERE seq_id < (SELECT max(seq_id) FROM embeddings_queue)");
}

static int change_and_fail(struct operation *op)
{
        CLEANUP(write_db_close)
        struct write_db *w = NULL;
        int r = operation_write(op, &w);
        if (r == 0)
                r = change(op, w, "UPDATE collections SET dimension = 5");
        if (r < 0)
                return r;
        CLEANUP(free)
        char *late = malloc(1000);
        return late == NULL ? error_set(&op->error, ENOMEM, "no memory") : 0;
}

const struct operation_type wrong_twice = { .name = "wrong-twice", .summary = "", .forced = "", .run = change_twice };
const struct operation_type wrong_unsynced = { .name = "wrong-unsynced", .summary = "", .forced = "", .run = change_unsynced };
const struct operation_type wrong_late = { .name = "wrong-late", .summary = "", .forced = "", .run = change_and_fail };
