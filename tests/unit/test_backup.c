#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ops/operation/backup.h"
#include "ops/operation/backup_parts.h"
#include "ops/operation/file_copy.h"
#include "ops/operation/operation.h"
#include "ops/operation/plain_dir.h"
#include "tests/unit/fixture.h"
#include "tests/unit/index_dir.h"
#include "tests/unit/sql_dir.h"

#define SEGMENT "00000000-0000-4000-8000-000000000001"
#define METADATA "00000000-0000-4000-8000-000000000002"
#define COLLECTION "00000000-0000-4000-8000-000000000003"

/* A directory with one collection, and one for backups. */
struct place {
        struct sql_dir source;
        char name[64], path[96];
        int fd, home;
};

static const char tables[] =
        "CREATE TABLE migrations (dir TEXT, version INTEGER, filename TEXT, sql TEXT, hash TEXT);"
        "INSERT INTO migrations (dir, version) VALUES ('sysdb', 10), ('metadb', 6), ('embeddings_queue', 2);"
        "CREATE TABLE tenants (id TEXT PRIMARY KEY); CREATE TABLE databases (id TEXT PRIMARY KEY, name TEXT, tenant_id TEXT);"
        "INSERT INTO tenants VALUES ('default_tenant'); INSERT INTO databases VALUES ('d', 'default_database', 'default_tenant');"
        "CREATE TABLE collections (id TEXT PRIMARY KEY, name TEXT, dimension INTEGER, database_id TEXT, config_json_str TEXT, "
        "schema_str TEXT);"
        "CREATE TABLE segments (id TEXT PRIMARY KEY, type TEXT, scope TEXT, collection TEXT);"
        "CREATE TABLE collection_metadata (collection_id, key, str_value, int_value, float_value, bool_value);"
        "CREATE TABLE segment_metadata (segment_id, key, str_value, int_value, float_value, bool_value);"
        "CREATE TABLE embedding_metadata_array (id, key, string_value, int_value, float_value, bool_value);"
        "CREATE TABLE max_seq_id (segment_id TEXT PRIMARY KEY, seq_id INTEGER);"
        "CREATE TABLE embeddings_queue_config (id INTEGER PRIMARY KEY, config_json_str TEXT);"
        "CREATE TABLE maintenance_log (id INT PRIMARY KEY, timestamp INT, operation TEXT);"
        "INSERT INTO collections (id, name, dimension, database_id) VALUES ('" COLLECTION "', 'c', 3, 'd');"
        "INSERT INTO segments VALUES ('" SEGMENT "', 'urn:chroma:segment/vector/hnsw-local-persisted', 'VECTOR', '" COLLECTION "'),"
        " ('" METADATA "', 'urn:chroma:segment/metadata/sqlite', 'METADATA', '" COLLECTION "');"
        "INSERT INTO max_seq_id VALUES ('" SEGMENT "', 20), ('" METADATA "', 20);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) INSERT INTO embeddings (segment_id, "
        "embedding_id, seq_id)"
        " SELECT '" METADATA "', 'id' || i, i FROM n";

static int setup(void **state)
{
        struct place *p = calloc(1, sizeof(*p));
        p->home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        sql_dir_make(&p->source);
        sql_dir_exec(&p->source, "%s", tables);
        index_dir_make(p->source.fd, SEGMENT, &(struct index_dir){ .count = 20 });
        (void) snprintf(p->path, sizeof(p->path), "/tmp/chromafs-backup-XXXXXX");
        if (mkdtemp(p->path) == NULL)
                return 1;
        (void) snprintf(p->name, sizeof(p->name), "%s", p->path + 5);
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *state = p;
        return p->fd < 0;
}

static int teardown(void **state)
{
        struct place *p = *state;
        assert_int_equal(fchdir(p->home), 0);
        int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = tree_remove(tmp, p->name, NULL);
        (void) close(tmp);
        (void) close(p->fd);
        (void) close(p->home);
        sql_dir_remove(&p->source);
        free(p);
        return r;
}

/* Running it. */

struct watcher { /* what happens while it runs */
        void (*act)(struct watcher *w, const char *phase);
        const struct place *place;
        const char *phase; /* the last one */
        unsigned acted, asked, cancel_at, kill_at;
};

static void on_progress(void *context, const struct operation_progress *progress)
{
        struct watcher *w = context;
        bool new_phase = w->phase != progress->phase;
        w->phase = progress->phase;
        if (new_phase && w->act != NULL)
                w->act(w, progress->phase);
}

static bool on_cancelled(void *context)
{
        struct watcher *w = context;
        w->asked++;
        if (w->asked == w->kill_at)
                (void) kill(getpid(), SIGKILL);
        return w->cancel_at != 0 && w->asked >= w->cancel_at;
}

static int run_on(int fd, const struct place *p, const char *name, const char *more, struct watcher *w, struct json_object **ret,
                  struct error *e)
{
        char line[256];
        struct json_object *outcome = NULL;
        (void) snprintf(line, sizeof(line), "to=%s/%s %s", p->path, name, more);
        struct operation_sink sink = { .context = w, .progress = on_progress, .cancelled = on_cancelled };
        struct operation_request request = { .type = &operation_backup, .line = line, .line_len = strlen(line) };
        int r = operation_run(fd, &request, w != NULL ? &sink : NULL, &outcome, e);
        assert_int_equal(fchdir(p->home), 0);
        if (ret != NULL)
                *ret = json_object_get(json_object_object_get(outcome, "result"));
        (void) json_object_put(outcome);
        return r;
}

static int run(const struct place *p, const char *name, struct watcher *w, struct json_object **ret, struct error *e)
{
        return run_on(p->source.fd, p, name, "", w, ret, e);
}

static struct json_object *must_run(const struct place *p, const char *name, struct watcher *w)
{
        struct json_object *result = NULL;
        struct error e = { 0 };
        if (run(p, name, w, &result, &e) < 0)
                fail_msg("%s", e.text);
        return result;
}

static const char *text_in(struct json_object *object, const char *key)
{
        return json_object_get_string(json_object_object_get(object, key));
}

static int64_t number_in(struct json_object *object, const char *key)
{
        return json_object_get_int64(json_object_object_get(object, key));
}

static unsigned entries(const struct place *p)
{
        DIR *dir = NULL;
        const char *name;
        unsigned n = 0;
        assert_int_equal(plain_dir_list(p->fd, &dir, NULL), 0);
        while (plain_dir_next(dir, &name, NULL) > 0)
                n++;
        (void) closedir(dir);
        return n;
}

/* Looking at it. */

static void read_bytes(int fd, unsigned char **ret, size_t *ret_len)
{
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        *ret_len = (size_t) st.st_size;
        *ret = malloc(*ret_len + 1);
        assert_non_null(*ret);
        assert_int_equal(pread(fd, *ret, *ret_len, 0), st.st_size);
}

static int open_in(int dirfd, const char *directory, const char *name)
{
        char path[512];
        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                fail_msg("%s is not there", path);
        return fd;
}

/* Page for page, but for what a commit counts: the change counter, the schema cookie, and by whom and at which count. */
static void compare_databases(int source, int copy)
{
        unsigned char *a, *b;
        size_t len, copy_len;
        read_bytes(source, &a, &len);
        read_bytes(copy, &b, &copy_len);
        assert_int_equal(len, copy_len);
        memset(a + 24, 0, 4);
        memset(b + 24, 0, 4);
        memset(a + 40, 0, 4);
        memset(b + 40, 0, 4);
        memset(a + 92, 0, 8);
        memset(b + 92, 0, 8);
        assert_memory_equal(a, b, len);
        free(a);
        free(b);
}

static void check_hash(int fd, struct json_object *file)
{
        uint8_t hash[SHA256_SIZE];
        char hex[2 * SHA256_SIZE + 1];
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(number_in(file, "bytes"), st.st_size);
        assert_int_equal(file_sha256(fd, NULL, NULL, hash, NULL), 0);
        for (size_t i = 0; i < SHA256_SIZE; i++)
                (void) snprintf(hex + 2 * i, 3, "%02x", hash[i]);
        assert_string_equal(text_in(file, "sha256"), hex);
}

static struct json_object *manifest_of(const struct place *p, const char *name)
{
        int fd = open_in(p->fd, name, BACKUP_MANIFEST);
        struct json_object *manifest = json_object_from_fd(fd);
        (void) close(fd);
        assert_non_null(manifest);
        return manifest;
}

/* The copy has what the manifest says, and what the source has. */
static void compare(int source, const struct place *p, const char *name, bool same_database)
{
        struct json_object *manifest = manifest_of(p, name), *files = json_object_object_get(manifest, "files");
        for (size_t i = 0; i < json_object_array_length(files); i++) {
                struct json_object *file = json_object_array_get_idx(files, i);
                int copy = open_in(p->fd, name, text_in(file, "path")), from = open_in(source, ".", text_in(file, "path"));
                struct stat a, b;
                check_hash(copy, file);
                check_hash(from, file);
                assert_int_equal(fstat(copy, &a), 0);
                assert_int_equal(fstat(from, &b), 0);
                assert_int_equal(a.st_mtim.tv_sec, b.st_mtim.tv_sec);
                assert_int_equal(a.st_mtim.tv_nsec, b.st_mtim.tv_nsec);
                assert_int_equal(a.st_mode, b.st_mode);
                (void) close(copy);
                (void) close(from);
        }
        int copy = open_in(p->fd, name, DB_FILE), from = open_in(source, ".", DB_FILE);
        check_hash(copy, json_object_object_get(manifest, "database"));
        if (same_database)
                compare_databases(from, copy);
        (void) close(copy);
        (void) close(from);
        (void) json_object_put(manifest);
}

/* Tests. */

static void whole(void **state)
{
        const struct place *p = *state;
        assert_int_equal(fchmod(p->source.fd, 0750), 0);
        struct json_object *result = must_run(p, "b", NULL);
        compare(p->source.fd, p, "b", true);
        assert_string_equal(text_in(result, "status"), "complete");
        assert_int_equal(number_in(result, "files"), 6);
        assert_int_equal(number_in(result, "tries"), 1);
        assert_int_equal(number_in(result, "not_owned"), 0);
        assert_int_equal(json_object_array_length(json_object_object_get(result, "damage")), 0);
        assert_int_equal(entries(p), 1);
        struct stat st;
        assert_int_equal(fstatat(p->fd, "b", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0750);
        (void) json_object_put(result);
        assert_int_equal(run(p, "b", NULL, NULL, NULL), -EEXIST);
}

/* A backup of a restored backup. */
static void again(void **state)
{
        const struct place *p = *state;
        struct error e = { 0 };
        (void) json_object_put(must_run(p, "b", NULL));
        int fd = openat(p->fd, "b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (run_on(fd, p, "c", "", NULL, NULL, &e) < 0)
                fail_msg("%s", e.text);
        compare(fd, p, "c", true);
        (void) close(fd);
}

static void what_else_is_there(void **state)
{
        const struct place *p = *state;
        int s = p->source.fd;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct stat st;
        assert_int_equal(mkdirat(s, "notes", 0755), 0);
        (void) close(openat(s, "notes/empty", O_WRONLY | O_CREAT | O_CLOEXEC, 0640));
        assert_int_equal(symlinkat("notes/empty", s, "link"), 0);
        assert_int_equal(symlinkat("/nowhere/at/all", s, "dangling"), 0);
        assert_int_equal(mkfifoat(s, "pipe", 0600), 0);
        (void) close(openat(s, BACKUP_MANIFEST, O_WRONLY | O_CREAT | O_CLOEXEC, 0640));
        int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", p->source.path);
        assert_int_equal(bind(socket_fd, (struct sockaddr *) &address, sizeof(address)), 0);
        struct json_object *result = must_run(p, "b", NULL);
        compare(s, p, "b", true);
        struct json_object *left_out = json_object_object_get(result, "left_out");
        assert_int_equal(json_object_array_length(left_out), 2);
        assert_string_equal(json_object_get_string(json_object_array_get_idx(left_out, 0)), "pipe");
        char target[64] = "";
        assert_int_equal(readlinkat(p->fd, "b/link", target, sizeof(target)), 11);
        assert_int_equal(readlinkat(p->fd, "b/dangling", target, sizeof(target)), 15);
        assert_int_equal(fstatat(p->fd, "b/notes/empty", &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(fstatat(p->fd, "b/.chromafs", &st, AT_SYMLINK_NOFOLLOW), -1);
        assert_int_equal(fstatat(p->fd, "b/pipe", &st, AT_SYMLINK_NOFOLLOW), -1);
        (void) close(socket_fd);
        (void) json_object_put(result);
}

static void dry(void **state)
{
        const struct place *p = *state;
        struct json_object *result = NULL;
        struct stat st;
        assert_int_equal(run_on(p->source.fd, p, "b", "dry_run=1", NULL, &result, NULL), 0);
        assert_int_equal(number_in(result, "files"), 6);
        assert_true(number_in(result, "bytes") > 1000);
        assert_true(number_in(result, "room") > 0);
        assert_int_equal(entries(p), 0);
        assert_int_equal(fstatat(p->source.fd, ".chromafs", &st, 0), -1);
        (void) json_object_put(result);
        assert_int_equal(run_on(p->source.fd, p, "missing/b", "dry_run=1", NULL, NULL, NULL), -ENOENT);
}

/* At each moment when it asks: nothing is left, and the source is as it was. */
static void cancelled_anywhere(void **state)
{
        const struct place *p = *state;
        unsigned n = 0;
        for (unsigned at = 1;; at++) {
                struct watcher w = { .cancel_at = at };
                struct error e = { 0 };
                int r = run(p, "b", &w, NULL, &e);
                if (r == 0)
                        break;
                if (r != -ECANCELED || entries(p) != 0 || e.text[0] == '\0')
                        fail_msg("%u: %d %s", at, r, e.text);
                n++;
        }
        assert_true(n > 0);
        compare(p->source.fd, p, "b", true);
}

/* Killed at each: the next one removes what is left. */
static void killed_anywhere(void **state)
{
        const struct place *p = *state;
        for (unsigned at = 1; at < 8; at++) {
                int status;
                pid_t pid = fork();
                if (pid == 0) {
                        struct watcher w = { .kill_at = at };
                        _exit(run(p, "b", &w, NULL, NULL) == 0 ? 0 : 1);
                }
                assert_int_equal(waitpid(pid, &status, 0), pid);
                if (!WIFSIGNALED(status)) {
                        assert_int_equal(status, 0);
                        break;
                }
                assert_true(entries(p) <= 1);
                (void) json_object_put(must_run(p, "b", NULL));
                assert_int_equal(entries(p), 1);
                compare(p->source.fd, p, "b", true);
                assert_int_equal(tree_remove(p->fd, "b", NULL), 0);
        }
}

static void make_target(struct watcher *w, const char *phase)
{
        if (strcmp(phase, "syncing") == 0)
                assert_int_equal(mkdirat(w->place->fd, "b", 0755), 0);
}

static void taken_meanwhile(void **state)
{
        const struct place *p = *state;
        struct watcher w = { .act = make_target, .place = p };
        struct error e = { 0 };
        assert_int_equal(run(p, "b", &w, NULL, &e), -EEXIST);
        assert_int_equal(entries(p), 1);
        assert_int_equal(unlinkat(p->fd, "b", AT_REMOVEDIR), 0);
}

/* A file that Chroma writes to while the database is copied. */
static void persist(struct watcher *w, const char *phase)
{
        struct timespec now[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_NOW } };
        if (strcmp(phase, "copying the database") != 0 || w->acted == w->cancel_at + 2)
                return;
        w->acted++;
        assert_int_equal(utimensat(w->place->source.fd, SEGMENT "/length.bin", now, 0), 0);
        assert_int_equal(utimensat(w->place->source.fd, SEGMENT "/index_metadata.pickle", now, 0), 0);
        assert_int_equal(utimensat(w->place->source.fd, DB_FILE, now, 0), 0);
}

static void changed_while_copied(void **state)
{
        const struct place *p = *state;
        struct watcher w = { .act = persist, .place = p };
        struct json_object *result = must_run(p, "b", &w);
        assert_int_equal(w.acted, 2);
        assert_int_equal(number_in(result, "tries"), 3);
        compare(p->source.fd, p, "b", true);
        (void) json_object_put(result);
}

static void always_changing_act(struct watcher *w, const char *phase)
{
        w->acted = 0;
        persist(w, phase);
}

static void always_changing(void **state)
{
        const struct place *p = *state;
        struct watcher w = { .act = always_changing_act, .place = p };
        struct error e = { 0 };
        assert_int_equal(run(p, "b", &w, NULL, &e), -EBUSY);
        assert_non_null(strstr(e.text, "attempts"));
        assert_int_equal(entries(p), 0);
}

/* Segments that come, go and change their kind between two attempts. */
static void rearrange(struct watcher *w, const char *phase)
{
        int s = w->place->source.fd;
        if (strcmp(phase, "copying the database") != 0 || w->acted++ > 0)
                return;
        assert_int_equal(tree_remove(s, "11111111-0000-4000-8000-000000000000", NULL), 0);
        index_dir_make(s, "22222222-0000-4000-8000-000000000000", &(struct index_dir){ .count = 2 });
        assert_int_equal(tree_remove(s, "notes", NULL), 0);
        (void) close(openat(s, "notes", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
}

static void rearranged_while_copied(void **state)
{
        const struct place *p = *state;
        struct watcher w = { .act = rearrange, .place = p };
        struct stat st;
        index_dir_make(p->source.fd, "11111111-0000-4000-8000-000000000000", &(struct index_dir){ .count = 2 });
        assert_int_equal(mkdirat(p->source.fd, "notes", 0755), 0);
        (void) close(openat(p->source.fd, "notes/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
        (void) json_object_put(must_run(p, "b", &w));
        compare(p->source.fd, p, "b", true);
        assert_int_equal(fstatat(p->fd, "b/11111111-0000-4000-8000-000000000000", &st, 0), -1);
        assert_int_equal(fstatat(p->fd, "b/22222222-0000-4000-8000-000000000000/header.bin", &st, 0), 0);
        assert_int_equal(fstatat(p->fd, "b/notes", &st, 0), 0);
        assert_true(S_ISREG(st.st_mode));
}

/* Damage is copied, and told. */

static void expect_damage(const struct place *p, const char *where, const char *sentence)
{
        struct json_object *result = must_run(p, "b", NULL), *damage = json_object_object_get(result, "damage");
        struct json_object *manifest = manifest_of(p, "b");
        assert_string_equal(text_in(result, "status"), "damaged_source");
        assert_string_equal(text_in(manifest, "status"), "damaged_source");
        assert_true(json_object_array_length(damage) > 0);
        bool found = false;
        for (size_t i = 0; i < json_object_array_length(damage); i++) {
                struct json_object *one = json_object_array_get_idx(damage, i);
                found = found || (strcmp(text_in(one, "where"), where) == 0 && strstr(text_in(one, "sentence"), sentence) != NULL);
        }
        if (!found)
                fail_msg("%s", json_object_to_json_string(damage));
        compare(p->source.fd, p, "b", true);
        (void) json_object_put(manifest);
        (void) json_object_put(result);
}

static void damaged_index(void **state)
{
        const struct place *p = *state;
        index_dir_write(p->source.fd, SEGMENT, "index_metadata.pickle", "torn", 4);
        expect_damage(p, SEGMENT, "");
}

static void labels_differ(void **state)
{
        const struct place *p = *state;
        assert_int_equal(tree_remove(p->source.fd, SEGMENT, NULL), 0);
        index_dir_make(p->source.fd, SEGMENT, &(struct index_dir){ .count = 20, .deleted = 2, .extra_label = 1 });
        expect_damage(p, SEGMENT, "label");
}

static void vectors_missing(void **state)
{
        const struct place *p = *state;
        sql_dir_exec(&p->source, "INSERT INTO embeddings (segment_id, embedding_id, seq_id) VALUES (%Q, 'lost', 7)", METADATA);
        expect_damage(p, COLLECTION, "1 of 21 records");
}

static void index_is_a_link(void **state)
{
        const struct place *p = *state;
        assert_int_equal(renameat(p->source.fd, SEGMENT, p->source.fd, "elsewhere"), 0);
        assert_int_equal(symlinkat("elsewhere", p->source.fd, SEGMENT), 0);
        expect_damage(p, SEGMENT, "link");
}

/* A page of the database that is overwritten: what integrity_check is for. */
static void damaged_database(void **state)
{
        const struct place *p = *state;
        unsigned char junk[64];
        memset(junk, 0xee, sizeof(junk));
        sql_dir_exec(&p->source,
                     "CREATE TABLE t (a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
                     " INSERT INTO t SELECT 'row number ' || i FROM n");
        struct stat st;
        int fd = openat(p->source.fd, DB_FILE, O_RDWR | O_CLOEXEC);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(pwrite(fd, junk, sizeof(junk), st.st_size - 2 * 4096), sizeof(junk));
        (void) close(fd);
        expect_damage(p, DB_FILE, "age"); /* "Page" or "page" */
}

/* A writer that died in a transaction: the copy is what a roll-back would leave. */
static void rolled_back(void **state)
{
        const struct place *p = *state;
        sql_dir_exec(&p->source, "CREATE TABLE t (a); INSERT INTO t VALUES ('before')");
        pid_t pid = fork();
        if (pid == 0) {
                sqlite3 *db = sql_dir_writer(&p->source, 0);
                (void) sqlite3_exec(db,
                                    "PRAGMA cache_size=1; PRAGMA cache_spill=1; BEGIN IMMEDIATE; UPDATE t SET a='after';"
                                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
                                    " INSERT INTO t SELECT randomblob(3000) FROM n",
                                    NULL, NULL, NULL);
                _exit(0);
        }
        int status;
        struct stat st;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(fstatat(p->source.fd, DB_FILE "-journal", &st, 0), 0);
        assert_true(st.st_size > 0);
        (void) json_object_put(must_run(p, "b", NULL));
        assert_int_equal(fstatat(p->source.fd, DB_FILE "-journal", &st, 0), 0); /* untouched */
        assert_int_equal(fstatat(p->fd, "b/" DB_FILE "-journal", &st, 0), -1);
        struct json_object *manifest = manifest_of(p, "b");
        assert_true(json_object_get_boolean(json_object_object_get(json_object_object_get(manifest, "database"), "rolled_back")));
        (void) json_object_put(manifest);
        sql_dir_exec(&p->source, "SELECT 1 FROM t"); /* rolls the source back */
        compare(p->source.fd, p, "b", true);
}

/* A writer that moves money in one transaction over many pages, and never rests: every copy has the same sum. */
static void transfer(const struct sql_dir *d)
{
        sqlite3 *db = sql_dir_writer(d, 10000);
        for (;;)
                (void) sqlite3_exec(db,
                                    "BEGIN IMMEDIATE; UPDATE account SET value = value - 1 WHERE id % 97 = 1;"
                                    " UPDATE account SET value = value + 1 WHERE id % 97 = 2; COMMIT",
                                    NULL, NULL, NULL);
}

static void check_sum(const struct place *p, const char *name)
{
        char path[256];
        sqlite3 *db = NULL;
        sqlite3_stmt *stmt = NULL;
        (void) snprintf(path, sizeof(path), "%s/%s/" DB_FILE, p->path, name);
        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
        assert_int_equal(
                sqlite3_prepare_v2(
                        db, "SELECT sum(value), (SELECT group_concat(integrity_check) FROM pragma_integrity_check) FROM account",
                        -1, &stmt, NULL),
                SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        assert_int_equal(sqlite3_column_int64(stmt, 0), 0);
        assert_string_equal((const char *) sqlite3_column_text(stmt, 1), "ok");
        (void) sqlite3_finalize(stmt);
        (void) sqlite3_close(db);
}

static void beside_a_writer(void **state)
{
        const struct place *p = *state;
        sql_dir_exec(&p->source, "CREATE TABLE account (id INTEGER PRIMARY KEY, value INTEGER, filler BLOB);"
                                 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 97 * 40)"
                                 " INSERT INTO account SELECT i, 0, randomblob(3000) FROM n");
        pid_t pid = fork();
        if (pid == 0)
                transfer(&p->source);
        for (int i = 0; i < 4; i++) {
                char name[16];
                struct error e = { 0 };
                (void) snprintf(name, sizeof(name), "b%d", i);
                int r = run(p, name, NULL, NULL, &e);
                if (r == 0)
                        check_sum(p, name);
                else if (r != -EBUSY) /* a machine that is too slow for this writer */
                        fail_msg("%s", e.text);
        }
        (void) kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* A transaction that is open all the time matters only when it can have written to an index. */
static void in_a_transaction(void **state)
{
        const struct place *p = *state;
        struct timespec now[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_NOW } };
        struct timespec moment = { .tv_nsec = 20 * 1000 * 1000 };
        (void) nanosleep(&moment, NULL);
        sqlite3 *db = sql_dir_writer(&p->source, 0);
        assert_int_equal(sqlite3_exec(db, "CREATE TABLE t (a); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)", NULL, NULL, NULL), 0);
        struct json_object *result = must_run(p, "b", NULL);
        assert_int_equal(number_in(result, "tries"), 1);
        (void) json_object_put(result);
        compare(p->source.fd, p, "b", true);
        assert_int_equal(utimensat(p->source.fd, SEGMENT "/index_metadata.pickle", now, 0), 0);
        struct watcher w = { .cancel_at = 15 }; /* it waits */
        assert_int_equal(run(p, "c", &w, NULL, NULL), -ECANCELED);
        assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), 0);
        (void) json_object_put(must_run(p, "c", NULL));
        compare(p->source.fd, p, "c", true);
        (void) sqlite3_close(db);
}

/* The other way to copy the database, which that test takes or not. */
static void page_by_page(void **state)
{
        const struct place *p = *state;
        struct operation op = { .type = &operation_backup, .dirfd = p->source.fd };
        struct backup b = { .op = &op, .target = { .parent_fd = -1, .fd = p->fd }, .phase = "" };
        sql_dir_exec(&p->source,
                     "CREATE TABLE t (a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
                     " INSERT INTO t SELECT randomblob(2000) FROM n");
        for (int i = 0; i < 2; i++) {
                b.db = sql_dir_open(&p->source);
                assert_int_equal(backup_hold_init(&b.hold, p->source.fd, b.db, NULL), 0);
                if (backup_copy_database_pages(&b) < 0)
                        fail_msg("%s", op.error.text);
                backup_hold_clear(&b.hold);
                b.db = db_close(b.db);
                unsigned char *x, *y;
                size_t len, copy_len;
                int from = open_in(p->source.fd, ".", DB_FILE), to = open_in(p->fd, ".", DB_FILE);
                read_bytes(from, &x, &len);
                read_bytes(to, &y, &copy_len);
                assert_int_equal(len, copy_len);
                assert_memory_equal(x, y, len);
                free(x);
                free(y);
                (void) close(from);
                (void) close(to);
                sql_dir_exec(&p->source, "DELETE FROM t WHERE rowid > 100; VACUUM"); /* smaller */
        }
}

/* Root may read everything. */
static int unreadable(const struct place *p)
{
        struct error e = { 0 };
        if (fchown(p->fd, 12345, 12345) < 0 || fchown(p->source.fd, 12345, 12345) < 0 ||
            fchownat(p->source.fd, DB_FILE, 12345, 12345, 0) < 0 || setgid(12345) < 0 || setuid(12345) < 0)
                return 2;
        int r = run(p, "b", NULL, NULL, &e);
        return r == -EACCES && strstr(e.text, SEGMENT "/length.bin") != NULL && entries(p) == 0 ? 0 : 1;
}

static void unreadable_file(void **state)
{
        const struct place *p = *state;
        if (geteuid() != 0)
                skip();
        assert_int_equal(fchmodat(p->source.fd, SEGMENT "/length.bin", 0600, 0), 0);
        int status;
        pid_t pid = fork();
        if (pid == 0)
                _exit(unreadable(p));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

/* Files of another owner that may be read: their copies are ours alone. */
static int not_mine(const struct place *p)
{
        struct stat st;
        if (fchown(p->fd, 12345, 12345) < 0 || fchown(p->source.fd, 12345, 12345) < 0 ||
            fchownat(p->source.fd, DB_FILE, 12345, 12345, 0) < 0 || setgid(12345) < 0 || setuid(12345) < 0)
                return 2;
        struct json_object *result = NULL;
        bool right = run(p, "b", NULL, &result, NULL) == 0 && number_in(result, "not_owned") == 6 &&
                     fstatat(p->fd, "b/" SEGMENT "/length.bin", &st, 0) == 0 && (st.st_mode & 07777) == 0600;
        return right ? 0 : 1;
}

static void other_owners(void **state)
{
        const struct place *p = *state;
        if (geteuid() != 0)
                skip();
        int status;
        pid_t pid = fork();
        if (pid == 0)
                _exit(not_mine(p));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

/* A path that is longer than SQLite takes. */
static void deep_target(void **state)
{
        const struct place *p = *state;
        char name[1024] = "";
        for (size_t len = 0; len < 700; len = strlen(name)) {
                (void) snprintf(name + len, sizeof(name) - len, "%s%0200d", len == 0 ? "" : "/", 0);
                assert_int_equal(mkdirat(p->fd, name, 0755), 0);
        }
        assert_int_equal(symlinkat(name, p->fd, "short"), 0);
        struct error e = { 0 };
        if (run(p, "short/b", NULL, NULL, &e) < 0)
                fail_msg("%s", e.text);
        compare(p->source.fd, p, "short/b", true);
}

/* A directory listing that shows one name twice: a link at first, then a directory. Nothing is written where the link leads. */
static void listed_twice(void **state)
{
        const struct place *p = *state;
        char outside[128];
        assert_int_equal(mkdirat(p->fd, "outside", 0755), 0);
        assert_int_equal(mkdirat(p->fd, "copy", 0755), 0);
        (void) close(openat(p->fd, "outside/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0640));
        (void) snprintf(outside, sizeof(outside), "%s/outside", p->path);
        assert_int_equal(symlinkat(outside, p->source.fd, "a"), 0);
        struct operation op = { .type = &operation_backup, .dirfd = p->source.fd };
        struct backup b = { .op = &op, .hold.fd = -1, .phase = "", .target = { .parent_fd = -1 } };
        b.target.fd = openat(p->fd, "copy", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat before, after;
        assert_int_equal(fstatat(p->fd, "outside/x", &before, 0), 0);
        assert_int_equal(backup_tree_read(p->source.fd, NULL, NULL, &b.tree, NULL), 0);
        assert_int_equal(backup_copy_tree(&b), 0);
        backup_tree_clear(&b.tree);
        assert_int_equal(unlinkat(p->source.fd, "a", 0), 0);
        assert_int_equal(mkdirat(p->source.fd, "a", 0755), 0);
        int fd = openat(p->source.fd, "a/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
        assert_int_equal(write(fd, "evil", 4), 4);
        (void) close(fd);
        assert_int_equal(backup_tree_read(p->source.fd, NULL, NULL, &b.tree, NULL), 0);
        assert_true(backup_copy_tree(&b) < 0);
        backup_tree_clear(&b.tree);
        assert_int_equal(fstatat(p->fd, "outside/x", &after, 0), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        assert_int_equal(after.st_size, 0);
        (void) close(b.target.fd);
}

/* What may not be written to is copied so; a copy that fails is removed all the same. */
static int cancelled_late(const struct place *p)
{
        if (fchown(p->fd, 12345, 12345) < 0 || fchown(p->source.fd, 12345, 12345) < 0 ||
            fchownat(p->source.fd, DB_FILE, 12345, 12345, 0) < 0 || fchownat(p->source.fd, "notes", 12345, 12345, 0) < 0 ||
            setgid(12345) < 0 || setuid(12345) < 0)
                return 2;
        struct watcher w = { .act = make_target, .place = p };
        if (run(p, "b", &w, NULL, NULL) != -EEXIST)
                return 3;
        return entries(p) == 1 ? 0 : 1;
}

static void read_only_directory(void **state)
{
        const struct place *p = *state;
        if (geteuid() != 0)
                skip();
        assert_int_equal(mkdirat(p->source.fd, "notes", 0755), 0);
        (void) close(openat(p->source.fd, "notes/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
        assert_int_equal(fchmodat(p->source.fd, "notes", 0555, 0), 0);
        int status;
        pid_t pid = fork();
        if (pid == 0)
                _exit(cancelled_late(p));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

/* Every release. */

static const struct place *fixture_place;

static bool is_whole(const struct fixture *f)
{
        return strncmp(f->name, "chroma-0.5.11", 13) != 0; /* which loses vectors itself (FORMAT 4) */
}

/* Without what is around an operation, which would leave its history in the fixture. */
static void back_up_fixture(const struct fixture *f)
{
        char line[256];
        struct error e = { 0 };
        struct operation op = { .type = &operation_backup, .dirfd = f->fd, .result = json_object_new_object() };
        struct command *command = NULL;
        (void) snprintf(line, sizeof(line), "to=%s/%s", fixture_place->path, f->name);
        assert_int_equal(command_parse(operation_backup.options, line, strlen(line), &command, &e), 0);
        op.command = command;
        if (operation_backup.run(&op) < 0)
                fail_msg("%s: %s", f->name, op.error.text);
        if ((strcmp(text_in(op.result, "status"), "complete") == 0) != is_whole(f))
                fail_msg("%s: %s", f->name, json_object_to_json_string(op.result));
        compare(f->fd, fixture_place, f->name, true);
        (void) json_object_put(op.result);
        (void) command_free(command);
}

static void fixtures(void **state)
{
        fixture_place = *state;
        each_fixture(back_up_fixture);
}

int main(void)
{
        (void) umask(022); /* files of others are to be read */
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(whole, setup, teardown),
                cmocka_unit_test_setup_teardown(again, setup, teardown),
                cmocka_unit_test_setup_teardown(what_else_is_there, setup, teardown),
                cmocka_unit_test_setup_teardown(dry, setup, teardown),
                cmocka_unit_test_setup_teardown(cancelled_anywhere, setup, teardown),
                cmocka_unit_test_setup_teardown(killed_anywhere, setup, teardown),
                cmocka_unit_test_setup_teardown(taken_meanwhile, setup, teardown),
                cmocka_unit_test_setup_teardown(changed_while_copied, setup, teardown),
                cmocka_unit_test_setup_teardown(always_changing, setup, teardown),
                cmocka_unit_test_setup_teardown(rearranged_while_copied, setup, teardown),
                cmocka_unit_test_setup_teardown(damaged_index, setup, teardown),
                cmocka_unit_test_setup_teardown(labels_differ, setup, teardown),
                cmocka_unit_test_setup_teardown(vectors_missing, setup, teardown),
                cmocka_unit_test_setup_teardown(index_is_a_link, setup, teardown),
                cmocka_unit_test_setup_teardown(damaged_database, setup, teardown),
                cmocka_unit_test_setup_teardown(rolled_back, setup, teardown),
                cmocka_unit_test_setup_teardown(beside_a_writer, setup, teardown),
                cmocka_unit_test_setup_teardown(in_a_transaction, setup, teardown),
                cmocka_unit_test_setup_teardown(page_by_page, setup, teardown),
                cmocka_unit_test_setup_teardown(unreadable_file, setup, teardown),
                cmocka_unit_test_setup_teardown(other_owners, setup, teardown),
                cmocka_unit_test_setup_teardown(deep_target, setup, teardown),
                cmocka_unit_test_setup_teardown(listed_twice, setup, teardown),
                cmocka_unit_test_setup_teardown(read_only_directory, setup, teardown),
                cmocka_unit_test_setup_teardown(fixtures, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
