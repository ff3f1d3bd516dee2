/*
 * What a commit takes, guessed from above for room and roughly for time.
 *
 * - Disk: the files of the new index (vector.h), and for the rows that go into SQLite's tables their text: a full-text index has up to 7 times that (rebuild_fts.c), and the journal the pages
 *   that they change, which are never more than the file has.
 * - Time: an insertion into an index of HNSW visits some ef_construction elements, whose links are M each; measured with 384 dimensions, M 16 and ef_construction 100 on one thread it takes 0.35 ms.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ops/commit/plan.h"
#include "ops/operation/room.h"

#define TEXT_FACTOR 8
#define BYTES_PER_ROW 1024
#define PAGES_PER_ROW 16 /* of tables and indexes that a record touches */
#define AT_LEAST (1u << 20)
#define SECONDS_PER_STEP 0.57e-9 /* 0.35 ms / (384 * 16 * 100) */
#define SECONDS_PER_RECORD 60e-6
#define BYTES_PER_SECOND 200e6

DEFINE_CLEANUP(FILE *, fclose)

/* a * b + c, at most UINT64_MAX. */
static uint64_t times_plus(uint64_t a, uint64_t b, uint64_t c)
{
        uint64_t result;
        return __builtin_mul_overflow(a, b, &result) || __builtin_add_overflow(result, c, &result) ? UINT64_MAX : result;
}

static uint64_t database_room(const struct commit_plan *plan)
{
        const struct catalog *c = plan->session->catalog;
        uint64_t file = times_plus(c->page_count, c->page_size, 0);
        uint64_t growth = times_plus(plan->record_bytes, TEXT_FACTOR, times_plus(plan->record_rows, BYTES_PER_ROW, AT_LEAST));
        uint64_t journal = times_plus(times_plus(plan->record_rows, PAGES_PER_ROW, 0), c->page_size, AT_LEAST);
        return times_plus(growth, 1, journal < file ? journal : file);
}

static double seconds(const struct commit_plan *plan)
{
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        unsigned threads = plan->session->threads != 0 ? plan->session->threads : processors > 0 ? (unsigned) processors : 1;
        double insertions = (double) plan->vectors.adds + 2 * (double) plan->vectors.updates;
        double step = (double) plan->rules.dimension * (double) plan->config.m * (double) plan->config.ef_construction;
        double building = insertions * step * SECONDS_PER_STEP / threads;
        return building + (double) plan->record_rows * SECONDS_PER_RECORD + (double) plan->disk / BYTES_PER_SECOND;
}

void commit_plan_estimate(struct commit_plan *plan)
{
        if (!commit_plan_has_work(plan))
                return;
        plan->memory = plan->builds ? commit_vector_memory(plan->vector) : 0;
        plan->disk = times_plus(plan->builds ? commit_vector_disk(plan->vector) : 0, 1, database_room(plan));
        plan->seconds = seconds(plan);
}

/* What the kernel thinks can be had without pushing others out, and swap; UINT64_MAX when it does not tell. */
static uint64_t free_memory(void)
{
        CLEANUP(fclose)
        FILE *file = fopen("/proc/meminfo", "re");
        char line[128];
        uint64_t sum = 0, kib;
        bool known = false;
        while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
                bool available = sscanf(line, "MemAvailable: %" SCNu64 " kB", &kib) == 1;
                if (available || sscanf(line, "SwapFree: %" SCNu64 " kB", &kib) == 1)
                        sum = times_plus(kib, 1024, sum);
                known = known || available;
        }
        return known ? sum : UINT64_MAX;
}

int commit_plan_check_room(struct commit_plan *plan)
{
        struct operation *op = plan->session->op;
        uint64_t have = free_memory();
        if (plan->memory > have)
                return error_set(&op->error, ENOMEM,
                                 "the index may need %" PRIu64 " bytes of memory, and there are %" PRIu64 " bytes free",
                                 plan->memory, have);
        return room_check(op->dirfd, plan->disk, plan->builds ? "the new index and the journal" : "the journal", &op->error);
}
