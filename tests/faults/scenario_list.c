/* The scenarios, and how each spoils its directory. */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/faults/scenario.h"
#include "tests/faults/tree.h"
#include "tests/faults/wrong.h"

#define UUID_SIZE 36

/* Collections that are kept: with records in the log and in the index, one whose vector Chroma has lost, one never persisted, one emptied. */
#define FOUR "'types', 'lone-updated', 'unpersisted', 'emptied'"
#define TWO "'types', 'unpersisted'"
#define ONE "'types'"

static const char *const empty_log[] = { "DELETE FROM embeddings_queue", NULL };
/* More than SQLite's cache holds, so that it writes before it commits, in the VACUUM above all. */
static const char *const large[] = {
        "INSERT INTO embeddings_queue(seq_id, operation, topic, id) "
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) "
        "SELECT (SELECT min(seq_id) FROM embeddings_queue) - i, 3, (SELECT min(topic) FROM embeddings_queue), "
        "printf('%d%.*c', i, 3000, 'x') FROM n",
        "INSERT INTO embedding_metadata(id, key, string_value) "
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) "
        "SELECT (SELECT min(id) FROM embeddings), 'key' || i, printf('%d%.*c', i, 8000, 'x') FROM n",
        NULL,
};
static const char *const no_shadow[] = { "DROP TABLE embedding_fulltext_search_docsize", NULL };
static const char *const stale_text[] = {
        "INSERT INTO embedding_fulltext_search(rowid, string_value) VALUES(99999, 'nobody')",
        "UPDATE embedding_fulltext_search SET string_value = 'another' WHERE rowid = (SELECT min(id) FROM embeddings)",
        NULL,
};
static const char *const no_text_table[] = { "DROP TABLE embedding_fulltext_search", NULL };

#define GONE_SEGMENT "'deadbeef-0000-4000-8000-000000000001'"
#define GONE_COLLECTION "deadbeef-0000-4000-8000-000000000002"

static const char *const orphan_rows[] = {
        "INSERT INTO embeddings(id, segment_id, embedding_id, seq_id) VALUES(90001, " GONE_SEGMENT ", 'x', 1)",
        "INSERT INTO embedding_metadata(id, key, string_value) VALUES(90001, 'chroma:document', 'a lost text')",
        "INSERT INTO embedding_metadata(id, key, int_value) VALUES(90002, 'k', 5)",
        "INSERT INTO embedding_metadata_array(id, key, int_value) VALUES(90001, 'n', 5), (90003, 'n', 6)",
        "INSERT INTO embedding_fulltext_search(rowid, string_value) VALUES(90001, 'a lost text')",
        "INSERT INTO max_seq_id(segment_id, seq_id) VALUES(" GONE_SEGMENT ", x'0000000000000001')",
        "INSERT INTO segment_metadata(segment_id, key, int_value) VALUES(" GONE_SEGMENT ", 'hnsw:M', 5)",
        "INSERT INTO collection_metadata(collection_id, key, int_value) VALUES('" GONE_COLLECTION "', 'k', 5)",
        "INSERT INTO embeddings_queue(seq_id, operation, topic, id) VALUES(1, 3, 'persistent://default/default/" GONE_COLLECTION
        "', 'x')",
        NULL,
};

const char *const scenario_orphans[SCENARIO_ORPHANS] = { "deadbeef-0000-4000-8000-000000000003",
                                                         "deadbeef-0000-4000-8000-000000000004" };

/* Segment directories that no row knows. */
static void add_orphans(const char *dir)
{
        DIR *d = opendir(dir);
        struct dirent *entry;
        char from[TREE_PATH] = "", to[TREE_PATH], pickle[TREE_PATH];
        while (d != NULL && (entry = readdir(d)) != NULL)
                if (strlen(entry->d_name) == UUID_SIZE &&
                    access(tree_path(pickle, tree_path(from, dir, entry->d_name), "index_metadata.pickle"), F_OK) == 0)
                        break;
        if (d == NULL || entry == NULL)
                errx(2, "%s: no segment directory to copy", dir);
        for (int i = 0; i < SCENARIO_ORPHANS; i++)
                tree_copy(from, tree_path(to, dir, scenario_orphans[i]));
        (void) closedir(d);
}

static void add_leftovers(const char *dir)
{
        static const char trash[] = "{\"operation\": \"clean\", \"when\": \"2020-01-01T00:00:00Z\", \"keep_days\": 1}\n";
        char state[TREE_PATH], path[TREE_PATH], inner[TREE_PATH];
        (void) mkdir(tree_path(state, dir, ".chromafs"), 0700);
        (void) mkdir(tree_path(path, state, "trash"), 0700);
        (void) mkdir(tree_path(inner, path, "20200101T000000Z"), 0700);
        tree_write(tree_path(path, inner, "trash.json"), trash, sizeof(trash) - 1);
        tree_write(tree_path(path, inner, "rows.sqlite3"), "x", 1);
        (void) mkdir(tree_path(path, state, "stage"), 0700);
        (void) mkdir(tree_path(inner, path, "deadbeef-0000-4000-8000-000000000005"), 0700);
        tree_write(tree_path(state, inner, "header.bin"), "half", 4);
        tree_write(tree_path(inner, path, "etilqs_0123456789"), "half", 4);
}

/* What Chroma 1.x leaves when it is killed behind its write to the log. */
static const char *const no_records[] = {
        "DELETE FROM embeddings",
        "DELETE FROM embedding_metadata",
        "DELETE FROM embedding_metadata_array",
        "DELETE FROM embedding_fulltext_search",
        ("UPDATE max_seq_id SET seq_id = (SELECT min(seq_id) - 1 FROM embeddings_queue) "
         "WHERE segment_id IN (SELECT id FROM segments WHERE scope = 'METADATA')"),
        NULL,
};

/* As modify() of 1.x leaves a collection of cosine that 0.x made. */
static const char *const misread_space[] = {
        ("UPDATE collections SET schema_str = NULL, config_json_str = '{\"vector_index\": {\"hnsw\": {\"space\": \"l2\", "
         "\"ef_construction\": 100, "
         "\"ef_search\": 444, \"max_neighbors\": 16, \"resize_factor\": 1.2, \"sync_threshold\": 1000}}, \"embedding_function\": "
         "null}'"),
        NULL,
};

/* A vector of another length, one without an encoding, and an operation that there is not. */
static const char *const bad_rows[] = {
        "INSERT INTO embeddings_queue(seq_id, created_at, operation, topic, id, vector, encoding, metadata) "
        "SELECT max(seq_id) + 1, '2026-01-01 00:00:00', 0, max(topic), 'short', x'00000000', 'FLOAT32', '{}' FROM embeddings_queue",
        "INSERT INTO embeddings_queue(seq_id, created_at, operation, topic, id, vector, encoding, metadata) "
        "SELECT max(seq_id) + 1, '2026-01-01 00:00:01', 0, max(topic), 'bare', vector, NULL, '{}' FROM embeddings_queue "
        "WHERE vector IS NOT NULL",
        "INSERT INTO embeddings_queue(seq_id, created_at, operation, topic, id, vector, encoding, metadata) "
        "SELECT max(seq_id) + 1, '2026-01-01 00:00:02', 17, max(topic), 'odd', NULL, NULL, '{}' FROM embeddings_queue",
        NULL,
};

/* Never loaded by a process that wrote: not even an empty directory. */
static void remove_indexes(const char *dir)
{
        char path[TREE_PATH];
        DIR *d = opendir(dir);
        for (struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL;)
                if (strlen(entry->d_name) == UUID_SIZE)
                        tree_remove_all(tree_path(path, dir, entry->d_name));
        if (d == NULL)
                give_up("%s", dir);
        (void) closedir(d);
}

/* An index that was cut off can't be committed to; the other one can. */
static void damage_index(const char *dir)
{
        char path[TREE_PATH], level0[TREE_PATH], pickle[TREE_PATH];
        DIR *d = opendir(dir);
        for (struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL;)
                if (strlen(entry->d_name) == UUID_SIZE &&
                    access(tree_path(pickle, tree_path(path, dir, entry->d_name), "index_metadata.pickle"), F_OK) == 0 &&
                    (truncate(tree_path(level0, path, "data_level0.bin"), 10) < 0 ||
                     utimensat(AT_FDCWD, level0, (struct timespec[2]){ { 1000000000, 0 }, { 1000000000, 0 } }, 0) < 0))
                        give_up("%s", level0);
        if (d == NULL)
                give_up("%s", dir);
        (void) closedir(d);
}

/* What a crash and a full disk leave: no header, half of the links, and a third of the records gone. */
static void tear(const char *index)
{
        static const struct {
                const char *name;
                off_t size;
        } cuts[] = { { "header.bin", 0 }, { "link_lists.bin", 50 }, { "data_level0.bin", 20 * 156 + 77 } };
        const struct timespec old[2] = { { 1000000000, 0 }, { 1000000000, 0 } };
        char path[TREE_PATH];
        for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++)
                if (truncate(tree_path(path, index, cuts[i].name), cuts[i].size) < 0 || utimensat(AT_FDCWD, path, old, 0) < 0)
                        give_up("%s", path);
        if (utimensat(AT_FDCWD, index, old, 0) < 0)
                give_up("%s", index);
}

static void tear_indexes(const char *dir)
{
        char path[TREE_PATH], pickle[TREE_PATH];
        DIR *d = opendir(dir);
        for (struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL;)
                if (strlen(entry->d_name) == UUID_SIZE &&
                    access(tree_path(pickle, tree_path(path, dir, entry->d_name), "index_metadata.pickle"), F_OK) == 0)
                        tear(path);
        if (d == NULL)
                give_up("%s", dir);
        (void) closedir(d);
}

#define PYTHON "chroma-0.5.23-nopurge" /* like 0.6.3 in all that matters, with a log to clean */
#define RUST "chroma-1.5.9-nopurge"

const struct scenario scenarios[] = {
        { .name = "clean-python", .operation = "clean", .line = "", .fixture = PYTHON, .keep = FOUR, .in_parts = true },
        { .name = "clean-rust", .operation = "clean", .line = "vacuum=0", .fixture = RUST, .keep = FOUR, .in_parts = true },
        { .name = "clean-sentinel",
          .operation = "clean",
          .line = "",
          .fixture = RUST,
          .keep = TWO,
          .sql = empty_log,
          .in_parts = true },
        { .name = "clean-large", .operation = "clean", .line = "", .fixture = RUST, .keep = ONE, .sql = large, .in_parts = true },
        { .name = "commit-python",
          .operation = "commit",
          .line = "threads=1",
          .fixture = PYTHON,
          .keep = ONE,
          .in_collection = "types" },
        { .name = "commit-rust",
          .operation = "commit",
          .line = "threads=1",
          .fixture = RUST,
          .keep = ONE,
          .in_collection = "types" },
        { .name = "commit-records",
          .operation = "commit",
          .line = "threads=1 keep=0",
          .fixture = RUST,
          .keep = ONE,
          .sql = no_records,
          .in_collection = "types" },
        { .name = "commit-new",
          .operation = "commit",
          .line = "threads=1",
          .fixture = "chroma-0.4.24",
          .keep = "'unpersisted'",
          .in_collection = "unpersisted" },
        { .name = "commit-never",
          .operation = "commit",
          .line = "threads=1",
          .fixture = RUST,
          .keep = "'unpersisted'",
          .prepare = remove_indexes,
          .in_collection = "unpersisted" },
        { .name = "commit-two",
          .operation = "commit",
          .line = "threads=1",
          .fixture = PYTHON,
          .keep = TWO,
          .in_parts = true,
          .one_by_one = true },
        { .name = "commit-damaged",
          .operation = "commit",
          .line = "threads=1",
          .fixture = PYTHON,
          .keep = TWO,
          .prepare = damage_index,
          .in_parts = true,
          .one_by_one = true },
        { .name = "commit-rejected",
          .operation = "commit",
          .line = "threads=1",
          .fixture = PYTHON,
          .keep = ONE,
          .sql = bad_rows,
          .in_collection = "types",
          .rejects = 3 },
        { .name = "commit-beside",
          .operation = "commit",
          .line = "threads=1 force=1",
          .fixture = RUST,
          .keep = ONE,
          .in_collection = "types",
          .live = true },
        { .name = "rebuild-python",
          .operation = "rebuild-hnsw",
          .line = "threads=1",
          .fixture = PYTHON,
          .keep = ONE,
          .in_collection = "types" },
        { .name = "rebuild-rust",
          .operation = "rebuild-hnsw",
          .line = "threads=1 keep=0",
          .fixture = RUST,
          .keep = ONE,
          .in_collection = "types" },
        { .name = "rebuild-old",
          .operation = "rebuild-hnsw",
          .line = "threads=1 m=8 batch_size=10",
          .fixture = "chroma-0.4.24",
          .keep = ONE,
          .in_collection = "types" },
        { .name = "rebuild-torn",
          .operation = "rebuild-hnsw",
          .line = "threads=1 salvage=1",
          .fixture = PYTHON,
          .keep = ONE,
          .sql = empty_log,
          .prepare = tear_indexes,
          .in_collection = "types",
          .lost = 14 },
        { .name = "rebuild-space",
          .operation = "rebuild-hnsw",
          .line = "threads=1 space=l2 m=8 ef_search=50",
          .fixture = PYTHON,
          .keep = "'space.cosine'",
          .in_collection = "space.cosine" },
        { .name = "rebuild-misread",
          .operation = "rebuild-hnsw",
          .line = "threads=1 space=cosine",
          .fixture = "chroma-0.4.24-upgraded-1.5.9",
          .keep = "'space.cosine'",
          .sql = misread_space,
          .in_collection = "space.cosine" },
        { .name = "rebuild-log",
          .operation = "rebuild-hnsw",
          .line = "threads=1",
          .fixture = RUST,
          .keep = ONE,
          .sql = no_records,
          .in_collection = "types" },
        { .name = "rebuild-beside",
          .operation = "rebuild-hnsw",
          .line = "threads=1 force=1",
          .fixture = PYTHON,
          .keep = ONE,
          .in_collection = "types",
          .live = true },
        { .name = "fts-stale", .operation = "rebuild-fts", .line = "", .fixture = PYTHON, .keep = TWO, .sql = stale_text },
        { .name = "fts-no-shadow",
          .operation = "rebuild-fts",
          .line = "tokenizer=unicode61",
          .fixture = RUST,
          .keep = TWO,
          .sql = no_shadow },
        { .name = "fts-missing", .operation = "rebuild-fts", .line = "", .fixture = RUST, .keep = TWO, .sql = no_text_table },
        { .name = "orphans-python",
          .operation = "clean-orphans",
          .line = "",
          .fixture = PYTHON,
          .keep = TWO,
          .sql = orphan_rows,
          .prepare = add_orphans,
          .has_orphans = true },
        { .name = "orphans-rust",
          .operation = "clean-orphans",
          .line = "keep=0",
          .fixture = RUST,
          .keep = TWO,
          .sql = orphan_rows,
          .prepare = add_orphans,
          .has_orphans = true },
        { .name = "purge-python", .operation = "configure", .line = "automatically_purge=true", .fixture = PYTHON, .keep = FOUR },
        { .name = "search-rust",
          .operation = "configure",
          .line = "ef_search=77",
          .fixture = RUST,
          .keep = FOUR,
          .in_collection = "types" },
        { .name = "backup-python", .operation = "backup", .line = "", .fixture = PYTHON, .keep = FOUR, .backup = true },
        { .name = "backup-rust", .operation = "backup", .line = "", .fixture = RUST, .keep = FOUR, .backup = true },
        { .name = "tidy-rust",
          .operation = "tidy",
          .line = "",
          .fixture = RUST,
          .keep = FOUR,
          .prepare = add_leftovers,
          .unchanging = true },
        { .name = "wrong-twice", .wrong = &wrong_twice, .found_by = ACT_KILL_BEFORE, .line = "", .fixture = RUST, .keep = ONE },
        { .name = "wrong-unsynced", .wrong = &wrong_unsynced, .found_by = ACT_POWER, .line = "", .fixture = RUST, .keep = ONE },
        { .name = "wrong-late", .wrong = &wrong_late, .found_by = ACT_ENOMEM, .line = "", .fixture = RUST, .keep = ONE },
        { .name = NULL },
};
