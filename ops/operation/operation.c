/*
 * What surrounds every operation. Whatever may refuse it comes before the first change, and that is before .chromafs/ is made: a run that is refused has
 * left no trace. From then on it has started, and is in the history, however it ends.
 *
 * What follows the operation (its line of history, old trash) can't make it fail: the directory has changed already, and a user who was told otherwise would
 * do it again. Trash is emptied only after a success: what a failed operation could not put back lies there.
 */
#include "ops/operation/operation.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "ops/clock.h"
#include "ops/json.h"
#include "ops/operation/dir_lock.h"
#include "ops/operation/guard.h"
#include "ops/operation/history.h"
#include "ops/operation/operation_outcome.h"
#include "ops/operation/tidy.h"
#include "ops/version.h"

struct run {
        struct operation op;
        struct command *command;
        int dirfd, lock;         /* ours, or -1 */
        bool started;            /* past everything that refuses */
        struct error unrecorded; /* why there can be no history */
};

/* A lease that is broken sends SIGIO, which ends a process; a limit of file size and a reader that went away shall be errnos. */
static void ignore_signals(void)
{
        static const int signals[] = { SIGIO, SIGPIPE, SIGXFSZ };
        for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
                (void) signal(signals[i], SIG_IGN);
}

/* Makes the directory, by its descriptor, the working directory: what is opened by name from now on is in it, even when it gets another name. */
static int enter(struct run *run, int dirfd)
{
        run->dirfd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (run->dirfd < 0 || fchdir(run->dirfd) < 0) {
                int err = errno;
                return error_set(&run->op.error, err, "the persist directory can't be entered: %s", strerror(err));
        }
        run->op.dirfd = run->dirfd;
        return 0;
}

static int check_version(struct operation *op)
{
        CLEANUP(db_close)
        struct db *db = NULL;
        struct chroma_version version = { 0 };
        int r = operation_read(op, &db);
        if (r == 0)
                r = db_begin(db, &op->error);
        if (r == 0)
                r = chroma_version_read(db, &version, &op->error);
        if (r < 0)
                return r;
        if (version.newer)
                return error_set(
                        &op->error, EOPNOTSUPP,
                        "the directory was written by a Chroma that is newer than all that this chromafs knows: update chromafs");
        return 0;
}

/* The owner's Chroma must be able to go on with what we leave, and nobody else has a say in its data. */
static int check_owner(struct operation *op)
{
        struct file_stamp database = file_stamp_at(op->dirfd, DB_FILE);
        uid_t me = geteuid();
        if (!database.present)
                return error_set(&op->error, ENOENT, "there is no " DB_FILE " in the directory");
        if (me != 0 && me != database.uid)
                return error_set(&op->error, EACCES,
                                 DB_FILE
                                 " belongs to user %u: only that user and root may run operations on it, and this is user %u",
                                 database.uid, me);
        return 0;
}

/* Who would be in the way, for those who are not refused: under dry_run and force. A look that fails has seen nothing. */
static int look_around(struct operation *op)
{
        struct guard_finding finding = { 0 };
        if (guard_look(op->dirfd, &finding, NULL) < 0)
                finding = (struct guard_finding){ .blind = true };
        op->live = finding.writer || finding.blind;
        return operation_add_user(op->result, &finding) < 0 ? error_set(&op->error, ENOMEM, "no memory for the result") : 0;
}

static int check_users(struct operation *op)
{
        if (op->type->beside_live)
                return 0;
        return op->command->dry_run || op->command->force ? look_around(op) : guard_check(op->dirfd, &op->error);
}

/* Everything that may refuse the operation. */
static int admit(struct run *run, int dirfd)
{
        struct operation *op = &run->op;
        int r = command_parse(op->type->options, op->request->line, op->request->line_len, &run->command, &op->error);
        op->command = run->command;
        if (r == 0)
                r = enter(run, dirfd);
        if (r == 0)
                r = check_version(op);
        if (r == 0)
                r = check_owner(op);
        if (r == 0)
                r = run->lock = dir_lock(op->dirfd, &op->error);
        return r < 0 ? r : check_users(op);
}

/* A silent operation is tidying: where there is nothing to tidy not even .chromafs/ shall come into being. */
static bool has_work(const struct operation *op)
{
        return !op->type->silent || op->command->dry_run || tidy_is_needed(op->dirfd);
}

/* What a crash left is tidied first, unless someone may be using it: a forced operation is not alone. Old trash makes room perhaps; what of it can't be
   removed is nothing to refuse an operation for, and follow_up() says it. */
static int tidy_first(struct operation *op)
{
        bool may = !op->type->silent && !op->type->beside_live && !op->command->force;
        if (!may || !tidy_is_needed(op->dirfd))
                return 0;
        (void) trash_expire(op->state, NULL);
        return tidy_stage(op->state, &op->error);
}

/* What only reads the directory (a backup, of a full disk perhaps) goes on where nothing can be written to it. */
static int open_state(struct run *run)
{
        struct operation *op = &run->op;
        bool may_miss = op->type->beside_live;
        int r = state_dir_open(op->dirfd, &op->state, may_miss ? &run->unrecorded : &op->error);
        run->started = r == 0 || may_miss;
        return run->started ? 0 : r;
}

static int work(struct run *run)
{
        struct operation *op = &run->op;
        int r = operation_progress(op, "preparing", 0, 0);
        if (r == 0 && !op->command->dry_run)
                r = open_state(run);
        if (r == 0 && op->state != NULL)
                r = tidy_first(op);
        return r < 0 ? r : op->type->run(op);
}

/* One errno for a cancel: EINTR would make a user's tools write the command again. A failure always has its sentence. */
static int finish_error(struct operation *op, int r)
{
        if (r >= 0)
                return 0;
        if (r == -EINTR)
                return error_set(&op->error, ECANCELED, "%s was cancelled: the directory is as it was", op->type->name);
        if (op->error.text[0] == '\0')
                return error_set(&op->error, -r, "%s failed: %s", op->type->name, strerror(-r));
        op->error.code = r;
        return r;
}

static int run_inside(struct run *run, int dirfd)
{
        struct operation *op = &run->op;
        op->result = json_object_new_object();
        if (op->result == NULL)
                return finish_error(op, error_set(&op->error, ENOMEM, "no memory for the result"));
        int r = admit(run, dirfd);
        if (r == -EBUSY && op->type->silent)
                return 0; /* whoever is in the way tidies, or the next one does */
        if (r == 0 && has_work(op))
                r = work(run);
        return finish_error(op, r);
}

static void add_sentence(struct json_object *outcome, const char *key, const struct error *error)
{
        struct json_object *sentence = json_string(error->text);
        if (sentence != NULL)
                (void) json_add(outcome, key, sentence);
}

/* What is left to do when it is over, under the lock still. */
static void follow_up(struct run *run, struct json_object *outcome, int result)
{
        struct operation *op = &run->op;
        struct error *error = &run->unrecorded;
        if (!run->started || outcome == NULL)
                return;
        if (!op->type->silent && (op->state == NULL || history_add(op->state, outcome, error) < 0))
                add_sentence(outcome, "history_error", error);
        if (result == 0 && op->state != NULL && trash_expire(op->state, error) < 0)
                add_sentence(outcome, "trash_error", error);
}

static void run_clear(struct run *run)
{
        (void) state_dir_free(run->op.state);
        (void) command_free(run->command);
        json_object_put(run->op.result);
        if (run->lock >= 0)
                (void) close(run->lock);
        if (run->dirfd >= 0)
                (void) close(run->dirfd);
}

int operation_run(int dirfd, const struct operation_request *request, const struct operation_sink *sink,
                  struct json_object **ret_outcome, struct error *e)
{
        struct outcome_times times = { .started = time(NULL), .started_ms = clock_ms() };
        struct run run = { .op = { .type = request->type, .request = request, .dirfd = -1, .sink = sink },
                           .dirfd = -1,
                           .lock = -1 };
        ignore_signals();
        int r = run_inside(&run, dirfd);
        bool dry_run = run.command != NULL && run.command->dry_run;
        struct json_object *outcome = NULL;
        (void) operation_outcome(request, dry_run, &times, r, &run.op.error, run.op.result, &outcome);
        follow_up(&run, outcome, r);
        if (r < 0 && e != NULL)
                *e = run.op.error;
        run_clear(&run);
        *ret_outcome = outcome;
        return r;
}
