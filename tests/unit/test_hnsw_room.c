/* Where the records lie, and what is left of an index for which there is no room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/hnsw/room.h"
#include "tests/unit/hnsw_build.h"

#define DIMENSION 12u
#define COUNT 500u
#define MIB (1u << 20)

struct place {
        char path[64];
        int fd;
};

static int make_place(void **state)
{
        struct place *p = calloc(1, sizeof(*p));
        (void) strcpy(p->path, "/tmp/chromafs-room.XXXXXX");
        if (mkdtemp(p->path) == NULL)
                return -1;
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *state = p;
        return p->fd < 0 ? -1 : 0;
}

static int end_place(void **state)
{
        struct place *p = *state;
        (void) close(p->fd);
        int r = rmdir(p->path); /* fails when something was left in it */
        free(p);
        return r;
}

/* Everything but where it lies. */
static void assert_same(const struct hnsw *a, const struct hnsw *b)
{
        struct hnsw_info x = hnsw_info(a), y = hnsw_info(b);
        assert_true(x.count == y.count && x.deleted == y.deleted && x.max_level == y.max_level && x.entry_point == y.entry_point);
        assert_true(graph_sum(a) == graph_sum(b));
        for (uint32_t id = 0; id < x.count; id++) {
                assert_memory_equal(hnsw_vector(a, id), hnsw_vector(b, id), x.params.dimension * sizeof(float));
                assert_true(hnsw_label(a, id) == hnsw_label(b, id) && hnsw_is_deleted(a, id) == hnsw_is_deleted(b, id));
        }
}

static void a_file_does_as_well_as_memory(void **state)
{
        struct place *p = *state;
        float *vectors = random_floats(41, (size_t) 2 * COUNT * DIMENSION);
        struct hnsw_params params = plain_params(DIMENSION);
        struct hnsw *index[2];
        for (int i = 0; i < 2; i++) {
                params.stage_fd = i == 0 ? -1 : p->fd;
                index[i] = build_index(&params, vectors, COUNT, 1);
                assert_int_equal(hnsw_delete(index[i], 3, NULL), 0);
                assert_int_equal(hnsw_reserve(index[i], COUNT, NULL), 0);
                assert_int_equal(add_vectors(index[i], vectors + (size_t) COUNT * DIMENSION, COUNT, COUNT + 1, 1), 0);
                assert_null(graph_fault(index[i]));
        }
        assert_same(index[0], index[1]);
        (void) hnsw_free(index[0]);
        (void) hnsw_free(index[1]);
        free(vectors);
}

static void more_than_there_is(void **state)
{
        (void) state;
        struct hnsw_params params = plain_params(HNSW_DIMENSION_MAX);
        struct hnsw *index = NULL;
        struct error e = { 0 };
        assert_int_equal(hnsw_new(&params, 1u << 24, &index, &e), -ENOMEM);
        assert_non_null(strstr(e.text, "MiB"));
        assert_int_equal(hnsw_new(&params, UINT32_MAX, &index, &e), -ENOMEM);
        assert_int_equal(hnsw_new(&params, UINT64_MAX, &index, &e), -ENOMEM);
        assert_null(index);
}

static void a_reservation_that_fails_changes_nothing(void **state)
{
        struct place *p = *state;
        float *vectors = random_floats(42, (size_t) COUNT * 2000);
        for (int i = 0; i < 2; i++) {
                struct hnsw_params params = plain_params(i == 0 ? 2000 : DIMENSION);
                params.stage_fd = i == 0 ? -1 : p->fd;
                struct hnsw *index = build_index(&params, vectors, 100, 1);
                uint64_t sum = graph_sum(index);
                static const uint64_t too_many[] = { UINT64_MAX, UINT64_MAX - 99, UINT64_MAX - 100, UINT32_MAX, 4000000000 };
                for (size_t j = 0; j < (i == 0 ? 5 : 4); j++) {
                        struct error e = { 0 };
                        assert_int_equal(hnsw_reserve(index, too_many[j], &e), -ENOMEM);
                        assert_true(e.text[0] != '\0' && hnsw_info(index).capacity == 100);
                }
                assert_int_equal(hnsw_reserve(index, 1, NULL), 0);
                assert_int_equal(add_vectors(index, vectors, 1, 101, 1), 0);
                assert_null(graph_fault(index));
                assert_true(graph_sum(index) != sum);
                (void) hnsw_free(index);
        }
        free(vectors);
}

static void rooms_grow(void **state)
{
        struct place *p = *state;
        for (int i = 0; i < 2; i++) {
                struct hnsw_room room = { .fd = -1 };
                assert_int_equal(hnsw_room_open(i == 0 ? -1 : p->fd, 0, &room, NULL), 0);
                assert_int_equal(hnsw_room_grow(&room, 100, NULL), 0);
                memset(room.bytes, 7, 100);
                assert_int_equal(hnsw_room_grow(&room, (size_t) 5 * MIB, NULL), 0);
                for (size_t at = 0; at < 5 * MIB; at++)
                        assert_int_equal(room.bytes[at], at < 100 ? 7 : 0);
                assert_int_equal(hnsw_room_grow(&room, 50, NULL), 0);
                assert_int_equal(room.size, 5 * MIB);
                hnsw_room_close(&room);
                hnsw_room_close(&room);
        }
}

/* --- in a child: a file system, or a limit, that is too small --- */

#define CHECK(condition)                                                                                                           \
        do {                                                                                                                       \
                if (!(condition)) {                                                                                                \
                        (void) fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                             \
                        return 1;                                                                                                  \
                }                                                                                                                  \
        } while (0)

/* Two MiB fit, eight do not; what did not fit takes no room. */
static int fill(int dirfd, int code)
{
        struct hnsw_room room = { .fd = -1 };
        struct error e = { 0 };
        CHECK(hnsw_room_open(dirfd, (size_t) 8 * MIB, &room, &e) == code && room.bytes == NULL);
        CHECK(strstr(e.text, "8 MiB") != NULL || strstr(e.text, "9 MiB") != NULL);
        CHECK(hnsw_room_open(dirfd, (size_t) 2 * MIB, &room, &e) == 0);
        memset(room.bytes, 1, room.size);
        CHECK(hnsw_room_grow(&room, (size_t) 8 * MIB, &e) == code && room.size == 2 * MIB);
        CHECK(hnsw_room_grow(&room, (size_t) 3 * MIB, &e) == 0);
        memset(room.bytes, 1, room.size);
        hnsw_room_close(&room);
        return 0;
}

static int limited(const struct place *p)
{
        struct rlimit limit = { (rlim_t) 4 * MIB, (rlim_t) 4 * MIB };
        CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && setrlimit(RLIMIT_FSIZE, &limit) == 0);
        return fill(p->fd, -EFBIG);
}

static int small(const struct place *p)
{
        CHECK(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
        CHECK(mount("tmpfs", p->path, "tmpfs", 0, "size=4m") == 0);
        int fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* the one from before leads below the mount */
        CHECK(fd >= 0 && fill(fd, -ENOSPC) == 0);
        return 0;
}

static void run_child(int (*what)(const struct place *), const struct place *p)
{
        int status = -1;
        pid_t pid = fork();
        if (pid == 0)
                _exit(what(p));
        assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
        assert_int_equal(status, 0);
}

static void a_file_that_may_not_grow(void **state)
{
        run_child(limited, *state);
}

static void a_file_system_that_is_full(void **state)
{
        if (geteuid() != 0)
                skip();
        run_child(small, *state);
}

static void a_folder_that_is_none(void **state)
{
        (void) state;
        struct hnsw_room room = { .fd = -1 };
        struct error e = { 0 };
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        assert_int_equal(hnsw_room_open(fd, MIB, &room, &e), -ENOTDIR);
        assert_true(e.text[0] != '\0');
        (void) close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_place, end_place)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(a_file_does_as_well_as_memory),
                TEST(more_than_there_is),
                TEST(a_reservation_that_fails_changes_nothing),
                TEST(rooms_grow),
                TEST(a_file_that_may_not_grow),
                TEST(a_file_system_that_is_full),
                TEST(a_folder_that_is_none),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
