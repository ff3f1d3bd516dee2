/*
 * The metadata of one record (FORMAT 2 and 3): a key is a row of embedding_metadata, or, if it is an array, one row for each element in embedding_metadata_array, in
 * the order of their rowids. What a row of the log does not name stays as it is.
 *
 * The document is such a key, and in the full-text table besides. Python's Chroma puts NULL into that one where a document is taken away: we leave no row, as for every
 * other record without a document.
 */
#include <errno.h>

#include "ops/commit/metadata_parts.h"

#define DOCUMENT_KEY "chroma:document"

/* ?1 to ?6 of a value. */
static int write_value(struct commit_metadata *m, enum commit_statement which, int64_t id, const struct text *key,
                       const struct commit_value *value, struct error *e)
{
        struct commit_cell cells[6] = { cell_int(id), cell_text(key) };
        switch (value->type) {
        case COMMIT_STRING:
                cells[2] = cell_text(&value->string);
                break;
        case COMMIT_INT:
                cells[3] = cell_int(value->integer);
                break;
        case COMMIT_FLOAT:
                cells[4] = (struct commit_cell){ .type = CELL_REAL, .real = value->real };
                break;
        case COMMIT_BOOL:
                cells[5] = cell_int(value->integer);
                break;
        case COMMIT_NULL:
        case COMMIT_ARRAY:
        default:
                return error_set(e, EINVAL, "a metadata value has a type that can't be stored");
        }
        return commit_statement_run(m, which, cells, 6, NULL, e);
}

static int remove_document(struct commit_metadata *m, int64_t id, struct error *e)
{
        struct commit_cell cell = cell_int(id);
        int r = commit_statement_run(m, COMMIT_REMOVE_DOCUMENT, &cell, 1, NULL, e);
        return r < 0 || !m->fts->old ? r : commit_statement_run(m, COMMIT_FORGET_DOCUMENT, &cell, 1, NULL, e);
}

static int write_document(struct commit_metadata *m, int64_t id, bool is_new, const struct commit_value *value, struct error *e)
{
        struct commit_cell cells[] = { cell_int(id), cell_text(&value->string) };
        int r = is_new ? 0 : remove_document(m, id, e);
        if (r < 0 || value->type != COMMIT_STRING)
                return r;
        r = commit_statement_run(m, COMMIT_ADD_DOCUMENT, cells, 2, NULL, e);
        return r < 0 || !m->fts->old ? r : commit_statement_run(m, COMMIT_NOTE_DOCUMENT, cells, 1, NULL, e);
}

static int remove_key(struct commit_metadata *m, enum commit_statement which, int64_t id, const struct text *key, struct error *e)
{
        struct commit_cell cells[] = { cell_int(id), cell_text(key) };
        return commit_statement_run(m, which, cells, 2, NULL, e);
}

static int write_items(struct commit_metadata *m, int64_t id, const struct commit_value *array, struct error *e)
{
        int r = 0;
        for (size_t i = 0; r == 0 && i < array->item_count; i++)
                r = write_value(m, COMMIT_ADD_ITEM, id, &array->key, &array->items[i], e);
        return r;
}

/* A key is in one of the two tables: it leaves the other. */
static int merge_value(struct commit_metadata *m, int64_t id, bool is_new, const struct commit_value *value, struct error *e)
{
        bool is_scalar = value->type != COMMIT_NULL && value->type != COMMIT_ARRAY;
        int r = 0;
        if (!is_new && !is_scalar)
                r = remove_key(m, COMMIT_REMOVE_VALUE, id, &value->key, e);
        if (r == 0 && !is_new && m->has_arrays)
                r = remove_key(m, COMMIT_REMOVE_ITEMS, id, &value->key, e);
        if (r == 0 && is_scalar)
                r = write_value(m, COMMIT_SET_VALUE, id, &value->key, value, e);
        if (r == 0 && value->type == COMMIT_ARRAY)
                r = write_items(m, id, value, e);
        if (r == 0 && text_is(&value->key, DOCUMENT_KEY))
                r = write_document(m, id, is_new, value, e);
        return r;
}

int commit_values_merge(struct commit_metadata *m, int64_t id, bool is_new, const struct commit_row *row, struct error *e)
{
        int r = 0;
        for (size_t i = 0; r == 0 && i < row->value_count; i++) {
                const struct commit_value *value = &row->values[i];
                if (value->type == COMMIT_ARRAY && !m->has_arrays) {
                        if (m->version.rust)
                                return error_set(e, EINVAL, "metadata has an array, for which this Chroma has no table");
                        continue; /* Python's Chroma passes over what it has no column for */
                }
                r = merge_value(m, id, is_new, value, e);
                if (r == 0)
                        r = commit_schema_note(m->schema, value, e);
        }
        return r;
}

int commit_values_remove(struct commit_metadata *m, int64_t id, struct error *e)
{
        struct commit_cell cell = cell_int(id);
        int r = commit_statement_run(m, COMMIT_REMOVE_VALUES, &cell, 1, NULL, e);
        if (r == 0 && m->has_arrays)
                r = commit_statement_run(m, COMMIT_REMOVE_ARRAYS, &cell, 1, NULL, e);
        return r < 0 ? r : remove_document(m, id, e);
}
