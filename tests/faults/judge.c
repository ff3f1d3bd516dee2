/*
 * The old state is what the operation found, the new one what a run without faults leaves. After a run with a fault:
 *
 *   killed, or ended without memory   old or new
 *   reported a failure, a cancel      old
 *   reported success                  new
 *
 * then tidy must succeed, keep what the directory says and leave nothing in stage/; and the operation, run again, must arrive at the new state. These two are
 * only run once for directories that are equal byte by byte.
 */
#include "tests/faults/judge.h"

#include <dirent.h>
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "ops/cleanup.h"
#include "ops/operation/tidy.h"
#include "ops/text.h"
#include "tests/faults/copies.h"
#include "tests/faults/holder.h"
#include "tests/faults/power.h"
#include "tests/faults/rejects.h"
#include "tests/faults/state.h"

struct verdict {
        uint64_t key;
        char *state;
        bool good; /* tidied, and run again, as it must be */
        UT_hash_handle hh;
};

static void make_dir(char *ret, size_t size, const char *root, const char *name)
{
        if (snprintf(ret, size, "%s/%s", root, name) >= (int) size || mkdir(ret, 0700) < 0)
                give_up("%s", ret);
}

void bench_open(struct bench *bench, const struct scenario *scenario, const char *prepared, const char *root, uint32_t events)
{
        *bench = (struct bench){ .scenario = scenario, .prepared = prepared, .skip = "" };
        bench->type = scenario->wrong != NULL ? scenario->wrong : operation_find(scenario->operation);
        if (bench->type == NULL)
                errx(2, "%s: there is no such operation", scenario->operation);
        (void) snprintf(bench->root, sizeof(bench->root), "%s", root);
        if (mkdir(root, 0700) < 0)
                give_up("%s", root);
        (void) snprintf(bench->work, sizeof(bench->work), "%s/work", root);
        (void) snprintf(bench->log, sizeof(bench->log), "%s/log", root);
        make_dir(bench->out, sizeof(bench->out), root, "out");
        make_dir(bench->keep, sizeof(bench->keep), root, "keep");
        make_dir(bench->scratch, sizeof(bench->scratch), root, "scratch");
        bench->child = child_new(events);
        bench->next = child_new(0);
}

void bench_close(struct bench *bench)
{
        struct verdict *v, *next;
        HASH_ITER(hh, bench->seen, v, next)
        {
                HASH_DEL(bench->seen, v);
                free(v->state);
                free(v);
        }
        bench->holder = holder_end(bench->holder);
        child_free(bench->child);
        child_free(bench->next);
        free(bench->old);
        free(bench->new);
        for (int i = 0; i < PARTS_MAX; i++)
                free(bench->partial[i]);
        tree_remove_all(bench->root);
}

static void start_over(struct bench *bench)
{
        tree_remove_all(bench->work);
        tree_copy(bench->prepared, bench->work);
        tree_remove_all(bench->out);
        tree_remove_all(bench->keep);
        if (mkdir(bench->out, 0700) < 0 || mkdir(bench->keep, 0700) < 0)
                give_up("%s", bench->root);
        power_set_keep(bench->keep);
        (void) holder_end(bench->holder);
        bench->holder = bench->scenario->live ? holder_start(bench->work) : 0;
}

/* Runs the scenario's operation, or another one. A backup goes to out/<copy>. */
static void operate(struct bench *bench, struct child *child, const struct operation_type *other, const char *copy,
                    const struct call_fault *fault, enum child_mode mode)
{
        char line[TREE_PATH];
        const struct scenario *s = bench->scenario;
        bool own = other == NULL;
        (void) snprintf(line, sizeof(line), "%s", own ? s->line : "");
        if (own && s->backup)
                (void) snprintf(line, sizeof(line), "%s to=%s/%s", s->line, bench->out, copy);
        const struct child_request request = { .dir = bench->work,
                                               .type = own ? bench->type : other,
                                               .line = line,
                                               .collection_id = own ? bench->collection_id : "",
                                               .skip = own ? bench->skip : "",
                                               .log = bench->log };
        child_run(child, &request, fault, mode);
}

static bool report(FILE *out, const struct child *child, const char *what)
{
        static const char *const ends[] = { "returned", "died", "crashed", "hung" };
        (void) fprintf(out, "    %s: %s %d, signal %d, exit status %d, %s: %s\n", what, ends[child->end], child->code,
                       child->signal, child->status, child->outcome, child->sentence);
        return false;
}

/* What it has printed: sanitizers do. */
static bool report_log(FILE *out, const char *log)
{
        CLEANUP(free)
        uint8_t *bytes = NULL;
        size_t size;
        if (tree_read(log, &bytes, &size) && size > 0)
                (void) fprintf(out, "%.*s\n", (int) (size < 2000 ? size : 2000), (const char *) bytes);
        return false;
}

static bool report_state(FILE *out, const char *what, const char *expected, const char *found)
{
        (void) fprintf(out, "    %s\n", what);
        state_print_difference(out, expected, found);
        return false;
}

static bool succeeded(const struct child *child)
{
        return child->end == CHILD_RETURNED && child->code == 0;
}

/* What it leaves when it must leave one collection out. */
static void learn_parts(struct bench *bench)
{
        const struct call_fault none = { 0 };
        char ids[PARTS_MAX][64];
        int count = bench->scenario->in_parts ? scenario_collections(bench->prepared, ids, PARTS_MAX) : 0;
        for (int i = 0; i < count; i++) {
                start_over(bench);
                bench->skip = ids[i];
                operate(bench, bench->child, NULL, "copy", &none, CHILD_QUIET);
                bench->partial[i] = state_of(bench->work, bench->scratch);
        }
        bench->skip = "";
}

/* Where it can be cancelled. */
static bool learn_asks(struct bench *bench, FILE *out)
{
        const struct call_fault none = { 0 };
        struct child *asks = child_new(bench->child->calls.event_size);
        start_over(bench);
        operate(bench, asks, NULL, "copy", &none, CHILD_RECORD_ASKS);
        bool good = succeeded(asks) || report(out, asks, "without any fault, in a hurry");
        child_take_asks(bench->child, asks);
        child_free(asks);
        return good;
}

/* How many directories could be segments'. */
static int count_indexes(const char *path)
{
        DIR *dir = opendir(path);
        int count = 0;
        if (dir == NULL)
                give_up("%s", path);
        for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
                count += uuid_valid(entry->d_name);
        (void) closedir(dir);
        return count;
}

bool bench_learn(struct bench *bench, FILE *out)
{
        const struct call_fault none = { 0 };
        scenario_collection(bench->scenario, bench->prepared, bench->collection_id);
        learn_parts(bench);
        start_over(bench);
        bench->old = state_of(bench->work, bench->scratch);
        bench->source = copies_key(bench->work);
        left_keep_as(&bench->left, bench->work, "old");
        operate(bench, bench->child, NULL, "copy", &none, CHILD_RECORD);
        if (!succeeded(bench->child))
                return report(out, bench->child, "without any fault");
        bench->kept = bench->child->kept;
        bench->new = state_of(bench->work, bench->scratch);
        int before = count_indexes(bench->prepared), after = bench->scenario->live ? 0 : count_indexes(bench->work);
        bench->indexes = before > after ? before : after;
        left_keep_as(&bench->left, bench->work, "new");
        bool same = strcmp(bench->old, bench->new) == 0;
        if (same != (bench->scenario->backup || bench->scenario->unchanging)) {
                (void) fprintf(out, "    without any fault: the directory %s\n", same ? "did not change" : "changed");
                return false;
        }
        bool learnt = learn_asks(bench, out);
        bench->holder = holder_end(bench->holder);
        if (!learnt)
                return false;
        return strstr(bench->new, "\nintegrity ok\n") != NULL || report_state(out, "it is damaged", "integrity ok\n", bench->new);
}

void bench_teach(struct bench *bench, const struct bench *learnt)
{
        bench->old = strdup(learnt->old);
        bench->new = strdup(learnt->new);
        bench->source = learnt->source;
        bench->kept = learnt->kept;
        bench->indexes = learnt->indexes;
        for (int i = 0; i < PARTS_MAX; i++)
                bench->partial[i] = learnt->partial[i] == NULL ? NULL : strdup(learnt->partial[i]);
        memcpy(bench->collection_id, learnt->collection_id, sizeof(bench->collection_id));
        if (bench->old == NULL || bench->new == NULL)
                give_up("memory");
}

static bool has_copy(const struct bench *bench)
{
        char path[TREE_PATH];
        return access(tree_path(path, bench->out, "copy"), F_OK) == 0;
}

/* No half-made file, and no index that nobody needs: the state does not tell of one. */
static bool is_tidy(const struct bench *bench, FILE *out)
{
        char stage[TREE_PATH];
        int indexes = count_indexes(bench->work);
        bool empty = copies_is_empty(tree_path(stage, bench->work, ".chromafs/stage"));
        if (!empty)
                (void) fprintf(out, "    tidy left something in stage/\n");
        if (indexes > bench->indexes)
                (void) fprintf(out, "    tidy left %d indexes where %d belong\n", indexes, bench->indexes);
        return empty && indexes <= bench->indexes;
}

/* Nobody has it open any more: what had to stay is taken away now. */
static bool let_go(struct bench *bench, FILE *out)
{
        const struct call_fault none = { 0 };
        bench->holder = holder_end(bench->holder);
        operate(bench, bench->next, &operation_tidy, NULL, &none, CHILD_QUIET);
        return succeeded(bench->next) ? is_tidy(bench, out) : report(out, bench->next, "tidied at last");
}

/* What the new state has lost is in files. */
static bool has_lines(const struct bench *bench, FILE *out)
{
        const struct scenario *s = bench->scenario;
        return (s->rejects == 0 || rejects_check(bench->work, s->rejects, out)) &&
               (s->lost == 0 || lost_check(bench->work, s->lost, out));
}

/* What tidy, and then the operation, make of it: the same as ever. */
static bool go_on(struct bench *bench, const char *state, FILE *out)
{
        const struct call_fault none = { 0 };
        operate(bench, bench->next, &operation_tidy, NULL, &none, CHILD_QUIET);
        if (!succeeded(bench->next))
                return report(out, bench->next, "tidied");
        CLEANUP(free)
        char *tidied = state_of(bench->work, bench->scratch);
        if (strcmp(tidied, state) != 0)
                return report_state(out, "tidy changed it", state, tidied);
        if (bench->holder == 0 && !is_tidy(bench, out))
                return false;
        const char *copy = has_copy(bench) ? "next" : "copy";
        operate(bench, bench->next, NULL, copy, &none, CHILD_QUIET);
        if (!succeeded(bench->next))
                return report(out, bench->next, "run again");
        CLEANUP(free)
        char *again = state_of(bench->work, bench->scratch);
        if (strcmp(again, bench->new) != 0)
                return report_state(out, "run again, it is not the new state", bench->new, again);
        if (bench->holder != 0 && !let_go(bench, out))
                return false;
        if (!has_lines(bench, out))
                return false;
        return !bench->scenario->backup || copies_check(bench->out, bench->old, bench->scratch, COPIES_ANY_MODE, out);
}

static struct verdict *look(struct bench *bench, const struct call_fault *fault)
{
        struct verdict *v;
        uint64_t key = tree_key(bench->work) ^ (bench->scenario->backup ? tree_key(bench->out) * 3 : 0);
        HASH_FIND(hh, bench->seen, &key, sizeof(key), v);
        if (v != NULL)
                return v;
        v = calloc(1, sizeof(*v));
        if (v == NULL)
                give_up("memory");
        v->key = key;
        v->state = state_of(bench->work, bench->scratch);
        left_show(&bench->left, bench->work, fault);
        HASH_ADD(hh, bench->seen, key, sizeof(key), v);
        return v;
}

static bool is_a_part(const struct bench *bench, const char *state)
{
        for (int i = 0; i < PARTS_MAX; i++)
                if (bench->partial[i] != NULL && strcmp(bench->partial[i], state) == 0)
                        return true;
        return false;
}

/* A collection whose files could not be read is left as it was, and the result says so. */
static bool lacks_a_part(const struct bench *bench, const char *state)
{
        return bench->child->kept > bench->kept && is_a_part(bench, state);
}

/* What was done before it ended stays, and the sentence says that. */
static bool has_a_part(const struct bench *bench, const char *state)
{
        const struct child *child = bench->child;
        if (child->end == CHILD_RETURNED)
                return child->code != 0 && strstr(child->sentence, " committed before") != NULL && is_a_part(bench, state);
        return !child->promised && is_a_part(bench, state);
}

/* The old state or the new one, but for directories of which each is there as it was, or is gone. */
static bool lacks_orphans(const struct bench *bench, const char *state)
{
        CLEANUP(free)
        char *rest = strdup(state);
        CLEANUP(free)
        char *old = strdup(bench->old);
        bool whole = rest != NULL && old != NULL;
        for (int i = 0; whole && i < SCENARIO_ORPHANS; i++) {
                CLEANUP(free)
                char *found = state_take(rest, scenario_orphans[i]);
                CLEANUP(free)
                char *before = state_take(old, scenario_orphans[i]);
                whole = *found == '\0' || strcmp(found, before) == 0;
        }
        return whole && (strcmp(rest, old) == 0 || strcmp(rest, bench->new) == 0);
}

/* What may be left as well: what could not be read is left as it was; one that is killed, or can write nothing any more, has taken some directories
   away. */
static bool is_partial(const struct bench *bench, const struct verdict *v, enum call_act act)
{
        bool unread = act == ACT_EIO || act == ACT_EINTR || act == ACT_BROKEN;
        if (bench->scenario->one_by_one && has_a_part(bench, v->state))
                return true;
        if (bench->child->end == CHILD_RETURNED ? (bench->child->code == 0 ? !unread : act != ACT_BROKEN) : bench->child->promised)
                return false;
        if (bench->scenario->has_orphans)
                return lacks_orphans(bench, v->state);
        return bench->child->code == 0 && unread && lacks_a_part(bench, v->state);
}

static bool is_expected(const struct bench *bench, const struct verdict *v, enum call_act act, FILE *out)
{
        const struct child *child = bench->child;
        bool old = strcmp(v->state, bench->old) == 0, new = strcmp(v->state, bench->new) == 0;
        if (child->end == CHILD_CRASHED || child->end == CHILD_HUNG)
                return report(out, child, "the operation") || report_log(out, bench->log);
        if (is_partial(bench, v, act))
                return true;
        if (child->end == CHILD_DIED && child->promised && !new)
                return report_state(out, old ? "what it had reported as done is undone" : "torn behind its end", bench->new,
                                    v->state);
        if (child->end == CHILD_DIED && !old && !new)
                return report_state(out, "killed: neither the old state nor the new one; against the old:", bench->old, v->state);
        if (child->end == CHILD_RETURNED && child->code != 0 && !old)
                return report(out, child, "it") ||
                       report_state(out, new ? "failed, but changed it" : "failed, and tore it", bench->old, v->state);
        if (child->end == CHILD_RETURNED && child->code == 0 && !new)
                return report(out, child, "it") ||
                       report_state(out, old ? "succeeded, but did nothing" : "succeeded, but tore it", bench->new, v->state);
        return true;
}

static bool copy_is_expected(const struct bench *bench, const struct call_fault *fault, FILE *out)
{
        enum copies_rule rule = fault->kind == CALL_ATTRIBUTE ? COPIES_ANY_MODE : COPIES_EQUAL;
        char path[TREE_PATH];
        bool there = has_copy(bench);
        if (bench->scenario->backup && copies_key(bench->work) != bench->source)
                return fprintf(out, "    the backup changed its source\n") < 0;
        if (there && !copies_check_one(tree_path(path, bench->out, "copy"), bench->old, bench->scratch, rule, out))
                return false;
        if (bench->child->end == CHILD_DIED && bench->child->promised && !there)
                return report(out, bench->child, "reported success, but then there is no copy");
        if (there && bench->child->code != 0 && fault->act == ACT_BROKEN)
                return true; /* a whole one, which it could not take back */
        if (bench->child->end == CHILD_RETURNED && there != (bench->child->code == 0))
                return report(out, bench->child, there ? "failed, but there is a copy" : "succeeded, but there is no copy");
        return true;
}

bool bench_try(struct bench *bench, const struct call_fault *fault, FILE *out)
{
        start_over(bench);
        operate(bench, bench->child, NULL, "copy", fault, CHILD_QUIET);
        struct verdict *v = look(bench, fault);
        if (strcmp(v->state, bench->new) == 0 && !has_lines(bench, out))
                return false;
        if (!is_expected(bench, v, fault->act, out) || (bench->scenario->backup && !copy_is_expected(bench, fault, out)))
                return false;
        if (!v->good)
                v->good = go_on(bench, v->state, out);
        return v->good;
}
