/* The files of the mount point: README, info.json, and the directory's own settings. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/facts.h"
#include "fs/present.h"
#include "fs/problems.h"
#include "fs/show.h"
#include "fs/stream.h"
#include "ops/dir_size.h"
#include "ops/fts_audit.h"
#include "ops/json.h"
#include "ops/tally.h"

static const char readme[] =
        "This is a Chroma persist directory, mounted by chromafs " CHROMAFS_VERSION
        ": what is in it, and how it is doing, as files.\n"
        "Reading changes nothing. Writing to a control runs an operation, and returns when it is done.\n"
        "\n"
        "  info.json                  the whole directory: versions, sizes, orphans, and its problems\n"
        "  wal.jsonl                  the write-ahead log, a line of JSON for each row; tail -f follows it\n"
        "  collections/<name>/        one directory a collection (name@tenant.database outside the default database)\n"
        "      info.json              records, configuration, both segments, fragmentation, what is wrong\n"
        "      wal.jsonl              its part of the write-ahead log\n"
        "      config/                its effective HNSW parameters, one value a file\n"
        "      segments/              links to its two segments\n"
        "  segments/<id>/             type, scope, max_seq_id, wal_gap, size, fragmentation, labels, dimension\n"
        "      check.json             everything that is wrong with an index: reads all of it when it is opened\n"
        "      files/                 the segment's own files, byte for byte\n"
        "  by-id/, tenants/           links to collections by id, and by tenant and database\n"
        "  orphans/                   directories that no collection owns any more\n"
        "  config/                    settings of the whole directory; those that ls -l shows as writable can be set\n"
        "\n"
        "  backup                     control: make a checked copy of the whole directory (to=PATH)\n"
        "  commit                     control: apply the log to records and indexes; collections/<name>/commit: of one collection\n"
        "  clean                      control: delete what is done of the log; collections/<name>/clean: of one collection\n"
        "  rebuild-fts                control: build the full-text index again\n"
        "  clean-orphans              control: move what no collection owns any more to .chromafs/trash\n"
        "  cancel                     control: stop what runs\n"
        "  status.json                what runs now, and what came of the last one; history.jsonl has all of them\n"
        "  last_error                 why the last write failed, and what to do about it\n"
        "\n"
        "Try:  jq .problems info.json\n"
        "      jq '{name, records, dimension}' collections/*/info.json\n"
        "      cat clean; echo dry_run=1 > clean && jq .last status.json\n"
        "\n"
        "chromafs(5) explains every file.\n";

int show_readme(struct request *request, const struct node *node, struct text *ret)
{
        (void) request;
        (void) node;
        return show_line(ret, "%s", readme);
}

struct root_facts {
        struct orphans orphans;
        struct dir_size size;
        struct wal_index *index; /* of the log, or NULL: not measured, or `failure` says why not */
        struct error failure;
        struct wal_totals log;
        uint64_t orphan_entries; /* of the log, that can go */
        struct fts_result *fts;
        bool exact;
};

static void root_facts_clear(struct root_facts *f)
{
        orphans_clear(&f->orphans);
        f->index = wal_index_put(f->index);
        if (f->fts != NULL)
                (void) result_put(&f->fts->shared);
}

static int count_log(struct request *request, struct root_facts *f, bool *ret_current)
{
        int r = stream_index(request, request->patience.until_ms, &f->index, ret_current, &f->failure);
        struct tally_orphans orphans = { 0 };
        if (r == 0 && f->index != NULL)
                r = tally_orphans(f->index, request->view->catalog, &orphans, &f->failure);
        f->orphan_entries = orphans.rows - orphans.has_last;
        f->failure.code = r;
        if (r == 0 && f->index != NULL)
                f->log = wal_index_totals(f->index);
        *ret_current = *ret_current && observer_is_still(request->mount->observer, request->view);
        return r == -EINTR ? r : 0;
}

static int root_facts_gather(struct request *request, struct root_facts *f)
{
        struct observer *o = request->mount->observer;
        bool log_current = false, fts_current = false;
        int r = dir_size_read(observer_dirfd(o), ".", &f->size, &request->error);
        if (r == 0)
                r = orphans_read(observer_dirfd(o), request->view->catalog, &f->orphans, &request->error);
        if (r == 0)
                r = count_log(request, f, &log_current);
        if (r == 0 && observer_fts(o, request->view, &request->patience, &f->fts, &fts_current, &request->error) == -EINTR)
                r = -EINTR;
        f->exact = log_current && fts_current;
        request->partial = request->partial || !f->exact;
        return r;
}

static struct json_object *version_json(const struct chroma_version *version)
{
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "min", json_string(version->min));
        json_object_object_add(o, "max", version->max != NULL ? json_string(version->max) : NULL);
        return o;
}

static struct json_object *purge_json(const struct catalog *catalog)
{
        if (catalog->automatically_purge != PURGE_ON && catalog->automatically_purge != PURGE_OFF)
                return NULL;
        return json_object_new_boolean(catalog->automatically_purge == PURGE_ON);
}

static struct json_object *path_json(const struct request *request, const char *suffix)
{
        char *path = NULL;
        if (request->mount->options->privacy)
                return json_string(HIDDEN);
        if (asprintf(&path, "%s%s", request->mount->persist_path, suffix) < 0)
                return NULL;
        struct text text = { .bytes = path, .len = strlen(path) };
        struct json_object *o = json_text(&text);
        free(path);
        return o;
}

static struct json_object *orphans_json(const struct orphans *orphans)
{
        struct json_object *list = json_object_new_array();
        for (size_t i = 0; i < orphans->count; i++)
                if (orphans->list[i].removable)
                        json_object_array_add(list, json_string(orphans->list[i].name));
        return list;
}

/* Of every collection, from its header and pickle and the measured log alone. */
static int add_collection_problems(struct request *request, const struct root_facts *root, struct json_object *problems)
{
        for (size_t i = 0; i < request->entries->count; i++) {
                struct facts facts;
                const struct collection *collection = request->entries->by_name[i]->collection;
                int r = facts_gather(request, collection, WANT_INDEX, &facts);
                if (r < 0)
                        return r;
                if (root->index != NULL)
                        facts_count(request, &facts, root->index);
                collection_problems(request, &facts, &(struct error){ 0 }, problems);
                facts_clear(&facts);
        }
        return 0;
}

static struct json_object *problems_json(struct request *request, const struct root_facts *f)
{
        struct json_object *problems = json_object_new_array();
        directory_problems(request, &f->orphans, f->orphan_entries, f->fts, &f->failure, problems);
        (void) add_collection_problems(request, f, problems);
        return problems;
}

/* How far the log is measured, as a share of it, and what wal.jsonl comes to. */
static struct json_object *log_json(struct request *request, const struct root_facts *f)
{
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "measured", json_double(f->index != NULL ? 1.0 : wal_measured(request->mount->wal)));
        json_object_object_add(o, "entries", number_or_null(f->index != NULL, f->log.rows));
        json_object_object_add(o, "size", number_or_null(f->index != NULL, f->log.bytes));
        return o;
}

static struct json_object *root_json(struct request *request, const struct root_facts *f)
{
        const struct catalog *catalog = request->view->catalog;
        struct json_object *o = json_object_new_object();
        if (o == NULL)
                return NULL;
        json_object_object_add(o, "chroma_version", version_json(&catalog->version));
        json_object_object_add(o, "persist_directory", path_json(request, ""));
        json_object_object_add(o, "persist_directory_size", json_object_new_uint64(f->size.apparent));
        json_object_object_add(o, "system_database_path", path_json(request, "/" DB_FILE));
        json_object_object_add(o, "system_database_size", json_object_new_uint64(request->view->database.size));
        json_object_object_add(o, "collections", json_object_new_uint64(request->entries->count));
        json_object_object_add(o, "wal_entries", number_or_null(f->index != NULL, f->log.rows));
        json_object_object_add(o, "wal", log_json(request, f));
        json_object_object_add(o, "orphan_directories", orphans_json(&f->orphans));
        json_object_object_add(o, "free_pages", json_object_new_uint64(catalog->free_pages));
        json_object_object_add(o, "page_size", json_object_new_uint64(catalog->page_size));
        json_object_object_add(o, "automatically_purge", purge_json(catalog));
        json_object_object_add(o, "exact", json_object_new_boolean(f->exact));
        json_object_object_add(o, "problems", problems_json(request, f));
        return o;
}

/* What can be told of a directory whose database can't be read: why. */
static struct json_object *unreadable_json(struct request *request)
{
        struct json_object *o = json_object_new_object(), *problems = json_object_new_array();
        if (o == NULL || problems == NULL) {
                (void) json_object_put(o);
                return NULL;
        }
        request->partial = true;
        database_unreadable(&request->error, problems);
        json_object_object_add(o, "chroma_version", NULL);
        json_object_object_add(o, "persist_directory", path_json(request, ""));
        json_object_object_add(o, "system_database_path", path_json(request, "/" DB_FILE));
        json_object_object_add(o, "collections", NULL);
        json_object_object_add(o, "exact", json_object_new_boolean(false));
        json_object_object_add(o, "problems", problems);
        return o;
}

int show_root_info(struct request *request, const struct node *node, struct text *ret)
{
        (void) node;
        int r = request_need(request);
        if (r == -EINTR)
                return r;
        if (r < 0)
                return show_json(unreadable_json(request), ret);
        struct root_facts facts = { 0 };
        r = root_facts_gather(request, &facts);
        if (r == 0)
                r = show_json(root_json(request, &facts), ret);
        root_facts_clear(&facts);
        return r;
}

bool has_purge(struct request *request, const struct node *node)
{
        (void) node;
        return request->view->catalog->automatically_purge != PURGE_ABSENT;
}

int show_automatically_purge(struct request *request, const struct node *node, struct text *ret)
{
        (void) node;
        switch (request->view->catalog->automatically_purge) {
        case PURGE_ON:
                return show_line(ret, "true\n");
        case PURGE_OFF:
                return show_line(ret, "false\n");
        case PURGE_UNKNOWN:
        case PURGE_ABSENT:
                break;
        }
        return error_set(&request->error, EILSEQ, "the stored setting (table embeddings_queue_config) can't be understood");
}

bool has_fts(struct request *request, const struct node *node)
{
        (void) node;
        return request->view->catalog->fts_sql.len > 0;
}

/* FTS5's own default where the statement names none. */
int show_fts_tokenizer(struct request *request, const struct node *node, struct text *ret)
{
        (void) node;
        char tokenizer[256];
        fts_tokenizer(&request->view->catalog->fts_sql, tokenizer, sizeof(tokenizer));
        return show_line(ret, "%s\n", tokenizer[0] != '\0' ? tokenizer : "unicode61");
}
