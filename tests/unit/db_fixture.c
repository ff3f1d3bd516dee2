#include "db_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define MUST(condition)                                                                                                            \
        do {                                                                                                                       \
                if (!(condition)) {                                                                                                \
                        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
                        abort();                                                                                                   \
                }                                                                                                                  \
        } while (0)

void fixture_make(struct fixture *f)
{
        (void) snprintf(f->dir, sizeof(f->dir), "/tmp/chromafs-test-XXXXXX");
        MUST(mkdtemp(f->dir) != NULL);
        (void) sqlite3_snprintf(sizeof(f->db), f->db, "%s/chroma.sqlite3", f->dir);
        (void) sqlite3_snprintf(sizeof(f->journal), f->journal, "%s/chroma.sqlite3-journal", f->dir);
        f->fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        MUST(f->fd >= 0);
}

void fixture_remove(struct fixture *f)
{
        DIR *d = opendir(f->dir);
        MUST(d != NULL);
        for (struct dirent *entry; (entry = readdir(d)) != NULL;)
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && unlinkat(f->fd, entry->d_name, 0) < 0)
                        MUST(unlinkat(f->fd, entry->d_name, AT_REMOVEDIR) == 0);
        (void) closedir(d);
        (void) close(f->fd);
        MUST(rmdir(f->dir) == 0);
}

static void copy_file(const char *from, const char *to)
{
        char buffer[65536];
        int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0644);
        MUST(in >= 0 && out >= 0);
        for (ssize_t n; (n = read(in, buffer, sizeof(buffer))) > 0;)
                MUST(write(out, buffer, (size_t) n) == n);
        (void) close(in);
        (void) close(out);
}

void fixture_copy(const struct fixture *f, struct fixture *ret)
{
        fixture_make(ret);
        copy_file(f->db, ret->db);
        if (access(f->journal, F_OK) == 0)
                copy_file(f->journal, ret->journal);
}

sqlite3 *fixture_open(const struct fixture *f)
{
        sqlite3 *db = NULL;
        MUST(sqlite3_open(f->db, &db) == SQLITE_OK);
        (void) sqlite3_busy_timeout(db, 5000);
        return db;
}

void run_sql(sqlite3 *db, const char *format, ...)
{
        va_list args;
        va_start(args, format);
        char *sql = sqlite3_vmprintf(format, args);
        va_end(args);
        char *message = NULL;
        if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
                fprintf(stderr, "%s: %s\n", sql, message);
                abort();
        }
        sqlite3_free(sql);
}

int64_t number_of(sqlite3 *db, const char *sql)
{
        sqlite3_stmt *stmt = NULL;
        if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK || sqlite3_step(stmt) != SQLITE_ROW) {
                fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
                abort();
        }
        int64_t value = sqlite3_column_int64(stmt, 0);
        (void) sqlite3_finalize(stmt);
        return value;
}

static void hash_file(XXH64_state_t *state, int fd, const char *name)
{
        char buffer[65536];
        struct stat st;
        MUST(fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0);
        (void) XXH64_update(state, name, strlen(name));
        (void) XXH64_update(state, &st.st_ino, sizeof(st.st_ino));
        (void) XXH64_update(state, &st.st_size, sizeof(st.st_size));
        (void) XXH64_update(state, &st.st_mtim, sizeof(st.st_mtim));
        (void) XXH64_update(state, &st.st_ctim, sizeof(st.st_ctim));
        int file = S_ISREG(st.st_mode) ? openat(fd, name, O_RDONLY) : -1;
        for (ssize_t n; file >= 0 && (n = read(file, buffer, sizeof(buffer))) > 0;)
                (void) XXH64_update(state, buffer, (size_t) n);
        if (file >= 0)
                (void) close(file);
}

uint64_t fixture_state(const struct fixture *f)
{
        struct dirent **names = NULL;
        XXH64_state_t *state = XXH64_createState();
        (void) XXH64_reset(state, 0);
        int n = scandir(f->dir, &names, NULL, alphasort);
        MUST(n >= 0);
        for (int i = 0; i < n; i++) {
                if (strcmp(names[i]->d_name, "..") != 0)
                        hash_file(state, f->fd, names[i]->d_name);
                free(names[i]);
        }
        free(names);
        uint64_t hash = XXH64_digest(state);
        (void) XXH64_freeState(state);
        return hash;
}

static void hash_rows(XXH64_state_t *state, sqlite3 *db, const char *sql)
{
        sqlite3_stmt *stmt = NULL;
        int rc;
        if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK) {
                fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
                abort();
        }
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
                for (int i = 0; i < sqlite3_column_count(stmt); i++) {
                        const void *bytes = sqlite3_column_blob(stmt, i);
                        int len = sqlite3_column_bytes(stmt, i);
                        (void) XXH64_update(state, &len, sizeof(len));
                        (void) XXH64_update(state, bytes == NULL ? "" : bytes, (size_t) len);
                }
        if (rc != SQLITE_DONE) {
                fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
                abort();
        }
        (void) sqlite3_finalize(stmt);
}

static void must_be_sound(sqlite3 *db)
{
        sqlite3_stmt *stmt = NULL;
        MUST(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL) == SQLITE_OK);
        MUST(sqlite3_step(stmt) == SQLITE_ROW);
        if (strcmp((const char *) sqlite3_column_text(stmt, 0), "ok") != 0) {
                fprintf(stderr, "integrity_check: %s\n", (const char *) sqlite3_column_text(stmt, 0));
                abort();
        }
        (void) sqlite3_finalize(stmt);
}

uint64_t content_of(sqlite3 *db)
{
        sqlite3_stmt *stmt = NULL;
        XXH64_state_t *state = XXH64_createState();
        (void) XXH64_reset(state, 0);
        must_be_sound(db);
        hash_rows(state, db, "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema ORDER BY type, name");
        hash_rows(state, db, "PRAGMA page_count");
        hash_rows(state, db, "PRAGMA page_size");
        hash_rows(state, db, "PRAGMA freelist_count");
        MUST(sqlite3_prepare_v2(db, "SELECT name FROM sqlite_schema WHERE type='table' ORDER BY name", -1, &stmt, NULL) ==
             SQLITE_OK);
        while (sqlite3_step(stmt) == SQLITE_ROW) {
                char *sql = sqlite3_mprintf("SELECT * FROM \"%w\" ORDER BY rowid", sqlite3_column_text(stmt, 0));
                hash_rows(state, db, sql);
                sqlite3_free(sql);
        }
        (void) sqlite3_finalize(stmt);
        uint64_t hash = XXH64_digest(state);
        (void) XXH64_freeState(state);
        return hash;
}

uint64_t content_after_rollback(const struct fixture *f)
{
        struct fixture copy;
        fixture_copy(f, &copy);
        sqlite3 *db = fixture_open(&copy);
        uint64_t content = content_of(db);
        (void) sqlite3_close(db);
        fixture_remove(&copy);
        return content;
}

pid_t child_start(const struct fixture *f, child_fn *fn, void *context)
{
        (void) fflush(NULL);
        pid_t pid = fork();
        MUST(pid >= 0);
        if (pid == 0) {
                fn(f, context);
                _exit(0);
        }
        return pid;
}

void child_wait(pid_t pid)
{
        int status = 0;
        MUST(waitpid(pid, &status, 0) == pid);
        MUST(WIFSIGNALED(status) ? WTERMSIG(status) == 9 : WEXITSTATUS(status) == 0);
}

uint64_t fixture_size(const char *path)
{
        struct stat st;
        return stat(path, &st) == 0 ? (uint64_t) st.st_size : 0;
}

void pause_ms(int ms)
{
        struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long) (ms % 1000) * 1000000 };
        (void) nanosleep(&t, NULL);
}

int64_t clock_ms(void)
{
        struct timespec t;
        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
