#include "fs/problems.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fs/tree.h"
#include "ops/json.h"
#include "ops/commit/reject.h"
#include "ops/operation/state_dir.h"

static bool has_control(const struct node_type *directory, const char *control)
{
        const struct node_type *const *entries = directory->entries;
        for (; entries != NULL && *entries != NULL; entries++)
                if (strcmp((*entries)->name, control) == 0)
                        return true;
        return false;
}

/* In single quotes for a shell: a name is a stranger's, and the command is there to be pasted. */
static char *quoted(const char *where, const char *control)
{
        char *text = malloc(4 * strlen(where) + strlen(control) + 8), *out = text;
        if (text == NULL)
                return NULL;
        *out++ = '\'';
        for (const char *p = where; *p != '\0'; p++) {
                if (*p == '\'')
                        out = stpcpy(out, "'\\'");
                *out++ = *p;
        }
        (void) sprintf(out, "%s%s'", where[0] != '\0' ? "/" : "", control);
        return text;
}

/* "echo 1 > 'collections/docs/commit'", when this version has that control. */
static struct json_object *command(const struct node_type *directory, const char *where, const char *control)
{
        if (!has_control(directory, control))
                return NULL;
        CLEANUP(free)
        char *path = quoted(where, control);
        char *text = NULL;
        if (path == NULL || asprintf(&text, "echo 1 > %s", path) < 0)
                return NULL;
        struct json_object *o = json_string(text);
        free(text);
        return o;
}

__attribute__((format(printf, 5, 6))) static void add(struct json_object *problems, const char *code, const char *where,
                                                      struct json_object *cure, const char *format, ...)
{
        char *sentence = NULL;
        va_list args;
        va_start(args, format);
        int n = vasprintf(&sentence, format, args);
        va_end(args);
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "code", json_string(code));
        json_object_object_add(o, "where", json_string(where));
        json_object_object_add(o, "sentence", n < 0 ? NULL : json_string(sentence));
        json_object_object_add(o, "command", cure);
        json_object_array_add(problems, o);
        if (n >= 0)
                free(sentence);
}

/* Of a collection. */

static void index_problems(const struct facts *f, const char *where, struct json_object *problems)
{
        const struct index_summary *index = &f->index;
        if (!f->has_index)
                return;
        if (index->damage.code != 0 && index->damage.code != -EAGAIN)
                add(problems, "index_damaged", where, command(&tree_collection, where, "rebuild-hnsw"), "%s", index->damage.text);
        else if (index->stage == INDEX_ABSENT && f->collection->vector->has_position)
                add(problems, "index_missing", where, command(&tree_collection, where, "rebuild-hnsw"),
                    "the directory of the vector segment is not there, though rows of the log were applied to it");
        if (index->has_pickle && index->fragmentation > PROBLEM_FRAGMENTATION)
                add(problems, "fragmented", where, command(&tree_collection, where, "rebuild-hnsw"),
                    "%.1f %% of the index are labels of deleted records, which slow queries down and take space",
                    index->fragmentation);
}

static void label_problems(uint64_t orphans, uint64_t missing, const char *where, struct json_object *cure,
                           struct json_object *problems)
{
        if (orphans > 0)
                add(problems, "orphan_labels", where, json_object_get(cure),
                    "%llu labels of the index belong to no record: they are found by queries and then fail",
                    (unsigned long long) orphans);
        if (missing > 0)
                add(problems, "missing_labels", where, json_object_get(cure),
                    "%llu records that the index should have are not in it", (unsigned long long) missing);
}

static void labels_problems(const struct facts *f, const char *where, struct json_object *problems)
{
        if (f->labels == NULL)
                return;
        const struct index_audit *audit = &f->labels->audit;
        struct json_object *cure = command(&tree_collection, where, "rebuild-hnsw");
        if (audit->damage.code != 0 && f->index.damage.code == 0)
                add(problems, "index_damaged", where, json_object_get(cure), "%s", audit->damage.text);
        if (audit->has_labels)
                label_problems(audit->labels.orphan_count, audit->labels.missing_count, where, cure, problems);
        (void) json_object_put(cure);
}

/* What only a check finds, or has found in records that were not read otherwise. */
static void damage_problem(const struct facts *f, const char *where, struct json_object *cure, struct json_object *problems)
{
        const struct hnsw_check *check = &f->check->check;
        bool told = f->index.damage.code != 0 || (f->labels != NULL && f->labels->audit.damage.code != 0);
        for (int i = 0; !told && i < HNSW_FINDING_KINDS; i++) {
                told = check->findings[i].count > 0 && i != HNSW_LABEL_ORPHAN && i != HNSW_LABEL_MISSING && i != HNSW_VECTOR &&
                       i != HNSW_UNREACHABLE;
                if (told)
                        add(problems, "index_damaged", where, json_object_get(cure), "%s", check->findings[i].first.text);
        }
}

static void check_problems(const struct facts *f, const char *where, struct json_object *problems)
{
        if (f->check == NULL)
                return;
        const struct hnsw_finding *findings = f->check->check.findings;
        struct json_object *cure = command(&tree_collection, where, "rebuild-hnsw");
        damage_problem(f, where, cure, problems);
        if (f->labels == NULL)
                label_problems(findings[HNSW_LABEL_ORPHAN].count, findings[HNSW_LABEL_MISSING].count, where, cure, problems);
        if (findings[HNSW_VECTOR].count > 0)
                add(problems, "bad_vectors", where, NULL,
                    "%llu vectors of the index have numbers that are infinite or none: no distance to them is known",
                    (unsigned long long) findings[HNSW_VECTOR].count);
        if (findings[HNSW_UNREACHABLE].count > 0)
                add(problems, "unreachable_elements", where, json_object_get(cure),
                    "no links lead to %llu live elements of the index: no query finds them",
                    (unsigned long long) findings[HNSW_UNREACHABLE].count);
        (void) json_object_put(cure);
}

static void records_problems(const struct facts *f, const char *where, struct json_object *problems)
{
        if (f->records == NULL || !f->records->vectors_known || f->records->audit.without_vector == 0)
                return;
        add(problems, "ids_without_vector", where, NULL,
            "%llu records have no vector, neither in the index nor in the log: Chroma returns them without one, or fails",
            (unsigned long long) f->records->audit.without_vector);
}

/* What both segments have can be deleted; what they have not must be applied to them first. */
static struct json_object *wal_cure(const struct facts *f, const char *where)
{
        const struct tally *t = &f->tally;
        uint64_t gap = t->vector_gap > t->metadata_gap ? t->vector_gap : t->metadata_gap;
        return command(&tree_collection, where, gap > t->entries / 2 ? "commit" : "clean");
}

static void structure_problems(const struct facts *f, const char *where, struct json_object *problems)
{
        const struct collection *c = f->collection;
        if (c->vector == NULL || c->metadata == NULL)
                add(problems, "segment_missing", where, NULL, "the collection has no %s segment: Chroma can't open it",
                    c->vector == NULL ? "vector" : "metadata");
        if (c->extra_segments > 0)
                add(problems, "extra_segments", where, NULL, "the collection has %u segments more than one of each scope",
                    c->extra_segments);
        if (!c->id_is_uuid || (c->vector != NULL && !c->vector->id_is_uuid) || (c->metadata != NULL && !c->metadata->id_is_uuid))
                add(problems, "bad_id", where, NULL,
                    "the id of the collection or of one of its segments is no UUID: its files are not read");
        if ((c->vector != NULL && c->vector->position_bad) || (c->metadata != NULL && c->metadata->position_bad))
                add(problems, "bad_position", where, NULL,
                    "the position of a segment (table max_seq_id) is neither a number nor a blob of one");
        if (f->has_tally && f->tally.entries >= PROBLEM_WAL_ENTRIES)
                add(problems, "wal_large", where, wal_cure(f, where),
                    "%llu rows of the write-ahead log belong to it; %llu of them are not yet in its index, and are read again at "
                    "every start of Chroma",
                    (unsigned long long) f->tally.entries, (unsigned long long) f->tally.vector_gap);
}

void collection_problems(struct request *request, const struct facts *f, const struct error *config_failure,
                         struct json_object *problems)
{
        const struct entry *entry = entries_by_id(request->entries, f->collection->id.bytes);
        char where[ENTRY_SIZE + 16];
        (void) snprintf(where, sizeof(where), "collections/%s", entry != NULL ? entry->name : "?");
        structure_problems(f, where, problems);
        if (config_failure->code != 0)
                add(problems, "bad_configuration", where, NULL, "%s", config_failure->text);
        index_problems(f, where, problems);
        labels_problems(f, where, problems);
        check_problems(f, where, problems);
        records_problems(f, where, problems);
        if (f->failure.code != 0)
                add(problems, "unreadable", where, NULL, "%s", f->failure.text);
}

/* Of the directory. */

void database_unreadable(const struct error *error, struct json_object *problems)
{
        add(problems, "database_unreadable", "", NULL, "%s", error->text);
}

static void position_problems(const struct catalog *c, struct json_object *problems)
{
        bool ahead = c->has_position_max && (!c->has_queue_max || c->queue_max < 0 || c->position_max > (uint64_t) c->queue_max);
        if (ahead)
                add(problems, "positions_ahead", "", command(&tree_root, "", "clean"),
                    "a position (%llu) is above the highest row of the write-ahead log (%lld): Chroma will ignore the next records "
                    "that are written",
                    (unsigned long long) c->position_max, c->has_queue_max ? (long long) c->queue_max : 0);
        if (c->orphan_positions > 0)
                add(problems, "orphan_rows", "", command(&tree_root, "", "clean-orphans"),
                    "%llu rows of table max_seq_id belong to no segment", (unsigned long long) c->orphan_positions);
}

static void orphan_problems(const struct orphans *orphans, struct json_object *problems)
{
        size_t removable = 0;
        for (size_t i = 0; i < orphans->count; i++)
                removable += orphans->list[i].removable;
        if (removable > 0)
                add(problems, "orphan_directories", "orphans", command(&tree_root, "", "clean-orphans"),
                    removable == 1 ? "%zu directory of a vector segment belongs to no collection"
                                   : "%zu directories of vector segments belong to no collection",
                    removable);
}

static void database_problems(const struct request *request, const struct catalog *c, struct json_object *problems)
{
        if (c->version.newer)
                add(problems, "newer_version", "", NULL,
                    "the directory was written by a Chroma newer than all that this chromafs knows: what is shown may be "
                    "incomplete");
        else if (!c->version.known)
                add(problems, "unknown_version", "", NULL, "no known release of Chroma leaves these migrations (%d, %d, %d)",
                    c->version.sysdb, c->version.metadb, c->version.embeddings_queue);
        if (c->damage.len > 0)
                add(problems, "database_damaged", "", NULL, "%s", c->damage.bytes);
        if (c->triggers > 0)
                add(problems, "unknown_triggers", "", NULL, "the database has %llu triggers, and no Chroma makes one",
                    (unsigned long long) c->triggers);
        if (c->free_pages >= 1000 && (double) c->free_pages > PROBLEM_FREE_PAGES * (double) c->page_count)
                add(problems, "free_pages", "", command(&tree_root, "", "clean"), "%llu of the %llu pages of the database are free",
                    (unsigned long long) c->free_pages, (unsigned long long) c->page_count);
        if (request->view->hot_journal)
                add(problems, "hot_journal", "", NULL,
                    "a crash left a half-done transaction: what is shown is the state before it, to which Chroma will return when "
                    "it opens the directory");
}

/* Whoever cleans the log after a commit has these rows nowhere else. */
static void rejected_problems(const struct request *request, struct json_object *problems)
{
        const struct file_stamp file = file_stamp_at(observer_dirfd(request->mount->observer), STATE_DIR "/" REJECTED_FILE);
        if (file.present && file.size > 0)
                add(problems, "rejected_rows", "", NULL,
                    "rows of the write-ahead log that commit could not apply are in " STATE_DIR "/" REJECTED_FILE
                    " of the directory (%llu bytes): see what they are, then move that file away",
                    (unsigned long long) file.size);
}

static void fts_problems(const struct fts_result *fts, struct json_object *problems)
{
        struct json_object *cure = command(&tree_root, "", "rebuild-fts");
        if (fts != NULL && fts->audit.form == FTS_MISSING)
                add(problems, "fts_missing", "", json_object_get(cure), "the full-text table, or a part of it, is missing");
        if (fts != NULL && fts->audit.form == FTS_CURRENT && (fts->audit.stale > 0 || fts->audit.missing > 0))
                add(problems, "fts_stale", "", json_object_get(cure),
                    "%llu rows of the full-text index belong to no document, and %llu documents are not in it",
                    (unsigned long long) fts->audit.stale, (unsigned long long) fts->audit.missing);
        (void) json_object_put(cure);
}

void directory_problems(struct request *request, const struct orphans *orphans, uint64_t orphan_entries,
                        const struct fts_result *fts, const struct error *log_failure, struct json_object *problems)
{
        const struct catalog *catalog = request->view->catalog;
        database_problems(request, catalog, problems);
        position_problems(catalog, problems);
        orphan_problems(orphans, problems);
        if (orphan_entries > 0)
                add(problems, "orphan_wal_rows", "", command(&tree_root, "", "clean-orphans"),
                    orphan_entries == 1 ? "%llu row of the write-ahead log belongs to no collection"
                                        : "%llu rows of the write-ahead log belong to no collection",
                    (unsigned long long) orphan_entries);
        fts_problems(fts, problems);
        rejected_problems(request, problems);
        if (log_failure->code < 0)
                add(problems, "unreadable", "wal.jsonl", NULL, "%s", log_failure->text);
}
