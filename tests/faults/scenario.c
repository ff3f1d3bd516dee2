/*
 * A fixture is cut down to the collections that matter, so that a run takes milliseconds; then the scenario spoils it as it needs.
 */
#include "tests/faults/scenario.h"

#include <dirent.h>
#include <err.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/db.h"
#include "tests/faults/aside.h"
#include "tests/faults/tree.h"

#define UUID_SIZE 36

/* Takes all but the kept collections away, as a deletion by Chroma at its best would. */
static const char *const cut[] = { "DELETE FROM embeddings_queue WHERE substr(topic, -36) NOT IN (SELECT id FROM kept)",
                                   "DELETE FROM collection_metadata WHERE collection_id NOT IN (SELECT id FROM kept)",
                                   "DELETE FROM segments WHERE collection NOT IN (SELECT id FROM kept)",
                                   "DELETE FROM collections WHERE id NOT IN (SELECT id FROM kept)",
                                   "DELETE FROM segment_metadata WHERE segment_id NOT IN (SELECT id FROM segments)",
                                   "DELETE FROM max_seq_id WHERE segment_id NOT IN (SELECT id FROM segments)",
                                   "DELETE FROM embeddings WHERE segment_id NOT IN (SELECT id FROM segments)",
                                   "DELETE FROM embedding_metadata WHERE id NOT IN (SELECT id FROM embeddings)",
                                   "DELETE FROM embedding_metadata_array WHERE id NOT IN (SELECT id FROM embeddings)",
                                   "DELETE FROM embedding_fulltext_search WHERE rowid NOT IN (SELECT id FROM embeddings)",
                                   "VACUUM",
                                   NULL };

static void run_sql(sqlite3 *db, const char *sql)
{
        char *message = NULL;
        if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK && strstr(message, "no such table") == NULL)
                errx(2, "%s: %s", sql, message);
        sqlite3_free(message);
}

static void run_all(sqlite3 *db, const char *const *statements)
{
        for (const char *const *sql = statements; *sql != NULL; sql++)
                run_sql(db, *sql);
}

static sqlite3 *open_db(const char *dir)
{
        char path[TREE_PATH];
        sqlite3 *db = NULL;
        if (sqlite3_open(tree_path(path, dir, DB_FILE), &db) != SQLITE_OK)
                errx(2, "%s: %s", path, sqlite3_errmsg(db));
        (void) sqlite3_exec(db, "PRAGMA synchronous=OFF", NULL, NULL, NULL);
        return db;
}

static bool is_segment(sqlite3 *db, const char *name)
{
        sqlite3_stmt *stmt = NULL;
        if (sqlite3_prepare_v2(db, "SELECT 1 FROM segments WHERE id=?", -1, &stmt, NULL) != SQLITE_OK)
                errx(2, "%s", sqlite3_errmsg(db));
        (void) sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
        bool found = sqlite3_step(stmt) == SQLITE_ROW;
        (void) sqlite3_finalize(stmt);
        return found;
}

static void remove_others(sqlite3 *db, const char *dir)
{
        char path[TREE_PATH];
        DIR *d = opendir(dir);
        for (struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL;)
                if (strlen(entry->d_name) == UUID_SIZE && !is_segment(db, entry->d_name))
                        tree_remove_all(tree_path(path, dir, entry->d_name));
        if (d == NULL)
                give_up("%s", dir);
        (void) closedir(d);
}

struct preparation {
        const struct scenario *scenario;
        const char *fixtures, *dir;
};

static void prepare(FILE *out, void *context)
{
        (void) out;
        const struct preparation *p = context;
        char fixture[TREE_PATH], from[TREE_PATH];
        tree_copy(tree_path(from, tree_path(fixture, p->fixtures, p->scenario->fixture), "dir"), p->dir);
        sqlite3 *db = open_db(p->dir);
        char *keep = sqlite3_mprintf("CREATE TEMP TABLE kept AS SELECT id FROM collections WHERE name IN (%s)", p->scenario->keep);
        run_sql(db, keep);
        sqlite3_free(keep);
        run_all(db, cut);
        if (p->scenario->sql != NULL)
                run_all(db, p->scenario->sql);
        remove_others(db, p->dir);
        (void) sqlite3_close(db);
        if (p->scenario->prepare != NULL)
                p->scenario->prepare(p->dir);
}

void scenario_prepare(const struct scenario *scenario, const char *fixtures, const char *dir)
{
        free(aside(prepare, &(struct preparation){ scenario, fixtures, dir }));
}

struct query { /* the ids of the collections that the statement gives for the name */
        const char *dir, *sql, *name;
};

static void find_ids(FILE *out, void *context)
{
        const struct query *q = context;
        sqlite3 *db = open_db(q->dir);
        sqlite3_stmt *stmt = NULL;
        if (sqlite3_prepare_v2(db, q->sql, -1, &stmt, NULL) != SQLITE_OK)
                errx(2, "%s: %s", q->sql, sqlite3_errmsg(db));
        (void) sqlite3_bind_text(stmt, 1, q->name, -1, SQLITE_STATIC);
        while (sqlite3_step(stmt) == SQLITE_ROW)
                (void) fprintf(out, "%s\n", (const char *) sqlite3_column_text(stmt, 0));
        (void) sqlite3_finalize(stmt);
        (void) sqlite3_close(db);
}

static int find_collections(const char *dir, const char *sql, const char *name, char (*ret)[64], int size)
{
        int count = 0;
        char *ids = aside(find_ids, &(struct query){ dir, sql, name }), *rest = ids;
        for (char *id; count < size && (id = strsep(&rest, "\n")) != NULL && *id != '\0';)
                (void) snprintf(ret[count++], sizeof(*ret), "%s", id);
        free(ids);
        return count;
}

void scenario_collection(const struct scenario *scenario, const char *dir, char ret[64])
{
        char found[1][64] = { "" };
        if (scenario->in_collection != NULL &&
            find_collections(dir, "SELECT id FROM collections WHERE name=?", scenario->in_collection, found, 1) == 0)
                errx(2, "%s: there is no such collection", scenario->in_collection);
        memcpy(ret, found[0], sizeof(found[0]));
}

int scenario_collections(const char *dir, char (*ret)[64], int size)
{
        return find_collections(dir, "SELECT id FROM collections ORDER BY name", "", ret, size);
}
