/*
 * Plans on a read-only connection, checks there all that can be lost, and then changes in one transaction: clean_plan.c, clean_check.c,
 * clean_write.c. Someone who commits in between makes the plan worthless; it is made again, TRIES times.
 */
#include "ops/operation/clean.h"

#include <errno.h>
#include <stdio.h>

#include "ops/file.h"
#include "ops/operation/clean_check.h"
#include "ops/operation/clean_result.h"
#include "ops/operation/clean_write.h"
#include "ops/operation/room.h"

#define TRIES 3
#define ROOM_MARGIN (1u << 20)

static const struct option_spec options[] = {
        { .name = "vacuum",
          .type = OPTION_FLAG,
          .by_default = "1",
          .help = "give the room back to the file system; 1, said so, also writes a file anew that has none to give back; 0 leaves "
                  "the file as large as it is" },
        { .name = NULL },
};

static bool wants_vacuum(const struct operation *op)
{
        const struct option_value *vacuum = command_option(op->command, "vacuum");
        return !vacuum->given || vacuum->flag;
}

/* Who asks for it by name gets it also where no page is free: between the rows of a page may be bytes of deleted ones. */
static bool needs_vacuum(const struct operation *op, const struct clean_plan *plan)
{
        bool is_asked = command_option(op->command, "vacuum")->given;
        return wants_vacuum(op) && (is_asked || clean_plan_rows_to_go(plan) > 0 || plan->catalog->free_pages > 0);
}

static int check_room(struct operation *op, const struct clean_plan *plan, bool vacuum)
{
        uint64_t size = 0, twice = 0;
        bool changes = plan->sentinel || clean_plan_rows_to_go(plan) > 0;
        if (__builtin_mul_overflow(plan->catalog->page_count, plan->catalog->page_size, &size) ||
            __builtin_add_overflow(size, ROOM_MARGIN, &size) || __builtin_mul_overflow(size, 2u, &twice))
                return error_set(&op->error, EILSEQ, "the database says that it is larger than any file");
        if (!vacuum)
                return changes ? room_check(op->dirfd, size, "the journal of the deletion", &op->error) : 0;
        int r = room_check(op->dirfd, twice, "the journal and the copy of the VACUUM", &op->error);
        if (r == -ENOSPC && changes && room_check(op->dirfd, size, "the journal of the deletion", NULL) == 0) {
                struct error without = op->error;
                (void) error_set(&op->error, ENOSPC, "%.400s; there is room with vacuum=0", without.text);
        }
        return r;
}

/* Fails when one collection was asked for and can't be cleaned; the result says why all the same. */
static int check_asked(struct operation *op, const struct clean_plan *plan, const struct clean_outcome *outcome)
{
        for (size_t i = 0; op->request->collection_id != NULL && i < plan->count; i++) {
                const struct clean_collection *item = &plan->collections[i];
                if (!item->wanted || item->kept == NULL || item->rows == 0)
                        continue;
                const struct clean_reason *kept = item->kept;
                int r = clean_result(op, plan, outcome);
                if (r < 0)
                        return r;
                return error_set(&op->error, kept->error.code == -EAGAIN ? EBUSY : EILSEQ, "%.350s; nothing was deleted%s%s",
                                 kept->error.text, kept->cure != NULL ? "; what cures it: " : "",
                                 kept->cure != NULL ? kept->cure : "");
        }
        return 0;
}

static int make_plan(struct operation *op, struct clean_plan **ret)
{
        CLEANUP(db_close)
        struct db *db = NULL;
        CLEANUP(clean_plan_free)
        struct clean_plan *plan = NULL;
        int r = operation_read(op, &db);
        if (r == 0)
                r = clean_plan_new(op, db, &plan);
        if (r == 0)
                r = clean_check(op, db, plan, CLEAN_MEMORY_MAX);
        if (r < 0)
                return r;
        *ret = TAKE(plan);
        return 0;
}

static uint64_t database_size(const struct operation *op)
{
        return file_stamp_at(op->dirfd, DB_FILE).size;
}

static void set_reason(struct clean_vacuum *vacuum, const char *reason)
{
        (void) snprintf(vacuum->reason, sizeof(vacuum->reason), "%s", reason);
}

static int carry_out(struct operation *op, struct clean_plan *plan, struct clean_outcome *outcome)
{
        bool vacuum = needs_vacuum(op, plan);
        set_reason(&outcome->vacuum, wants_vacuum(op) ? "there is nothing to give back" : "vacuum=0");
        int r = check_asked(op, plan, outcome);
        if (r == 0)
                r = check_room(op, plan, vacuum);
        if (r < 0)
                return r;
        if (op->command->dry_run && vacuum)
                set_reason(&outcome->vacuum, "dry_run=1");
        if (op->command->dry_run || (!vacuum && !plan->sentinel && clean_plan_rows_to_go(plan) == 0))
                return 0;
        return clean_write(op, plan, vacuum, &outcome->vacuum);
}

static int run_once(struct operation *op)
{
        CLEANUP(clean_plan_free)
        struct clean_plan *plan = NULL;
        struct clean_outcome outcome = { 0 };
        int r = make_plan(op, &plan);
        if (r < 0 || plan == NULL)
                return r;
        outcome.bytes_before = outcome.bytes_after = database_size(op);
        r = carry_out(op, plan, &outcome);
        if (r < 0)
                return r;
        outcome.bytes_after = database_size(op);
        return operation_told(op, clean_result(op, plan, &outcome));
}

static int run(struct operation *op)
{
        int r = -ESTALE;
        for (int i = 0; r == -ESTALE && i < TRIES; i++)
                r = run_once(op);
        if (r == -ESTALE)
                return error_set(&op->error, EBUSY, "another process writes to the database all the time: nothing was changed");
        return r == -EINTR || r == -ECANCELED ? error_set(&op->error, ECANCELED, "clean was cancelled: the directory is as it was")
                                              : r;
}

const struct operation_type operation_clean = {
        .name = "clean",
        .summary = "Deletes the rows of the write-ahead log that both segments of their collection have applied, and gives the "
                   "room back",
        .forced = "it deletes what that process has applied and saved, as Chroma's own purge does, and makes it wait meanwhile",
        .options = options,
        .run = run,
};
