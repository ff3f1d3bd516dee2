#include "tests/faults/state_ids.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ops/text.h"
#include "tests/faults/scenario.h"
#include "tests/faults/tree.h"

#define ID_SIZE 36
#define IDS_MAX 64
#define LINES_MAX 4096

struct state_ids {
        int count;
        char id[IDS_MAX][ID_SIZE + 1], name[IDS_MAX][64];
};

struct state_ids *state_ids_read(sqlite3 *db)
{
        struct state_ids *ids = calloc(1, sizeof(*ids));
        sqlite3_stmt *stmt = NULL;
        if (ids == NULL)
                give_up("memory");
        if (sqlite3_prepare_v2(db, "SELECT id, collection FROM segments WHERE scope = 'VECTOR'", -1, &stmt, NULL) == SQLITE_OK)
                while (ids->count < IDS_MAX && sqlite3_step(stmt) == SQLITE_ROW) {
                        const char *id = (const char *) sqlite3_column_text(stmt, 0);
                        (void) snprintf(ids->id[ids->count], sizeof(ids->id[0]), "%s", id);
                        (void) snprintf(ids->name[ids->count++], sizeof(ids->name[0]), "vector of %s",
                                        (const char *) sqlite3_column_text(stmt, 1));
                }
        (void) sqlite3_finalize(stmt);
        return ids;
}

const char *state_ids_name(const struct state_ids *ids, const char *text)
{
        for (int i = 0; i < ids->count; i++)
                if (strcmp(ids->id[i], text) == 0)
                        return ids->name[i];
        return NULL;
}

static bool is_orphan(const char *id)
{
        for (int i = 0; i < SCENARIO_ORPHANS; i++)
                if (strcmp(id, scenario_orphans[i]) == 0)
                        return true;
        return false;
}

/* The first id in a line, which is in its path; NULL when there is none. */
static char *find_id(char *line, char id[ID_SIZE + 1])
{
        for (char *at = line; strlen(at) >= ID_SIZE; at++) {
                memcpy(id, at, ID_SIZE);
                id[ID_SIZE] = '\0';
                if (uuid_valid(id))
                        return at;
        }
        return NULL;
}

/* The line as it is to be, the caller's; NULL: it is left out. */
static char *rename_line(const struct state_ids *ids, char *line)
{
        char id[ID_SIZE + 1], *at = find_id(line, id), *renamed = NULL;
        const char *name = at == NULL ? NULL : state_ids_name(ids, id);
        if (at != NULL && name == NULL && !is_orphan(id))
                return NULL;
        size_t size = strlen(line) + 64;
        renamed = malloc(size);
        if (renamed == NULL)
                give_up("memory");
        if (name == NULL)
                (void) snprintf(renamed, size, "%s", line);
        else
                (void) snprintf(renamed, size, "%.*s%s%s", (int) (at - line), line, name, at + ID_SIZE);
        return renamed;
}

static int compare(const void *a, const void *b)
{
        return strcmp(*(char *const *) a, *(char *const *) b);
}

void state_ids_list(FILE *out, const struct state_ids *ids, char *list)
{
        static char *lines[LINES_MAX];
        size_t count = 0;
        for (char *line; count < LINES_MAX && (line = strsep(&list, "\n")) != NULL;) {
                char *renamed = *line == '\0' ? NULL : rename_line(ids, line);
                if (renamed != NULL)
                        lines[count++] = renamed;
        }
        qsort(lines, count, sizeof(*lines), compare);
        for (size_t i = 0; i < count; i++) {
                (void) fprintf(out, "%s\n", lines[i]);
                free(lines[i]);
        }
}

void state_ids_free(struct state_ids *ids)
{
        free(ids);
}
