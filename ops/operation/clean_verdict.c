/*
 * The sentence names the record, of which only a hash is left; its row, whose number is known, has its id.
 */
#include "ops/operation/clean_verdict.h"

#include <errno.h>
#include <string.h>

#include "ops/operation/clean_index.h"
#include "ops/operation/clean_state.h"
#include "ops/pieces.h"

#define ID_SHOWN 100

struct fault {
        const struct clean_fault *is; /* NULL: there is none */
        int64_t seq_id;
        const char *cure;
};

/* That of the first row of all that have one. */
static struct fault find_fault(const struct clean_index *index)
{
        struct fault first = { NULL, 0, NULL };
        for (size_t i = 0; i < index->ids.count; i++) {
                const struct clean_id *id = &index->ids.items[i];
                const struct clean_fault *fault = clean_state_fault(id);
                if (fault != NULL && (first.is == NULL || id->row < first.seq_id))
                        first = (struct fault){ fault, id->row, fault->cure };
        }
        return first;
}

/* As far as it can be shown in a line. */
static int shown(const char *id, size_t len)
{
        size_t end = 0;
        while (end < len && end < ID_SHOWN && (unsigned char) id[end] >= ' ' && id[end] != 0x7f) {
                size_t n = utf8_sequence((const unsigned char *) id + end, len - end);
                if (n == 0)
                        break;
                end += n;
        }
        return (int) end;
}

/* Whether a commit can put the row's vector into the index; a DELETE has none to put. */
static bool is_applicable(const struct clean_index *index, sqlite3_stmt *stmt)
{
        const char *encoding;
        size_t len;
        if (sqlite3_column_type(stmt, 1) == SQLITE_NULL)
                return true;
        return sqlite3_column_type(stmt, 1) == SQLITE_BLOB &&
               (uint64_t) sqlite3_column_int64(stmt, 2) == sizeof(float) * (uint64_t) index->header.dimension &&
               column_bytes(stmt, 3, &encoding, &len) && len == 7 && memcmp(encoding, "FLOAT32", 7) == 0;
}

static int describe(struct db *db, const struct clean_index *index, struct fault *fault, struct error *ret, struct error *e)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        const char *id = "";
        size_t len = 0;
        int r = db_prepare(db, &stmt, e, "SELECT id, vector, length(vector), encoding FROM embeddings_queue WHERE seq_id = ?1");
        if (r < 0)
                return r;
        if (sqlite3_bind_int64(stmt, 1, fault->seq_id) == SQLITE_OK && db_step(db, stmt, NULL) > 0) {
                (void) column_bytes(stmt, 0, &id, &len);
                fault->cure = is_applicable(index, stmt) ? fault->cure : NULL;
        }
        (void) error_set(ret, EILSEQ, "row %lld of the log, record %.*s: %s", (long long) fault->seq_id, shown(id, len), id,
                         fault->is->what);
        return 0;
}

int clean_verdict(struct db *db, struct clean_collection *item, struct error *e)
{
        struct error sentence = { 0 };
        struct fault fault = find_fault(item->index);
        if (fault.is == NULL || item->kept != NULL)
                return 0;
        int r = db_begin(db, e);
        if (r < 0)
                return r;
        r = describe(db, item->index, &fault, &sentence, e);
        db_end(db);
        if (r == 0 && clean_keep(item, &sentence, fault.cure, &fault.seq_id) < 0)
                r = error_set(e, ENOMEM, "no memory for what keeps the rows of a collection");
        return r;
}
