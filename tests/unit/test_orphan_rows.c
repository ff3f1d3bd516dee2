/* Which rows are orphans, and their end: without the operation around it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/orphan_scene.h"
#include "tests/unit/sql_dir.h"

static void refuse(struct orphan_scene *c, int code, const char *sentence)
{
        assert_int_equal(orphan_scene_find(c), code);
        if (strstr(c->op.error.text, sentence) == NULL)
                fail_msg("\"%s\" is not in \"%s\"", sentence, c->op.error.text);
}

static uint64_t rows_of(const struct orphan_scene *c, enum orphan_table table)
{
        return c->rows.lists[table].rows;
}

static uint64_t odd_of(const struct orphan_scene *c, enum orphan_table table)
{
        return c->rows.lists[table].odd;
}

static void find_delete_find(struct orphan_scene *c)
{
        orphan_scene_must(c, orphan_scene_find(c));
        orphan_scene_must(c, orphan_scene_delete(c));
        orphan_scene_must(c, orphan_scene_find(c));
        assert_int_equal(orphan_rows_count(&c->rows), 0);
        assert_int_equal(
                orphan_place_number(&c->place, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
}

static const struct {
        int sysdb, metadb, queue;
} generations[] = { { 3, 1, 1 }, { 3, 2, 1 }, { 4, 3, 1 }, { 5, 3, 1 }, { 9, 4, 2 }, { 9, 5, 2 }, { 10, 6, 2 } };

#define EACH_GENERATION(i) for (size_t i = 0; i < sizeof(generations) / sizeof(*generations); i++)

static void living_rows_are_none(void **state)
{
        (void) state;
        EACH_GENERATION(i)
        {
                struct orphan_scene c;
                orphan_scene_make(&c, generations[i].sysdb, generations[i].metadb, generations[i].queue);
                orphan_scene_must(&c, orphan_scene_find(&c));
                assert_int_equal(orphan_rows_count(&c.rows), 0);
                assert_false(c.rows.keeps_log_row);
                for (int t = 0; t < ORPHAN_TABLE_COUNT; t++)
                        assert_int_equal(c.rows.lists[t].odd, 0);
                orphan_scene_drop(&c);
        }
}

static void each_table(void **state)
{
        (void) state;
        EACH_GENERATION(i)
        {
                struct orphan_scene c;
                int metadb = generations[i].metadb;
                orphan_scene_make(&c, generations[i].sysdb, metadb, generations[i].queue);
                orphan_place_leave(&c.place);
                orphan_scene_must(&c, orphan_scene_find(&c));
                assert_int_equal(rows_of(&c, ORPHAN_FULLTEXT), metadb >= 3 ? 3 : 0);
                assert_int_equal(rows_of(&c, ORPHAN_OLD_FULLTEXT), metadb < 3 ? 3 : 0);
                assert_int_equal(rows_of(&c, ORPHAN_METADATA_ARRAY), metadb >= 6 ? 6 : 0);
                assert_int_equal(c.rows.lists[ORPHAN_METADATA_ARRAY].present, metadb >= 6);
                assert_int_equal(rows_of(&c, ORPHAN_METADATA), 6);
                assert_int_equal(rows_of(&c, ORPHAN_EMBEDDINGS), 3);
                assert_int_equal(rows_of(&c, ORPHAN_POSITIONS), 2);
                assert_int_equal(rows_of(&c, ORPHAN_SEGMENT_METADATA), 1);
                assert_int_equal(rows_of(&c, ORPHAN_COLLECTION_METADATA), 1);
                assert_int_equal(rows_of(&c, ORPHAN_LOG), 3);
                assert_false(c.rows.keeps_log_row);
                orphan_scene_drop(&c);
        }
}

static const char living[] =
        "SELECT 1, e.*, m.*, f.rowid, f.*, a.* FROM embeddings AS e, embedding_metadata AS m USING (id),"
        " embedding_metadata_array AS a USING (id), embedding_fulltext_search AS f WHERE f.rowid = e.id AND e.id < 10";
static const char rest[] = "SELECT seq_id FROM embeddings_queue UNION ALL SELECT segment_id FROM max_seq_id UNION ALL"
                           " SELECT segment_id FROM segment_metadata UNION ALL SELECT collection_id FROM collection_metadata";

static void deletes_them_alone(void **state)
{
        (void) state;
        struct orphan_scene c;
        orphan_scene_make(&c, 10, 6, 2);
        orphan_place_exec(&c.place, "INSERT INTO embeddings_queue (seq_id, operation, topic, id) VALUES (7, 3, "
                                    "'x/00000000-0000-4000-8000-000000000001', 'e7')");
        char *before = orphan_place_dump(&c.place, NULL, living), *rest_before = orphan_place_dump(&c.place, NULL, rest);
        orphan_place_exec(&c.place, "DELETE FROM embeddings_queue WHERE seq_id = 7");
        orphan_place_leave(&c.place);
        find_delete_find(&c);
        char *after = orphan_place_dump(&c.place, NULL, living), *rest_after = orphan_place_dump(&c.place, NULL, rest);
        assert_string_equal(before, after);
        assert_string_equal(rest_before, rest_after);
        orphan_place_exec(&c.place, "INSERT INTO embedding_fulltext_search (embedding_fulltext_search) VALUES ('integrity-check')");
        assert_int_equal(orphan_place_number(&c.place, "SELECT count(*) FROM embedding_fulltext_search_docsize"), 3);
        free(before);
        free(after);
        free(rest_before);
        free(rest_after);
        orphan_scene_drop(&c);
}

static void deletes_in_every_generation(void **state)
{
        (void) state;
        EACH_GENERATION(i)
        {
                struct orphan_scene c;
                orphan_scene_make(&c, generations[i].sysdb, generations[i].metadb, generations[i].queue);
                orphan_place_leave(&c.place);
                find_delete_find(&c);
                assert_int_equal(orphan_place_number(&c.place, "SELECT count(*) FROM embeddings"), 3);
                assert_int_equal(orphan_place_number(&c.place, "SELECT max(seq_id) FROM embeddings_queue"), 7);
                orphan_scene_drop(&c);
        }
}

/* What other rows leave, too: records that Chroma deleted without their full text, arrays of ids that are gone. */
static void rows_without_embedding(void **state)
{
        (void) state;
        struct orphan_scene c;
        orphan_scene_make(&c, 10, 6, 2);
        orphan_place_exec(
                &c.place,
                "DELETE FROM embeddings WHERE id = 2;"
                "INSERT INTO embedding_metadata_array (id, key, int_value) VALUES (-5, 'a', 1), (9223372036854775807, 'a', 1)");
        orphan_scene_must(&c, orphan_scene_find(&c));
        assert_int_equal(rows_of(&c, ORPHAN_FULLTEXT), 1);
        assert_int_equal(rows_of(&c, ORPHAN_METADATA), 2);
        assert_int_equal(rows_of(&c, ORPHAN_METADATA_ARRAY), 4);
        assert_int_equal(rows_of(&c, ORPHAN_EMBEDDINGS), 0);
        find_delete_find(&c);
        orphan_scene_drop(&c);
}

static void extreme_rowids(void **state)
{
        (void) state;
        struct orphan_scene c;
        orphan_scene_make(&c, 10, 6, 2);
        orphan_place_exec(&c.place, "INSERT INTO embeddings (id, segment_id, embedding_id, seq_id) VALUES"
                                    " (9223372036854775807, '00000000-0000-4000-8000-0000000000ff', 'a', 1),"
                                    " (-9223372036854775808, '00000000-0000-4000-8000-0000000000ff', 'b', 1)");
        orphan_scene_must(&c, orphan_scene_find(&c));
        assert_int_equal(rows_of(&c, ORPHAN_EMBEDDINGS), 2);
        find_delete_find(&c);
        orphan_scene_drop(&c);
}

static void keeps_highest_log_row(void **state)
{
        (void) state;
        static const struct {
                const char *sql;
                uint64_t rows;
                int64_t kept;
        } logs[] = { { "DELETE FROM embeddings_queue WHERE seq_id = 7", 2, 6 },
                     { "DELETE FROM embeddings_queue WHERE seq_id <> 5", 0, 5 },
                     { "DELETE FROM embeddings_queue WHERE seq_id NOT IN (2, 5, 6)", 1, 6 },
                     { "DELETE FROM embeddings_queue WHERE seq_id NOT IN (4, 6)", 1, 6 },
                     { "DELETE FROM embeddings_queue", 0, 0 },
                     { "DELETE FROM embeddings_queue WHERE seq_id IN (4, 5, 6)", 0, 0 } };
        for (size_t i = 0; i < sizeof(logs) / sizeof(*logs); i++) {
                struct orphan_scene c;
                orphan_scene_make(&c, 10, 6, 2);
                orphan_place_leave(&c.place);
                orphan_place_exec(&c.place, "%s", logs[i].sql);
                orphan_scene_must(&c, orphan_scene_find(&c));
                assert_int_equal(rows_of(&c, ORPHAN_LOG), logs[i].rows);
                assert_int_equal(c.rows.keeps_log_row, logs[i].kept != 0);
                assert_int_equal(c.rows.log_row, logs[i].kept);
                int64_t highest = orphan_place_number(&c.place, "SELECT max(seq_id) FROM embeddings_queue");
                find_delete_find(&c);
                assert_int_equal(orphan_place_number(&c.place, "SELECT max(seq_id) FROM embeddings_queue"), highest);
                orphan_scene_drop(&c);
        }
}

static void whose_log_rows(void **state)
{
        (void) state;
        static const struct {
                const char *topic; /* as SQL */
                uint64_t orphans, odd;
        } topics[] = { { "'persistent://default/default/00000000-0000-4000-8000-000000000001'", 0, 0 },
                       { "'a/00000000-0000-4000-8000-000000000001'", 0, 0 },
                       { "'persistent://acme/x/00000000-0000-4000-8000-000000000009'", 1, 0 },
                       { "'00000000-0000-4000-8000-000000000009'", 0, 1 },
                       { "'persistent://default/default/00000000-0000-4000-8000-00000000000A'", 0, 1 },
                       { "'persistent://default/default/00000000-0000-4000-8000-000000000009 '", 0, 1 },
                       { "'persistent://default/default/00000000-0000-4000-8000-000000000009' || char(0)", 0, 1 },
                       { "'persistent://default/default/'", 0, 1 },
                       { "CAST('a/00000000-0000-4000-8000-000000000009' AS BLOB)", 0, 1 },
                       { "''", 0, 1 },
                       { "x'00'", 0, 1 } };
        for (size_t i = 0; i < sizeof(topics) / sizeof(*topics); i++) {
                struct orphan_scene c;
                orphan_scene_make(&c, 10, 6, 2);
                orphan_place_leave(&c.place);
                orphan_place_exec(&c.place,
                                  "DELETE FROM embeddings_queue WHERE seq_id IN (4, 5);"
                                  "UPDATE embeddings_queue SET topic = %s WHERE seq_id = 6",
                                  topics[i].topic);
                orphan_scene_must(&c, orphan_scene_find(&c));
                assert_int_equal(rows_of(&c, ORPHAN_LOG), topics[i].orphans);
                assert_int_equal(odd_of(&c, ORPHAN_LOG), topics[i].odd);
                orphan_scene_drop(&c);
        }
}

/* Before 0.5.0 the tables say the topic, whatever it looks like. */
static void topics_of_tables(void **state)
{
        (void) state;
        for (int t = 0; t < 2; t++) {
                struct orphan_scene c;
                orphan_scene_make(&c, 4, 3, 1);
                orphan_place_leave(&c.place);
                orphan_place_exec(
                        &c.place,
                        "UPDATE %s SET topic = 'mine/00000000-0000-4000-8000-0000000000bb' WHERE id LIKE '%%1';"
                        "UPDATE embeddings_queue SET topic = 'mine/00000000-0000-4000-8000-0000000000bb' WHERE seq_id = 5",
                        t == 0 ? "collections" : "segments");
                orphan_scene_must(&c, orphan_scene_find(&c));
                assert_int_equal(rows_of(&c, ORPHAN_LOG), 2);
                orphan_scene_drop(&c);
        }
}

/* A row of segments without its collection: nothing of either is an orphan. */
static void segment_of_no_collection(void **state)
{
        (void) state;
        struct orphan_scene c;
        char v[37], m[37], g[37];
        orphan_scene_make(&c, 10, 6, 2);
        orphan_place_leave(&c.place);
        orphan_place_exec(
                &c.place,
                "INSERT INTO segments (id, type, scope, collection) VALUES (%Q, 't', 'VECTOR', %Q), (%Q, 't', 'METADATA', %Q)",
                test_uuid(PLACE_GONE_VECTOR, v), test_uuid(PLACE_GONE, g), test_uuid(PLACE_GONE_METADATA, m), g);
        orphan_scene_must(&c, orphan_scene_find(&c));
        assert_int_equal(orphan_rows_count(&c.rows), 0);
        orphan_scene_drop(&c);
}

static void odd_rows_stay(void **state)
{
        (void) state;
        struct orphan_scene c;
        orphan_scene_make(&c, 10, 6, 2);
        orphan_place_exec(
                &c.place,
                "INSERT INTO embeddings (id, segment_id, embedding_id, seq_id) VALUES (20, 'mine', 'a', 1), (21,"
                " CAST('00000000-0000-4000-8000-000000000022' AS BLOB), 'b', 1),"
                " (22, '00000000-0000-4000-8000-00000000002A', 'c', 1);"
                "INSERT INTO embedding_metadata (id, key) VALUES (20, 'k'), (22, 'k'), (NULL, 'k'), ('text', 'k'), (7.5, 'k');"
                "INSERT INTO embedding_metadata_array (id, key) VALUES (x'00', 'k');"
                "INSERT INTO max_seq_id VALUES ('', 1), (NULL, 1);"
                "INSERT INTO segment_metadata (segment_id, key) VALUES ('x', 'k');"
                "INSERT INTO collection_metadata (collection_id, key) VALUES ('x', 'k')");
        orphan_scene_must(&c, orphan_scene_find(&c));
        assert_int_equal(orphan_rows_count(&c.rows), 0);
        assert_int_equal(odd_of(&c, ORPHAN_EMBEDDINGS), 3);
        assert_int_equal(odd_of(&c, ORPHAN_METADATA), 3);
        assert_int_equal(odd_of(&c, ORPHAN_METADATA_ARRAY), 1);
        assert_int_equal(odd_of(&c, ORPHAN_POSITIONS), 2);
        assert_int_equal(odd_of(&c, ORPHAN_SEGMENT_METADATA), 1);
        assert_int_equal(odd_of(&c, ORPHAN_COLLECTION_METADATA), 1);
        orphan_scene_drop(&c);
}

/* Runs. */

#define MANY "WITH RECURSIVE g(x) AS (SELECT 101 UNION ALL SELECT x + 1 FROM g WHERE x < 10100) "
#define GONE "'00000000-0000-4000-8000-0000000000ee'"
#define LIVE "'00000000-0000-4000-8000-000000000012'"

static int check_order(void *context, enum orphan_table table, sqlite3_stmt *row, struct error *e)
{
        (void) e;
        int64_t *last = context, rowid = sqlite3_column_int64(row, 0);
        if (table == ORPHAN_EMBEDDINGS) {
                assert_true(rowid > *last);
                *last = rowid;
                assert_int_equal(sqlite3_column_int64(row, 1), rowid);
                assert_memory_equal(sqlite3_column_text(row, 2), "00000000-0000-4000-8000-0000000000ee", 37);
        }
        return 0;
}

static void runs(void **state)
{
        (void) state;
        static const struct {
                const char *owner;
                uint64_t rows, runs;
        } shapes[] = { { GONE, 10000, 3 },
                       { "CASE x % 2 WHEN 0 THEN " GONE " ELSE " LIVE " END", 5000, 5000 },
                       { "CASE x % 100 WHEN 0 THEN " LIVE " ELSE " GONE " END", 9900, 101 },
                       { "CASE x WHEN 10100 THEN " GONE " ELSE " LIVE " END", 1, 1 } };
        for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
                struct orphan_scene c;
                int64_t last = 0;
                orphan_scene_make(&c, 10, 6, 2);
                orphan_place_exec(
                        &c.place,
                        "INSERT INTO embeddings (id, segment_id, embedding_id, seq_id) " MANY "SELECT x, %s, 'e' || x, x FROM g;"
                        "INSERT INTO embedding_metadata (id, key, string_value) " MANY
                        "SELECT x, 'chroma:document', 'doc ' || x FROM g;"
                        "INSERT INTO embedding_fulltext_search (rowid, string_value) " MANY "SELECT x, 'doc ' || x FROM g",
                        shapes[i].owner);
                orphan_scene_must(&c, orphan_scene_find(&c));
                const struct orphan_list *list = &c.rows.lists[ORPHAN_EMBEDDINGS];
                assert_int_equal(list->rows, shapes[i].rows);
                assert_int_equal(rows_of(&c, ORPHAN_METADATA), shapes[i].rows);
                assert_int_equal(rows_of(&c, ORPHAN_FULLTEXT), shapes[i].rows);
                assert_true(list->count + 1 >= shapes[i].runs && list->count <= shapes[i].runs);
                for (size_t r = 0; r < list->count; r++)
                        assert_true(list->runs[r].rows > 0 && list->runs[r].rows <= ORPHAN_RUN_MAX);
                orphan_scene_must(&c, orphan_rows_read(&c.op, c.db, &c.rows, "reading", check_order, &last));
                find_delete_find(&c);
                assert_int_equal(orphan_place_number(&c.place, "SELECT count(*) FROM embeddings"), 10003 - shapes[i].rows);
                assert_int_equal(orphan_place_number(&c.place, "SELECT count(*) FROM embedding_fulltext_search_docsize"),
                                 10003 - shapes[i].rows);
                orphan_scene_drop(&c);
        }
}

static void measures(void **state)
{
        (void) state;
        struct orphan_scene c;
        orphan_scene_make(&c, 10, 6, 2);
        orphan_place_exec(&c.place, "INSERT INTO embeddings (id, segment_id, embedding_id, seq_id, created_at) VALUES (50, " GONE
                                    ", 'abc', x'0000', 'a2345')");
        orphan_scene_must(&c, orphan_scene_find(&c));
        orphan_scene_must(&c, orphan_rows_measure(&c.op, c.db, &c.rows));
        assert_int_equal(orphan_rows_count(&c.rows), 1);
        assert_int_equal(orphan_rows_bytes(&c.rows), 8 + 36 + 3 + 2 + 5);
        orphan_scene_drop(&c);
}

static int take_none(void *context, enum orphan_table table, sqlite3_stmt *row, struct error *e)
{
        (void) table;
        (void) row;
        return context == NULL ? 0 : error_set(e, EXDEV, "enough");
}

static void what_changes_while_it_is_read(void **state)
{
        (void) state;
        struct orphan_scene c;
        orphan_scene_make(&c, 10, 6, 2);
        orphan_place_leave(&c.place);
        orphan_scene_must(&c, orphan_scene_find(&c));
        orphan_place_exec(&c.place, "DELETE FROM embeddings WHERE id = 12");
        assert_int_equal(orphan_rows_read(&c.op, c.db, &c.rows, "reading", take_none, NULL), -ESTALE);
        orphan_place_exec(&c.place, "DROP TABLE embeddings");
        assert_int_equal(orphan_rows_read(&c.op, c.db, &c.rows, "reading", take_none, NULL), -EILSEQ);
        assert_int_equal(orphan_rows_read(&c.op, c.db, &c.rows, "reading", take_none, &c), -EXDEV);
        orphan_scene_drop(&c);
}

static bool yes(void *context)
{
        (void) context;
        return true;
}

static void hears_a_cancel(void **state)
{
        (void) state;
        static const struct operation_sink sink = { .cancelled = yes };
        struct orphan_scene c;
        orphan_scene_make(&c, 10, 6, 2);
        orphan_place_leave(&c.place);
        orphan_scene_must(&c, orphan_scene_find(&c));
        c.op.sink = &sink;
        assert_int_equal(orphan_rows_measure(&c.op, c.db, &c.rows), -ECANCELED);
        assert_int_equal(orphan_scene_delete(&c), -ECANCELED);
        assert_int_equal(orphan_scene_find(&c), -ECANCELED);
        orphan_scene_drop(&c);
}

/* Tables that are not as Chroma makes them. */
static void damaged_tables(void **state)
{
        (void) state;
        static const struct {
                const char *sql, *sentence;
        } damages[] = {
                { "DROP TABLE embeddings", "embeddings is missing" },
                { "DROP TABLE embedding_metadata", "embedding_metadata is missing" },
                { "DROP TABLE embedding_metadata_array", "embedding_metadata_array is missing" },
                { "DROP TABLE max_seq_id", "max_seq_id is missing" },
                { "DROP TABLE segment_metadata", "segment_metadata is missing" },
                { "DROP TABLE collection_metadata", "collection_metadata is missing" },
                { "DROP TABLE embeddings_queue", "embeddings_queue is missing" },
                { "DROP TABLE max_seq_id; CREATE VIEW max_seq_id AS SELECT 'a' AS segment_id, 1 AS seq_id",
                  "max_seq_id is missing" },
                { "ALTER TABLE embedding_metadata ADD COLUMN rowid INTEGER", "it has a column rowid" },
                { "DROP TABLE max_seq_id; CREATE TABLE max_seq_id (segment_id TEXT PRIMARY KEY, seq_id) WITHOUT ROWID", "rowid" },
                { "DROP TABLE max_seq_id; CREATE TABLE max_seq_id (segment TEXT PRIMARY KEY, seq_id)", "segment_id" },
                { "DROP TABLE embeddings_queue; CREATE TABLE embeddings_queue (seq_id INT, topic TEXT);"
                  "INSERT INTO embeddings_queue VALUES (5, 'a/b')",
                  "another key than its rowid" },
                { "ALTER TABLE embeddings RENAME TO e; CREATE TABLE embeddings AS SELECT * FROM e; UPDATE embeddings SET id = id + "
                  "1",
                  "another key than its rowid" },
                { "ALTER TABLE embeddings RENAME TO e; CREATE TABLE embeddings AS SELECT * FROM e; UPDATE embeddings SET id = 2",
                  "occurs twice" },
        };
        for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
                struct orphan_scene c;
                orphan_scene_make(&c, 10, 6, 2);
                orphan_place_leave(&c.place);
                orphan_place_exec(&c.place, "%s", damages[i].sql);
                refuse(&c, -EILSEQ, damages[i].sentence);
                orphan_scene_drop(&c);
        }
}

static void another_encoding(void **state)
{
        (void) state;
        struct orphan_scene c = { 0 };
        struct sql_dir d;
        const struct catalog catalog = { 0 };
        sql_dir_make(&d);
        assert_int_equal(unlinkat(d.fd, DB_FILE, 0), 0);
        sql_dir_exec(&d, "PRAGMA encoding = 'UTF-16le'; CREATE TABLE embeddings (id INTEGER PRIMARY KEY)");
        orphan_scene_must(&c, db_open(d.fd, &c.db, &c.op.error));
        assert_int_equal(orphan_rows_find(&c.op, c.db, &catalog, &c.rows), -EILSEQ);
        assert_non_null(strstr(c.op.error.text, "UTF-8"));
        (void) db_close(c.db);
        sql_dir_remove(&d);
}

/* A row that is not there, or one more: nothing must go. */
static void counts_what_goes(void **state)
{
        (void) state;
        struct orphan_scene c;
        orphan_scene_make(&c, 10, 6, 2);
        orphan_place_leave(&c.place);
        uint64_t before = orphan_place_state(&c.place);
        for (int i = ORPHAN_METADATA_ARRAY; i < ORPHAN_TABLE_COUNT; i++) {
                orphan_scene_must(&c, orphan_scene_find(&c));
                c.rows.lists[i].runs[0].rows++;
                assert_int_equal(orphan_scene_delete(&c), -EILSEQ);
                assert_non_null(strstr(c.op.error.text, orphan_table_types[i].name));
                assert_true(orphan_place_state(&c.place) == before);
        }
        orphan_scene_drop(&c);
}

static void tells_whether_they_are_gone(void **state)
{
        (void) state;
        struct orphan_scene c;
        struct write_db *w = NULL;
        struct orphan_rows none = { 0 };
        orphan_scene_make(&c, 10, 6, 2);
        orphan_place_leave(&c.place);
        orphan_scene_must(&c, orphan_scene_find(&c));
        c.db = db_close(c.db);
        orphan_scene_must(&c, write_db_open(NULL, NULL, NULL, &w, &c.op.error));
        assert_int_equal(orphan_rows_are_gone(w, &c.rows, &c.op.error), 0);
        assert_int_equal(orphan_rows_are_gone(w, &none, &c.op.error), 0);
        orphan_scene_must(&c, write_db_begin(w, NULL, &c.op.error));
        orphan_scene_must(&c, orphan_rows_delete(&c.op, w, &c.rows));
        orphan_scene_must(&c, write_db_commit(w, &c.op.error));
        assert_int_equal(orphan_rows_are_gone(w, &c.rows, &c.op.error), 1);
        c.rows.lists[ORPHAN_FULLTEXT].left = true;
        assert_int_equal(orphan_rows_are_gone(w, &c.rows, &c.op.error), 1);
        orphan_scene_must(&c, write_db_exec(w, &c.op.error, "DROP TABLE embedding_metadata_array"));
        assert_int_equal(orphan_rows_are_gone(w, &c.rows, &c.op.error), -EILSEQ);
        (void) write_db_close(w);
        orphan_scene_drop(&c);
}

/* Full text that can't be cleaned: its rows keep their ids, so those of embeddings must. */
static void damaged_fulltext(void **state)
{
        (void) state;
        static const char *const damages[] = {
                "UPDATE embedding_fulltext_search_data SET block = x'00' WHERE id = 10",
                "DELETE FROM embedding_fulltext_search_data",
                "DELETE FROM embedding_fulltext_search_config",
                "DROP TABLE embedding_fulltext_search_config",
                "DROP TABLE embedding_fulltext_search_docsize",
                "DROP TABLE embedding_fulltext_search_idx; CREATE TABLE embedding_fulltext_search_idx (a)",
        };
        for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
                struct orphan_scene c;
                orphan_scene_make(&c, 10, 6, 2);
                orphan_place_leave(&c.place);
                orphan_place_exec(&c.place, "%s", damages[i]);
                char *before = orphan_place_dump(&c.place, NULL, "SELECT * FROM embedding_fulltext_search_content");
                orphan_scene_must(&c, orphan_scene_find(&c));
                orphan_scene_must(&c, orphan_scene_delete(&c));
                assert_true(c.rows.lists[ORPHAN_FULLTEXT].left);
                assert_true(c.rows.lists[ORPHAN_EMBEDDINGS].left);
                char *after = orphan_place_dump(&c.place, NULL, "SELECT * FROM embedding_fulltext_search_content");
                assert_string_equal(before, after);
                assert_int_equal(orphan_place_number(&c.place, "SELECT count(*) FROM embeddings"), 6);
                assert_int_equal(orphan_place_number(&c.place, "SELECT count(*) FROM embedding_metadata"), 6);
                assert_int_equal(orphan_place_number(&c.place, "SELECT count(*) FROM max_seq_id"), 2);
                assert_int_equal(c.op.error.code, 0);
                free(before);
                free(after);
                orphan_scene_drop(&c);
        }
}

static void missing_fulltext(void **state)
{
        (void) state;
        struct orphan_scene c;
        orphan_scene_make(&c, 10, 6, 2);
        orphan_place_leave(&c.place);
        orphan_place_exec(&c.place, "DROP TABLE embedding_fulltext_search");
        orphan_scene_must(&c, orphan_scene_find(&c));
        assert_false(c.rows.lists[ORPHAN_FULLTEXT].present);
        find_delete_find(&c);
        assert_int_equal(orphan_place_number(&c.place, "SELECT count(*) FROM embeddings"), 3);
        orphan_scene_drop(&c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(living_rows_are_none),
                cmocka_unit_test(each_table),
                cmocka_unit_test(deletes_them_alone),
                cmocka_unit_test(deletes_in_every_generation),
                cmocka_unit_test(rows_without_embedding),
                cmocka_unit_test(extreme_rowids),
                cmocka_unit_test(keeps_highest_log_row),
                cmocka_unit_test(whose_log_rows),
                cmocka_unit_test(topics_of_tables),
                cmocka_unit_test(segment_of_no_collection),
                cmocka_unit_test(odd_rows_stay),
                cmocka_unit_test(runs),
                cmocka_unit_test(measures),
                cmocka_unit_test(what_changes_while_it_is_read),
                cmocka_unit_test(hears_a_cancel),
                cmocka_unit_test(damaged_tables),
                cmocka_unit_test(another_encoding),
                cmocka_unit_test(counts_what_goes),
                cmocka_unit_test(tells_whether_they_are_gone),
                cmocka_unit_test(damaged_fulltext),
                cmocka_unit_test(missing_fulltext),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
