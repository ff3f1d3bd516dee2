/*
 * What a commit takes, guessed from above for room and roughly for time.
 *
 * - Disk: the files of the new index (vector.h), and for the rows that go into SQLite's tables their text: a full-text index has up to 7 times that (rebuild_fts.c), and the journal the pages
 *   that they change, which are never more than the file has.
 * - Time: the processor's, with processors that have nothing else to do; what disks take for it is not known before.
 *
 * What was measured (AVX-512, one thread, l2, uniform random vectors, which are harder than most; milliseconds for an insertion on average, ef_construction 100, M 16 but where it says
 * otherwise, and as estimated here):
 *
 *   2,000 × 384  0.10, 0.15       20,000 × 8   0.04, 0.05       20,000 × 128   0.12, 0.12       100,000 × 32   0.12, 0.10
 *   5,000 × 1536 0.62, 0.63       20,000 × 32  0.07, 0.07       20,000 × 384   0.29, 0.26       100,000 × 128* 0.20, 0.18
 *   20,000 × 32, M 8 0.06, 0.06; M 48 0.10, 0.10; ef 300 0.19, 0.20                             1,000,000 × 8* 0.11, 0.14
 *
 * (*: a whole commit, of which inserting is nearly all. Whole commits of 20,000 × 384 took 0.25 to 0.31.) With two threads each takes as much of a processor as with one, within a tenth;
 * what that makes of the clock's time was not measured. An update mends the links of all that were linked to the element, on one thread, and took 2.0 ms where an insertion is estimated at
 * 0.33. To load, write and check an index of 1,000,000 × 8 took 2.7 s; 1,000,000 rows of the log that were applied, to look at them three times, 5.5 s with the pickle; a record
 * with four keys and a document of 120 bytes 45 us, with one of 4.8 KB 240 us.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <unistd.h>

#include "ops/commit/plan.h"
#include "ops/hnsw/hnsw.h"
#include "ops/memory_available.h"
#include "ops/operation/room.h"

#define TEXT_FACTOR 8
#define BYTES_PER_ROW 1024
#define PAGES_PER_ROW 16 /* of tables and indexes that a record touches */
#define AT_LEAST (1u << 20)
#define CACHE_BYTES (32u << 20)   /* what write_db.c gives SQLite */
#define PROGRAM_BYTES (16u << 20) /* of the worker itself, and what its libraries keep */

/* Seconds of an insertion on average: per element that it looks at, and for each dimension of that. */
#define LOOK_SECONDS 0.5e-6
#define DIMENSION_SECONDS 5.5e-9
#define USUAL_ELEMENTS 20e3 /* where that holds: it grows with the fourth root of how many there are, */
#define GROWTH 0.25
#define M_SHARE 0.75 /* and is this share, and one M_UNITth for each link */
#define M_UNIT 64.0
#define UPDATE_INSERTIONS 6.0 /* as long as that many */

#define SECONDS_PER_RECORD 35e-6
#define SECONDS_PER_RECORD_BYTE 70e-9
#define SECONDS_PER_ROW 5.5e-6 /* of the log, applied or not */
#define SECONDS_MAX 1e9
#define BYTES_PER_SECOND 250e6 /* of an index that is loaded, written and checked */
#define SECONDS_PER_ENTRY 2e-6 /* of the pickle of an index that is made anew, and of its records */

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

/* At most: those of other collections between them count too, and numbers that no row has. */
static double log_rows(const struct commit_plan *plan)
{
        double rows = 0;
        for (size_t i = 0; plan->runs != NULL && i < plan->runs->count; i++)
                rows += (double) plan->runs->list[i].last - (double) plan->runs->list[i].first + 1;
        return rows;
}

static double thread_count(const struct commit_plan *plan)
{
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        double most = processors > 0 ? (double) processors : 1, wanted = plan->session->threads;
        return wanted > 0 && wanted < most ? wanted : most;
}

/* Of the index that is made. */
static const struct hnsw_config *new_config(const struct commit_plan *plan)
{
        return plan->session->rebuild != NULL ? &plan->change.after : &plan->config;
}

/* Of an index that grows from nothing to so many elements, on one thread. */
static double growing_seconds(const struct commit_plan *plan, double elements)
{
        const struct hnsw_config *config = new_config(plan);
        double m = fmin(fmax((double) config->m, 2), HNSW_M_MAX); /* they may be anything here */
        double ef = fmin(fmax((double) config->ef_construction, 1), INT32_MAX);
        double look = LOOK_SECONDS + (double) plan->rules.dimension * DIMENSION_SECONDS;
        return elements * (ef > m ? ef : m) * look * (M_SHARE + m / M_UNIT) * pow(elements / USUAL_ELEMENTS, GROWTH);
}

/* length.bin has 4 bytes for each, and for some that are none yet. */
static double old_elements(const struct commit_plan *plan)
{
        return (double) commit_vector_stamps(plan->vector)->files[INDEX_LENGTH].size / 4;
}

static double changing_seconds(const struct commit_plan *plan)
{
        double old = old_elements(plan), all = old + (double) plan->vectors.adds;
        double adding = growing_seconds(plan, all) - growing_seconds(plan, old);
        double update = UPDATE_INSERTIONS * (growing_seconds(plan, all + 1) - growing_seconds(plan, all));
        return adding / thread_count(plan) + (double) plan->vectors.updates * update;
}

/* Of the old index nothing is added to: each vector that it keeps is inserted, and each that the log changes is one of these. */
static double rebuilding_seconds(const struct commit_plan *plan)
{
        struct commit_saved saved = commit_vector_saved(plan->vector);
        double all = (double) saved.kept + (double) saved.logged;
        return growing_seconds(plan, all) / thread_count(plan) + all * SECONDS_PER_ENTRY;
}

static double index_seconds(const struct commit_plan *plan)
{
        double building = plan->session->rebuild != NULL ? rebuilding_seconds(plan) : changing_seconds(plan);
        return building + (double) commit_vector_disk(plan->vector) / BYTES_PER_SECOND;
}

static double seconds(const struct commit_plan *plan)
{
        double records = (double) plan->record_rows * SECONDS_PER_RECORD + (double) plan->record_bytes * SECONDS_PER_RECORD_BYTE;
        return fmin((plan->builds ? index_seconds(plan) : 0) + records + log_rows(plan) * SECONDS_PER_ROW, SECONDS_MAX);
}

/* SQLite's cache is filled when the memory of the index is free again. */
static uint64_t memory(const struct commit_plan *plan)
{
        uint64_t building = plan->builds ? commit_vector_memory(plan->vector) : 0, tables = database_room(plan);
        uint64_t writing = plan->record_rows == 0 ? 0 : tables < CACHE_BYTES ? tables : CACHE_BYTES;
        return times_plus(building > writing ? building : writing, 1, PROGRAM_BYTES);
}

void commit_plan_estimate(struct commit_plan *plan)
{
        if (!commit_plan_has_work(plan))
                return;
        plan->memory = memory(plan);
        plan->disk = times_plus(plan->builds ? commit_vector_disk(plan->vector) : 0, 1, database_room(plan));
        plan->seconds = seconds(plan);
}

int commit_plan_check_room(struct commit_plan *plan)
{
        struct operation *op = plan->session->op;
        uint64_t have = memory_available();
        if (plan->memory > have)
                return error_set(&op->error, ENOMEM,
                                 "the index may need %" PRIu64 " bytes of memory, and there are %" PRIu64 " bytes free",
                                 plan->memory, have);
        return room_check(op->dirfd, plan->disk, plan->builds ? "the new index and the journal" : "the journal", &op->error);
}
