/*
 * Releases and migrations.
 *
 * A Chroma applies every migration that it has and the directory lacks, of three numbered lists, when it opens a directory. The table below
 * has a row for each combination of list ends that a release leaves behind; within a row nothing in the directory tells the releases apart,
 * but for the very first: 0.4.0's text of metadb/1 was edited in 0.4.1, which the stored MD5 of the text shows (a SHA-256, which a setting of
 * Chroma can ask for instead, shows nothing to us).
 *
 * Between two rows lies a directory whose migration was cut off, or one put together by hand: the newest opener is then at least the first
 * release that has all the migrations that are there, and no bound is put on it that any one list does not confirm.
 */
#include "ops/version.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

struct epoch {
        int sysdb, metadb, embeddings_queue;
        const char *min, *max;
};

static const struct epoch epochs[] = {
        { 3, 1, 1, "0.4.0", "0.4.3" },   { 3, 2, 1, "0.4.4", "0.4.5" },  { 3, 3, 1, "0.4.6", "0.4.14" },
        { 4, 3, 1, "0.4.15", "0.4.24" }, { 5, 3, 1, "0.5.0", "0.5.0" },  { 6, 3, 1, "0.5.1", "0.5.3" },
        { 7, 3, 1, "0.5.4", "0.5.5" },   { 9, 4, 2, "0.5.6", "0.6.3" },  { 9, 5, 2, "1.0.0", "1.2.2" },
        { 10, 5, 2, "1.3.0", "1.4.1" },  { 10, 6, 2, "1.5.0", "1.5.9" },
};

#define EPOCHS (sizeof epochs / sizeof epochs[0])

/* MD5 of metadb/1 as 0.4.1 and all later releases have it. */
#define METADB_1_MD5 "2b4cf52c4bb2676e21d6860a4409f856"

/* No Chroma has nearly as many; more is a table made to keep us busy. */
#define MIGRATIONS_MAX 10000

static int epoch_value(const struct epoch *epoch, size_t list)
{
        return list == 0 ? epoch->sysdb : list == 1 ? epoch->metadb : epoch->embeddings_queue;
}

/* Widens [*low, *high] to what list `list` at `value` says: *low rises to the first epoch that has it, *high to the last without more. */
static void widen(size_t list, int value, size_t *low, size_t *high)
{
        size_t first = 0, last = 0;
        for (size_t i = 0; i < EPOCHS; i++) {
                if (epoch_value(&epochs[i], list) < value)
                        first = i + 1;
                if (epoch_value(&epochs[i], list) <= value)
                        last = i;
        }
        if (first > *low)
                *low = first;
        if (last > *high)
                *high = last;
}

static bool find_exact(struct chroma_version *version)
{
        for (size_t i = 0; i < EPOCHS; i++) {
                const struct epoch *epoch = &epochs[i];
                if (epoch->sysdb != version->sysdb || epoch->metadb != version->metadb ||
                    epoch->embeddings_queue != version->embeddings_queue)
                        continue;
                version->min = epoch->min;
                version->max = epoch->max;
                return true;
        }
        return false;
}

static void find_range(struct chroma_version *version)
{
        size_t low = 0, high = 0;
        const int values[] = { version->sysdb, version->metadb, version->embeddings_queue };
        for (size_t list = 0; list < 3; list++)
                if (values[list] > 0)
                        widen(list, values[list], &low, &high);
        if (high < low)
                high = low;
        bool nothing = values[0] == 0 && values[1] == 0 && values[2] == 0;
        version->min = epochs[low].min;
        version->max = epochs[nothing ? EPOCHS - 1 : high].max;
}

static void set_newer(struct chroma_version *version)
{
        version->newer = true;
        version->known = false;
        version->min = epochs[EPOCHS - 1].max; /* and what came after it */
        version->max = NULL;
}

void chroma_version_of(int sysdb, int metadb, int embeddings_queue, struct chroma_version *ret)
{
        const struct epoch *last = &epochs[EPOCHS - 1];
        *ret = (struct chroma_version){ .sysdb = sysdb > 0 ? sysdb : 0,
                                        .metadb = metadb > 0 ? metadb : 0,
                                        .embeddings_queue = embeddings_queue > 0 ? embeddings_queue : 0,
                                        .rust = metadb >= 5 };
        if (sysdb > last->sysdb || metadb > last->metadb || embeddings_queue > last->embeddings_queue) {
                set_newer(ret);
                return;
        }
        ret->known = find_exact(ret);
        if (!ret->known)
                find_range(ret);
}

/* What the rows of `migrations` add up to. */
struct tally {
        int max[3];
        bool foreign; /* a list that no known release has */
        int metadb_1; /* its text: 0 can't be told, 1 that of 0.4.0, 2 that of later releases */
};

static int list_of(const struct text *dir)
{
        static const char *const names[] = { "sysdb", "metadb", "embeddings_queue" };
        for (int i = 0; i < 3; i++)
                if (text_is(dir, names[i]))
                        return i;
        return -1;
}

static int metadb_1_of(const struct text *hash)
{
        if (text_is(hash, METADB_1_MD5))
                return 2;
        return hash->len == 32 && strspn(hash->bytes, "0123456789abcdef") == 32 ? 1 : 0;
}

/* A column's bytes, as long as the statement stays on its row. */
static struct text borrow(sqlite3_stmt *row, int column)
{
        const void *bytes = sqlite3_column_text(row, column);
        return (struct text){ (char *) (uintptr_t) bytes, (size_t) sqlite3_column_bytes(row, column) };
}

static int tally_row(struct tally *tally, sqlite3_stmt *row, struct error *e)
{
        struct text dir = borrow(row, 0), hash = borrow(row, 2);
        if (dir.bytes == NULL || sqlite3_column_type(row, 1) != SQLITE_INTEGER)
                return error_set(e, EILSEQ, "table migrations has a row without a list or a number");
        sqlite3_int64 number = sqlite3_column_int64(row, 1);
        int version = number > INT_MAX ? INT_MAX : number < 0 ? 0 : (int) number;
        int list = list_of(&dir);
        if (list < 0)
                tally->foreign = true;
        else if (version > tally->max[list])
                tally->max[list] = version;
        if (list == 1 && version == 1 && hash.bytes != NULL)
                tally->metadb_1 = metadb_1_of(&hash);
        return 0;
}

static int tally_rows(struct db *db, struct tally *tally, struct error *e)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *rows = NULL;
        int r = db_prepare(db, &rows, e, "SELECT dir, version, hash FROM migrations");
        for (int count = 0; r >= 0; count++) {
                r = db_step(db, rows, e);
                if (r <= 0)
                        return r;
                if (count == MIGRATIONS_MAX)
                        return error_set(e, EILSEQ, "table migrations has more than %d rows", MIGRATIONS_MAX);
                r = tally_row(tally, rows, e);
        }
        return r;
}

/* Tells 0.4.0 from 0.4.1 to 0.4.3 by the text of metadb/1. */
static void narrow(struct chroma_version *version, int metadb_1)
{
        if (!version->known || version->metadb != 1)
                return;
        if (metadb_1 == 1)
                version->max = "0.4.0";
        else if (metadb_1 == 2)
                version->min = "0.4.1";
}

int chroma_version_read(struct db *db, struct chroma_version *ret, struct error *e)
{
        struct tally tally = { 0 };
        int r = db_has_table(db, "migrations", e);
        if (r == 0)
                return error_set(e, EILSEQ, "no Chroma directory: the database has no table migrations");
        if (r > 0)
                r = tally_rows(db, &tally, e);
        if (r < 0)
                return r;
        chroma_version_of(tally.max[0], tally.max[1], tally.max[2], ret);
        if (tally.foreign)
                set_newer(ret);
        narrow(ret, tally.metadb_1);
        return 0;
}
