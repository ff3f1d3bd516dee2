/*
 * Rows count in the order of their rowids, but these themselves only where they are a column: VACUUM may change others. A time that was taken while the
 * harness ran counts as "now", the sentinel row of the log has an id by chance, and so has the segment of a new index (state_ids.h).
 */
#include "tests/faults/state.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "ops/db.h"
#include "tests/faults/aside.h"
#include "tests/faults/state_ids.h"
#include "tests/faults/tree.h"

#define SENTINEL "chromafs-sentinel-"

static const char *const journal_suffixes[] = { "-journal", "-wal", "-shm" };

static int is_database_or_ours(const char *name)
{
        size_t n = strlen(DB_FILE);
        if (strcmp(name, ".chromafs") == 0 || strcmp(name, DB_FILE) == 0)
                return 1;
        for (size_t i = 0; i < 3; i++)
                if (strncmp(name, DB_FILE, n) == 0 && strcmp(name + n, journal_suffixes[i]) == 0)
                        return 1;
        return 0;
}

static bool is_now(const char *text)
{
        static char start[32];
        if (start[0] == '\0') {
                time_t t = time(NULL) - 3600;
                struct tm tm;
                (void) strftime(start, sizeof(start), "%Y-%m-%d %H:%M:%S", gmtime_r(&t, &tm));
        }
        return strlen(text) == 19 && text[4] == '-' && text[10] == ' ' && strcmp(text, start) >= 0;
}

static void hash_value(XXH3_state_t *hash, const struct state_ids *ids, sqlite3_stmt *stmt, int column)
{
        int type = sqlite3_column_type(stmt, column);
        const void *bytes = type == SQLITE_BLOB ? sqlite3_column_blob(stmt, column) : sqlite3_column_text(stmt, column);
        int size = sqlite3_column_bytes(stmt, column);
        const char *name = sqlite3_column_name(stmt, column);
        bool is_time = strcmp(name, "created_at") == 0 || strcmp(name, "timestamp") == 0;
        if (type == SQLITE_TEXT && is_time && is_now(bytes))
                size = 0;
        if (type == SQLITE_TEXT && strncmp(bytes, SENTINEL, strlen(SENTINEL)) == 0)
                size = (int) strlen(SENTINEL);
        const char *segment = type == SQLITE_TEXT ? state_ids_name(ids, bytes) : NULL;
        if (segment != NULL) {
                bytes = segment;
                size = (int) strlen(segment);
        }
        (void) XXH3_64bits_update(hash, &type, sizeof(type));
        (void) XXH3_64bits_update(hash, &size, sizeof(size));
        if (size > 0)
                (void) XXH3_64bits_update(hash, bytes, (size_t) size);
}

/* Writes "LABEL ROWS HASH", or the error that reading them ends with. */
static void hash_rows(FILE *out, sqlite3 *db, const struct state_ids *ids, const char *label, sqlite3_stmt *stmt)
{
        XXH3_state_t *hash = XXH3_createState();
        if (hash == NULL)
                give_up("memory");
        (void) XXH3_64bits_reset(hash);
        unsigned long rows = 0;
        int r;
        while ((r = sqlite3_step(stmt)) == SQLITE_ROW) {
                for (int i = 0; i < sqlite3_column_count(stmt); i++)
                        hash_value(hash, ids, stmt, i);
                rows++;
        }
        (void) fprintf(out, "%s %lu %016llx %s\n", label, rows, (unsigned long long) XXH3_64bits_digest(hash),
                       r == SQLITE_DONE ? "" : sqlite3_errmsg(db));
        (void) XXH3_freeState(hash);
}

static void dump_table(FILE *out, sqlite3 *db, const struct state_ids *ids, const char *name)
{
        char *label = sqlite3_mprintf("table %s", name);
        char *ordered = sqlite3_mprintf("SELECT * FROM \"%w\" ORDER BY rowid", name);
        char *plain = sqlite3_mprintf("SELECT * FROM \"%w\"", name); /* of tables without a rowid: in the order of their key */
        sqlite3_stmt *stmt = NULL;
        if (sqlite3_prepare_v2(db, ordered, -1, &stmt, NULL) == SQLITE_OK ||
            sqlite3_prepare_v2(db, plain, -1, &stmt, NULL) == SQLITE_OK)
                hash_rows(out, db, ids, label, stmt);
        else
                (void) fprintf(out, "%s: %s\n", label, sqlite3_errmsg(db));
        (void) sqlite3_finalize(stmt);
        sqlite3_free(label);
        sqlite3_free(ordered);
        sqlite3_free(plain);
}

static void check_fts(FILE *out, sqlite3 *db, const char *name)
{
        char *sql = sqlite3_mprintf("INSERT INTO \"%w\"(\"%w\") VALUES('integrity-check')", name, name);
        (void) fprintf(out, "fts %s %s\n", name, sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? "ok" : sqlite3_errmsg(db));
        sqlite3_free(sql);
}

static void dump_entry(FILE *out, sqlite3 *db, const struct state_ids *ids, const char *type, const char *name, const char *sql)
{
        (void) fprintf(out, "schema %s %s %016llx\n", type, name, (unsigned long long) XXH3_64bits(sql, strlen(sql)));
        if (strcmp(type, "table") != 0)
                return;
        if (strncmp(sql, "CREATE VIRTUAL", 14) == 0)
                check_fts(out, db, name);
        else
                dump_table(out, db, ids, name);
}

static void dump_schema(FILE *out, sqlite3 *db, const struct state_ids *ids)
{
        sqlite3_stmt *stmt = NULL;
        int r = sqlite3_prepare_v2(db, "SELECT type, name, ifnull(sql, '') FROM sqlite_master ORDER BY type, name", -1, &stmt,
                                   NULL);
        while (r == SQLITE_OK || r == SQLITE_ROW) {
                r = sqlite3_step(stmt);
                if (r == SQLITE_ROW)
                        dump_entry(out, db, ids, (const char *) sqlite3_column_text(stmt, 0),
                                   (const char *) sqlite3_column_text(stmt, 1), (const char *) sqlite3_column_text(stmt, 2));
        }
        if (r != SQLITE_DONE)
                (void) fprintf(out, "schema: %s\n", sqlite3_errmsg(db));
        (void) sqlite3_finalize(stmt);
}

static void check_integrity(FILE *out, sqlite3 *db)
{
        sqlite3_stmt *stmt = NULL;
        if (sqlite3_prepare_v2(db, "PRAGMA integrity_check(5)", -1, &stmt, NULL) != SQLITE_OK)
                (void) fprintf(out, "integrity: %s\n", sqlite3_errmsg(db));
        while (stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW)
                (void) fprintf(out, "integrity %s\n", (const char *) sqlite3_column_text(stmt, 0));
        (void) sqlite3_finalize(stmt);
}

/* The list of files comes first. */
static void dump_database(FILE *out, char *list, const char *path)
{
        sqlite3 *db = NULL;
        if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
                (void) fprintf(out, "database: %s\n", sqlite3_errmsg(db));
        (void) sqlite3_exec(db, "PRAGMA synchronous=OFF", NULL, NULL, NULL);
        struct state_ids *ids = state_ids_read(db);
        state_ids_list(out, ids, list);
        check_integrity(out, db);
        dump_schema(out, db, ids);
        state_ids_free(ids);
        (void) sqlite3_close(db);
}

static void copy_database(const char *dir, const char *scratch)
{
        char from[TREE_PATH], to[TREE_PATH], name[64];
        tree_copy_file(tree_path(from, dir, DB_FILE), tree_path(to, scratch, DB_FILE));
        for (size_t i = 0; i < 3; i++) {
                (void) snprintf(name, sizeof(name), DB_FILE "%s", journal_suffixes[i]);
                if (access(tree_path(from, dir, name), F_OK) == 0)
                        tree_copy_file(from, tree_path(to, scratch, name));
        }
}

/* A journal that is still there was not hot: SQLite leaves it to the next writer. */
static void forget_database(FILE *out, const char *scratch)
{
        char path[TREE_PATH], name[64];
        (void) unlink(tree_path(path, scratch, DB_FILE));
        for (size_t i = 0; i < 3; i++) {
                (void) snprintf(name, sizeof(name), DB_FILE "%s", journal_suffixes[i]);
                if (unlink(tree_path(path, scratch, name)) == 0 && i > 0)
                        (void) fprintf(out, "left behind %s\n", name);
        }
}

struct place {
        const char *dir, *scratch;
};

static char *list_files(const char *dir)
{
        char *list = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&list, &size);
        if (out == NULL)
                give_up("memory");
        tree_list(out, dir, is_database_or_ours);
        (void) fclose(out);
        return list;
}

static void write_state(FILE *out, void *context)
{
        const struct place *place = context;
        char path[TREE_PATH];
        struct stat st;
        if (stat(tree_path(path, place->dir, DB_FILE), &st) < 0) {
                (void) fprintf(out, "no %s\n", DB_FILE);
                return;
        }
        (void) fprintf(out, "file %s %o %u:%u\n", DB_FILE, st.st_mode & 07777, st.st_uid, st.st_gid);
        copy_database(place->dir, place->scratch);
        char *list = list_files(place->dir);
        dump_database(out, list, tree_path(path, place->scratch, DB_FILE));
        free(list);
        forget_database(out, place->scratch);
}

char *state_of(const char *dir, const char *scratch)
{
        return aside(write_state, &(struct place){ dir, scratch });
}

char *state_take(char *state, const char *name)
{
        char *taken = calloc(1, strlen(state) + 1), *from = state, *to = state, *put = taken;
        if (taken == NULL)
                give_up("memory");
        while (*from != '\0') {
                size_t n = strcspn(from, "\n") + 1;
                bool has = memmem(from, n, name, strlen(name)) != NULL;
                memmove(has ? put : to, from, n);
                *(has ? &put : &to) += n;
                from += n;
        }
        *to = '\0';
        return taken;
}

static bool has_line(const char *text, const char *line, size_t n)
{
        for (const char *at = text; *at != '\0'; at = strchr(at, '\n') + 1)
                if (strncmp(at, line, n + 1) == 0)
                        return true;
        return false;
}

static void print_missing(FILE *out, const char *sign, const char *text, const char *other)
{
        int printed = 0;
        for (const char *at = text; *at != '\0'; at = strchr(at, '\n') + 1) {
                size_t n = strcspn(at, "\n");
                if (!has_line(other, at, n) && printed++ < 8)
                        (void) fprintf(out, "      %s %.*s\n", sign, (int) n, at);
        }
}

void state_print_difference(FILE *out, const char *expected, const char *found)
{
        print_missing(out, "expected", expected, found);
        print_missing(out, "found   ", found, expected);
}
