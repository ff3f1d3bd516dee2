/*
 * faults: each operation, killed and failing at each of its calls.
 *
 *   faults [--all] [--sites] [--sample=N] [--seed=N] [--scenario=GLOB] [--only=KIND:ORDINAL:ACT] [--jobs=N] [--list]
 *          [--leave=DIR [--leave-count=N]] FIXTURES
 *
 * --leave keeps up to N (8) of the directories that each scenario leaves: see left.h.
 *
 * Prints a line for each scenario, and what was wrong with the way to repeat it; ends with `N passed, N failed`, counted in scenarios.
 */
#include <err.h>
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include "tests/faults/cases.h"
#include "tests/faults/judge.h"
#include "tests/faults/site.h"
#include "tests/faults/tree.h"

#define EVENTS (1u << 20)
#define JOBS_MAX 64
#define PRINTED 24 /* failures of a worker that are told in full, each kind of them once */
#define ROOM (64u << 20)

struct settings {
        struct choice choice;
        const char *scenario, *fixtures, *program;
        const char *leave;
        unsigned jobs, leave_count;
        bool list;
};

struct progress { /* of a worker, in shared memory */
        unsigned run, failed, unreached;
        unsigned found; /* failures of an operation that is wrong, under what it is wrong under */
        bool finished;
};

static char base[TREE_PATH / 8];
static pid_t main_process;

static volatile sig_atomic_t stopped;

static void on_stop(int signal_number)
{
        (void) signal_number;
        stopped = 1;
}

static void remove_base(void)
{
        if (getpid() == main_process)
                tree_remove_all(base);
}

static void print_case(const struct settings *settings, const struct bench *bench, const struct call_fault *fault, bool good,
                       const char *why)
{
        char text[1 << 14];
        FILE *out = fmemopen(text, sizeof(text), "w");
        if (out == NULL)
                give_up("memory");
        (void) fprintf(out, "  %s %s %s:%u:%s\n%s    made by\n", good ? "ok  " : "FAIL", bench->scenario->name,
                       call_kinds[fault->kind].name, fault->ordinal, call_act_names[fault->act], why);
        site_print(out, bench->child->calls.frames, bench->child->calls.frame_count);
        if (bench->child->crash_count > 0)
                (void) fprintf(out, "    crashed in\n");
        site_print(out, bench->child->crash_frames, bench->child->crash_count);
        (void) fprintf(out, "    to repeat: %s --scenario=%s --only=%s:%u:%s %s\n", settings->program, bench->scenario->name,
                       call_kinds[fault->kind].name, fault->ordinal, call_act_names[fault->act], settings->fixtures);
        (void) fclose(out);
        text[sizeof(text) - 1] = '\0';
        (void) fputs(text, stdout);
        (void) fflush(stdout);
}

/* Failures with the same words have one cause, most of the time. */
static bool is_new(const struct call_fault *fault, const char *why)
{
        static uint64_t told[PRINTED];
        static int count;
        uint64_t key = XXH3_64bits(why, strlen(why)) + fault->kind * ACT_COUNT + fault->act;
        for (int i = 0; i < count; i++)
                if (told[i] == key)
                        return false;
        if (count == PRINTED)
                return false;
        told[count++] = key;
        return true;
}

static void try_case(const struct settings *settings, struct bench *bench, const struct call_fault *fault,
                     struct progress *progress)
{
        char why[1 << 12] = "";
        FILE *out = fmemopen(why, sizeof(why), "w");
        if (out == NULL)
                give_up("memory");
        bool good = bench_try(bench, fault, out);
        (void) fclose(out);
        why[sizeof(why) - 1] = '\0';
        progress->run++;
        progress->unreached += !bench->child->calls.hit;
        progress->failed += !good;
        progress->found += !good && fault->act == bench->scenario->found_by;
        if (bench->scenario->wrong != NULL && settings->choice.only.act == ACT_NONE)
                return;
        if ((!good && is_new(fault, why)) || settings->choice.only.act != ACT_NONE)
                print_case(settings, bench, fault, good, why);
}

static void work(const struct settings *settings, struct bench *bench, const struct cases *cases, unsigned job,
                 struct progress *progress)
{
        for (size_t i = job; i < cases->count; i += settings->jobs)
                try_case(settings, bench, &cases->chosen[i], progress);
        progress->finished = true;
}

/* A worker has a bench of its own, with the states that the first one has learnt. It ends with its parent. */
static pid_t start_worker(const struct settings *settings, const struct bench *learnt, const struct cases *cases, unsigned job,
                          struct progress *progress)
{
        (void) fflush(NULL);
        pid_t pid = fork();
        if (pid < 0)
                give_up("a worker");
        if (pid > 0)
                return pid;
        char root[TREE_PATH / 4];
        struct bench bench;
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) snprintf(root, sizeof(root), "%s/%u", base, job);
        bench_open(&bench, learnt->scenario, learnt->prepared, root, 0);
        bench_teach(&bench, learnt);
        bench.left = (struct left){ learnt->left.dir, job, settings->leave_count / settings->jobs, 0, settings->choice.seed };
        work(settings, &bench, cases, job, progress);
        bench_close(&bench);
        _exit(0);
}

/* Waits; a signal that stops this program ends them first. */
static void await_workers(const pid_t *pids, unsigned count)
{
        while (wait(NULL) > 0 || errno == EINTR)
                for (unsigned i = 0; stopped && i < count; i++)
                        (void) kill(pids[i], SIGKILL);
        if (stopped)
                exit(1);
}

static struct progress run_workers(const struct settings *settings, const struct bench *learnt, const struct cases *cases)
{
        struct progress *all = mmap(NULL, sizeof(*all) * JOBS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        struct progress sum = { .finished = true };
        pid_t pids[JOBS_MAX];
        if (all == MAP_FAILED)
                give_up("memory");
        for (unsigned i = 0; i < settings->jobs; i++)
                pids[i] = start_worker(settings, learnt, cases, i, &all[i]);
        await_workers(pids, settings->jobs);
        for (unsigned i = 0; i < settings->jobs; i++) {
                sum.run += all[i].run;
                sum.failed += all[i].failed;
                sum.unreached += all[i].unreached;
                sum.found += all[i].found;
                sum.finished &= all[i].finished;
        }
        (void) munmap(all, sizeof(*all) * JOBS_MAX);
        return sum;
}

/* --list: how many calls of each kind there are. */
static void print_calls(const struct bench *bench)
{
        const struct call_report *calls = &bench->child->calls;
        uint32_t counts[CALL_KINDS] = { 0 };
        for (uint32_t i = 0; i < calls->event_count && i < calls->event_size; i++)
                counts[calls->events[i].kind]++;
        for (int i = 0; i < CALL_KINDS; i++)
                (void) printf("%s%s %u", i == 0 ? "  " : ", ", call_kinds[i].name, counts[i]);
        (void) printf("\n");
}

static bool print_sum(const struct bench *bench, const struct cases *cases, const struct progress *sum)
{
        bool wrong = bench->scenario->wrong != NULL, fits = bench->child->calls.event_count <= EVENTS;
        (void) printf("faults %s: %u of %zu (%.1f %%) at %zu sites, %u %s", bench->scenario->name, sum->run, cases->possible,
                      cases->possible == 0 ? 0 : 100.0 * sum->run / (double) cases->possible, cases->sites, sum->failed,
                      wrong ? "found, as it must be" : "failed");
        if (sum->unreached > 0)
                (void) printf(", %u not reached", sum->unreached);
        (void) printf("%s%s\n", sum->finished ? "" : ", a worker died", fits ? "" : ", more calls than are recorded");
        (void) fflush(stdout);
        return sum->finished && fits && (wrong ? sum->found > 0 : sum->failed == 0);
}

/* Of one that is wrong each site is tried where it can be found out: a sample may miss it. */
static struct cases choose(const struct settings *settings, const struct bench *bench)
{
        struct choice choice = settings->choice;
        if (bench->scenario->wrong != NULL) {
                choice.act = bench->scenario->found_by;
                choice.sites = true;
                choice.sample = 0;
                choice.tried = NULL;
        }
        return cases_choose(&bench->child->calls, &choice);
}

static bool run_learnt(const struct settings *settings, const struct bench *bench)
{
        struct cases cases = choose(settings, bench);
        struct progress sum = { .finished = true };
        if (settings->list)
                print_calls(bench);
        else
                sum = run_workers(settings, bench, &cases);
        bool good = print_sum(bench, &cases, &sum);
        free(cases.chosen);
        return good || settings->list;
}

/* The folder below --leave; ret has TREE_PATH / 4 bytes. */
static const char *make_left(const struct settings *settings, const struct scenario *scenario, char *ret)
{
        if (snprintf(ret, TREE_PATH / 4, "%s/%s", settings->leave, scenario->name) >= TREE_PATH / 4 || mkdir(ret, 0700) < 0)
                give_up("%s", ret);
        return ret;
}

static bool run_scenario(const struct settings *settings, const struct scenario *scenario)
{
        char prepared[TREE_PATH / 4], root[TREE_PATH / 4];
        struct bench bench;
        (void) snprintf(prepared, sizeof(prepared), "%s/prepared", base);
        (void) snprintf(root, sizeof(root), "%s/first", base);
        scenario_prepare(scenario, settings->fixtures, prepared);
        bench_open(&bench, scenario, prepared, root, EVENTS);
        char left[TREE_PATH / 4];
        if (settings->leave != NULL && scenario->wrong == NULL)
                bench.left.dir = make_left(settings, scenario, left);
        bool good = bench_learn(&bench, stdout);
        if (!good)
                (void) printf("  FAIL %s: it can't be tried\n", scenario->name);
        good = good && run_learnt(settings, &bench);
        bench_close(&bench);
        tree_remove_all(prepared);
        return good;
}

static unsigned number(const char *text)
{
        char *end = NULL;
        unsigned long value = strtoul(text, &end, 10);
        if (*text == '\0' || *end != '\0' || value > UINT32_MAX)
                errx(2, "%s: a number is needed", text);
        return (unsigned) value;
}

static _Noreturn void usage(const struct settings *s)
{
        (void) fprintf(stderr,
                       "usage: %s [--all] [--sites] [--sample=N] [--seed=N] [--scenario=GLOB] [--only=KIND:ORDINAL:ACT] [--jobs=N] "
                       "[--list] [--leave=DIR [--leave-count=N]] FIXTURES\n",
                       s->program);
        exit(2);
}

static void set_option(struct settings *s, int option, const char *value)
{
        switch (option) {
        case 'a':
                s->choice.all = true;
                break;
        case 's':
                s->choice.sites = true;
                break;
        case 'n':
                s->choice.sample = number(value);
                break;
        case 'r':
                s->choice.seed = number(value);
                break;
        case 'S':
                s->scenario = value;
                break;
        case 'j':
                s->jobs = number(value);
                break;
        case 'l':
                s->list = true;
                break;
        case 'L':
                s->leave = value;
                break;
        case 'c':
                s->leave_count = number(value);
                break;
        case 'o':
                if (cases_parse(value, &s->choice.only))
                        break;
                errx(2, "%s: not of the form KIND:ORDINAL:ACT", value);
        default:
                usage(s);
        }
}

static void parse(struct settings *s, int argc, char **argv)
{
        static const struct option options[] = { { "all", no_argument, NULL, 'a' },
                                                 { "sites", no_argument, NULL, 's' },
                                                 { "sample", required_argument, NULL, 'n' },
                                                 { "seed", required_argument, NULL, 'r' },
                                                 { "scenario", required_argument, NULL, 'S' },
                                                 { "only", required_argument, NULL, 'o' },
                                                 { "jobs", required_argument, NULL, 'j' },
                                                 { "list", no_argument, NULL, 'l' },
                                                 { "leave", required_argument, NULL, 'L' },
                                                 { "leave-count", required_argument, NULL, 'c' },
                                                 { NULL, 0, NULL, 0 } };
        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                set_option(s, c, optarg);
        if (optind != argc - 1)
                usage(s);
        s->fixtures = argv[optind];
        if (s->jobs == 0 || s->jobs > JOBS_MAX)
                s->jobs = 1;
}

/* In memory where there is enough of it: a run is some hundred calls. */
static void make_base(void)
{
        const char *given = getenv("TMPDIR");
        struct statvfs fs;
        bool shared = access("/dev/shm", W_OK) == 0 && statvfs("/dev/shm", &fs) == 0 && fs.f_bavail * fs.f_frsize > ROOM;
        (void) snprintf(base, sizeof(base), "%s/chromafs-faults.XXXXXX", given != NULL ? given : shared ? "/dev/shm" : "/tmp");
        if (mkdtemp(base) == NULL)
                give_up("%s", base);
        main_process = getpid();
        (void) atexit(remove_base);
        const struct sigaction stop = { .sa_handler = on_stop };
        (void) sigaction(SIGINT, &stop, NULL);
        (void) sigaction(SIGTERM, &stop, NULL);
        (void) prctl(PR_SET_CHILD_SUBREAPER, 1); /* the operations of a worker that was ended are waited for, too */
}

/* libcrypto dies when it can't be initialised for want of memory, whoever asks. What an operation then has of it can fail as well. */
static void begin_libcrypto(void)
{
        EVP_MD_CTX *digest = EVP_MD_CTX_new();
        if (digest == NULL || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1)
                give_up("libcrypto");
        EVP_MD_CTX_free(digest);
}

int main(int argc, char **argv)
{
        struct settings s = {
                .program = argv[0], .scenario = "*", .leave_count = 8, .jobs = (unsigned) sysconf(_SC_NPROCESSORS_ONLN)
        };
        unsigned passed = 0, failed = 0;
        struct place *tried = NULL; /* one site is much like itself in another scenario */
        parse(&s, argc, argv);
        s.choice.tried = &tried;
        site_init();
        begin_libcrypto();
        make_base();
        for (const struct scenario *one = scenarios; one->name != NULL; one++) {
                if (stopped || fnmatch(s.scenario, one->name, 0) != 0)
                        continue;
                if (run_scenario(&s, one))
                        passed++;
                else
                        failed++;
        }
        cases_forget(tried);
        (void) printf("%u passed, %u failed\n", passed, failed);
        return failed != 0 || passed == 0 || stopped;
}
