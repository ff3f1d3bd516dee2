/*
 * chromafs [options] PERSIST_DIR MOUNTPOINT
 *
 * Exit status: 0, also when unmounted or ended by a signal; 1 when the directory can't be mounted (one line on stderr says why); 2 for
 * wrong usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/cache.h"
#include "fs/control.h"
#include "fs/ll.h"
#include "fs/inodes.h"
#include "fs/node.h"
#include "fs/operations.h"
#include "fs/options.h"
#include "fs/waiting.h"
#include "fs/worker.h"
#include "ops/wal/wal.h"

#define EXIT_USAGE 2
#define THREADS_MAX 10

static int complain(const char *what, const char *why)
{
        (void) fprintf(stderr, "chromafs: %s%s%s\n", what, why[0] != '\0' ? ": " : "", why);
        return EXIT_FAILURE;
}

static void print_version(void)
{
        (void) printf("chromafs %s\nlibfuse %s, SQLite %s\n", CHROMAFS_VERSION, fuse_pkgversion(), sqlite3_libversion());
}

static bool is_below(const char *path, const char *directory)
{
        size_t len = strlen(directory);
        return strncmp(path, directory, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* A mount point inside the persist directory would be a part of what it shows; behind one above it nobody would find the directory. It is absolute from
   now on, since libfuse unmounts it by its name, when the working directory is another one. */
static int check_mountpoint(struct mount *mount)
{
        char *path = realpath(mount->options->mountpoint, NULL);
        struct stat st;
        if (path == NULL)
                return complain(mount->options->mountpoint, strerror(errno));
        free(mount->options->mountpoint);
        mount->options->mountpoint = path;
        if (stat(path, &st) < 0)
                return complain(path, strerror(errno));
        if (!S_ISDIR(st.st_mode))
                return complain(path, "the mount point is no directory");
        if (is_below(path, mount->persist_path))
                return complain(path, "the mount point lies inside the persist directory");
        if (is_below(mount->persist_path, path))
                return complain(path, "the mount point lies above the persist directory");
        return EXIT_SUCCESS;
}

/* fsname= with the commas and backslashes of the path escaped, since libfuse splits options at commas. */
static int add_fuse_options(struct options *options, const char *persist_path)
{
        char name[2 * PATH_MAX + 32] = "-osubtype=chromafs,fsname=";
        size_t n = strlen(name);
        for (const char *p = options->privacy ? "chromafs" : persist_path; *p != '\0' && n < sizeof(name) - 3; p++) {
                if (*p == ',' || *p == '\\')
                        name[n++] = '\\';
                name[n++] = *p;
        }
        name[n] = '\0';
        int r = fuse_opt_add_arg(&options->fuse, name);
        if (r == 0 && options->allow_other)
                r = fuse_opt_add_arg(&options->fuse, "-odefault_permissions");
        return r;
}

static int loop(struct fuse_session *session)
{
        struct fuse_loop_config *config = fuse_loop_cfg_create();
        fuse_loop_cfg_set_max_threads(config, THREADS_MAX);
        int r = fuse_session_loop_mt(session, config);
        fuse_loop_cfg_destroy(config);
        /* A lazy unmount under readers ends the connection in one of these ways. */
        bool unmounted = r == -ENODEV || r == -ECONNABORTED || r == -ENOTCONN;
        return r < 0 && !unmounted ? complain("the session ended", strerror(-r)) : EXIT_SUCCESS;
}

/* What can fail without a thread fails before the fork, while there is someone to tell. */
static int prepare(struct mount *mount)
{
        mount->inodes = inodes_new();
        mount->entries = entries_cache_new(mount->options);
        return mount->inodes != NULL && mount->entries != NULL ? EXIT_SUCCESS : complain("no memory", "");
}

static int start_log(struct mount *mount, int dirfd, struct error *e)
{
        char name[CACHE_NAME_SIZE];
        struct wal_place place = { .name = name };
        CLEANUP(close)
        int fd = cache_open(mount->persist_path);
        place.dirfd = fd;
        cache_name(mount->persist_path, name, &place.subject);
        return wal_new(dirfd, &place, mount->options->skip_count > 0, &mount->wal, e);
}

static int start(struct mount *mount, int dirfd, struct error *e)
{
        int r = observer_new(dirfd, &mount->observer, e);
        if (r == 0)
                r = start_log(mount, dirfd, e);
        if (r == 0)
                r = operations_new(dirfd, &mount->operations, e);
        return r < 0 ? r : waiting_new(&mount->waiting, e);
}

static void *tidy_in_background(void *mount)
{
        control_tidy(mount);
        return NULL;
}

/* Beside the requests: the mount waits for nothing. True when there is a thread to join. */
static bool start_tidying(struct mount *mount, pthread_t *ret)
{
        bool may = !mount->options->read_only && !mount->newer;
        return may && pthread_create(ret, NULL, tidy_in_background, mount) == 0;
}

/* After the fork of fuse_daemonize: connections and threads do not survive it. */
static int serve(struct fuse_session *session, struct mount *mount, int dirfd)
{
        struct error error = { 0 };
        int status = prepare(mount);
        if (status != EXIT_SUCCESS)
                return status;
        if (fuse_daemonize(mount->options->foreground) != 0)
                return complain("can't go to the background", strerror(errno));
        if (start(mount, dirfd, &error) < 0)
                return complain(error.text, "");
        mount->session = session;
        pthread_t tidying;
        bool tidies = start_tidying(mount, &tidying);
        status = loop(session);
        fuse_session_exit(session); /* when it was unmounted: what runs is to end */
        if (tidies)
                (void) pthread_join(tidying, NULL);
        mount->waiting = waiting_free(mount->waiting);
        return status;
}

static int mount_and_serve(struct mount *mount, int dirfd)
{
        struct options *options = mount->options;
        if (add_fuse_options(options, mount->persist_path) != 0)
                return complain("no memory", "");
        opened_init(&mount->opened);
        struct fuse_session *session = fuse_session_new(&options->fuse, &ll_operations, sizeof(ll_operations), mount);
        if (session == NULL)
                return EXIT_USAGE; /* libfuse has said which option it does not know */
        int status = EXIT_FAILURE;
        if (fuse_set_signal_handlers(session) == 0) {
                if (fuse_session_mount(session, options->mountpoint) == 0) {
                        status = serve(session, mount, dirfd);
                        fuse_session_unmount(session);
                }
                fuse_remove_signal_handlers(session);
        }
        fuse_session_destroy(session);
        opened_clear(&mount->opened);
        mount->operations = operations_free(mount->operations);
        mount->inodes = inodes_free(mount->inodes);
        mount->wal = wal_free(mount->wal);
        mount->observer = observer_free(mount->observer);
        mount->entries = entries_cache_free(mount->entries);
        return status;
}

/* A descriptor below 3 that is closed would become that of a directory or a database: going to the background, and starting a worker, put /dev/null there. */
static int keep_low_descriptors(void)
{
        int fd;
        do
                fd = open("/dev/null", O_RDWR);
        while (fd >= 0 && fd <= STDERR_FILENO);
        if (fd < 0)
                return -1;
        return close(fd);
}

/* Each open file of a segment costs a descriptor. */
static void raise_descriptor_limit(void)
{
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void) setrlimit(RLIMIT_NOFILE, &limit);
        }
}

static int run(struct options *options)
{
        struct mount mount = { .options = options };
        struct error error = { 0 };
        CLEANUP(close)
        int dirfd = -1;
        if (observer_probe(options->persist_dir, &dirfd, &mount.newer, &error) < 0)
                return complain(error.text, "");
        CLEANUP(free)
        char *path = realpath(options->persist_dir, NULL);
        if (path == NULL)
                return complain(options->persist_dir, strerror(errno));
        mount.persist_path = path;
        if (mount.newer) {
                (void) fprintf(stderr, "chromafs: warning: %s was written by a Chroma newer than all known: mounted read-only\n",
                               path);
                options->read_only = true;
                if (fuse_opt_add_arg(&options->fuse, "-oro") != 0)
                        return complain("no memory", "");
        }
        raise_descriptor_limit();
        (void) signal(SIGCHLD, SIG_DFL); /* whoever started us may have ignored it, and workers are waited for */
        (void) signal(SIGXFSZ, SIG_IGN); /* a cache that must not grow is no reason to end */
        int status = check_mountpoint(&mount);
        return status == EXIT_SUCCESS ? mount_and_serve(&mount, dirfd) : status;
}

#ifdef __GLIBC__
/* What is rendered comes and goes in pieces of up to a megabyte, in many threads: by default each of them is mapped and unmapped again, or stays in an arena of its
   thread. */
static void tune_malloc(void)
{
        (void) mallopt(M_ARENA_MAX, 1);
        (void) mallopt(M_MMAP_THRESHOLD, 4 << 20);
        (void) mallopt(M_TRIM_THRESHOLD, 8 << 20);
}
#else
static void tune_malloc(void)
{
}
#endif

int main(int argc, char **argv)
{
        struct options options;
        int status = EXIT_SUCCESS;
        if (argc > 1 && strcmp(argv[1], WORKER_ARGUMENT) == 0)
                return worker_main();
        tune_malloc();
        if (keep_low_descriptors() < 0)
                return complain("/dev/null", strerror(errno));
        if (options_parse(argc, argv, &options) < 0)
                status = EXIT_USAGE;
        else if (options.help)
                options_usage();
        else if (options.version)
                print_version();
        else
                status = run(&options);
        options_clear(&options);
        return status;
}
