#include "tests/faults/cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "tests/faults/tree.h"

struct place { /* an act at a site, which has been chosen */
        struct {
                uint64_t site;
                uint64_t kind, act;
        } key;
        UT_hash_handle hh;
};

/* True for the first time. */
static bool is_first(struct place **seen, uint64_t site, unsigned kind, unsigned act)
{
        struct place *found, *place = calloc(1, sizeof(*place));
        if (place == NULL)
                give_up("memory");
        place->key.site = site;
        place->key.kind = kind;
        place->key.act = act;
        HASH_FIND(hh, *seen, &place->key, sizeof(place->key), found);
        if (found == NULL)
                HASH_ADD(hh, *seen, key, sizeof(place->key), place);
        else
                free(place);
        return found == NULL;
}

void cases_forget(struct place *seen)
{
        struct place *place, *next;
        HASH_ITER(hh, seen, place, next)
        {
                HASH_DEL(seen, place);
                free(place);
        }
}

static void add(struct cases *cases, const struct call_fault *fault)
{
        if ((cases->count & (cases->count + 1)) == 0) { /* before each power of two */
                cases->chosen = realloc(cases->chosen, (2 * cases->count + 2) * sizeof(*cases->chosen));
                if (cases->chosen == NULL)
                        give_up("memory");
        }
        cases->chosen[cases->count++] = *fault;
}

/* splitmix64: as good as any, and the same everywhere. */
static uint64_t next_random(uint64_t *state)
{
        uint64_t z = (*state += 0x9e3779b97f4a7c15u);
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        return z ^ z >> 31;
}

/* Calls fn for each act at each call. */
static void each_case(const struct call_report *calls,
                      void (*fn)(const struct call_event *event, const struct call_fault *fault, void *context), void *context)
{
        uint32_t count = calls->event_count < calls->event_size ? calls->event_count : calls->event_size;
        for (uint32_t i = 0; i < count; i++) {
                const struct call_event *event = &calls->events[i];
                for (unsigned act = ACT_NONE + 1; act < ACT_COUNT; act++) {
                        struct call_fault fault = { event->kind, event->ordinal, act };
                        if ((call_kinds[event->kind].acts & 1u << act) != 0)
                                fn(event, &fault, context);
                }
        }
}

struct chooser {
        const struct choice *choice;
        struct place *places, *sites;
        struct cases cases, others; /* others: what no site asks for */
};

static void choose_one(const struct call_event *event, const struct call_fault *fault, void *context)
{
        struct chooser *c = context;
        if (c->choice->act != ACT_NONE && c->choice->act != fault->act)
                return;
        c->cases.possible++;
        c->cases.sites += is_first(&c->sites, event->site, 0, 0);
        bool first = is_first(c->choice->tried != NULL ? c->choice->tried : &c->places, event->site, fault->kind, fault->act);
        add(c->choice->all || (c->choice->sites && first) ? &c->cases : &c->others, fault);
}

/* The first ones of a shuffled deck. */
static void add_sample(struct chooser *c)
{
        uint64_t random = c->choice->seed;
        struct cases *deck = &c->others;
        for (size_t i = 0; i < deck->count && i < c->choice->sample; i++) {
                size_t at = i + next_random(&random) % (deck->count - i);
                struct call_fault drawn = deck->chosen[at];
                deck->chosen[at] = deck->chosen[i];
                add(&c->cases, &drawn);
        }
}

struct cases cases_choose(const struct call_report *calls, const struct choice *choice)
{
        struct chooser c = { .choice = choice };
        each_case(calls, choose_one, &c);
        if (choice->only.act != ACT_NONE) {
                c.cases.count = 0;
                add(&c.cases, &choice->only);
        } else {
                add_sample(&c);
        }
        cases_forget(c.places);
        cases_forget(c.sites);
        free(c.others.chosen);
        return c.cases;
}

static int index_of(const char *name, size_t n, const char *(*name_of)(int i), int count)
{
        for (int i = 0; i < count; i++)
                if (strlen(name_of(i)) == n && strncmp(name_of(i), name, n) == 0)
                        return i;
        return -1;
}

static const char *kind_name(int i)
{
        return call_kinds[i].name;
}

static const char *act_name(int i)
{
        return call_act_names[i];
}

bool cases_parse(const char *text, struct call_fault *ret)
{
        size_t kind_size = strcspn(text, ":");
        char *end = NULL;
        int kind = index_of(text, kind_size, kind_name, CALL_KINDS);
        if (kind < 0 || text[kind_size] != ':')
                return false;
        unsigned long ordinal = strtoul(text + kind_size + 1, &end, 10);
        int act = *end == ':' ? index_of(end + 1, strlen(end + 1), act_name, ACT_COUNT) : -1;
        if (act < 0)
                return false;
        *ret = (struct call_fault){ (enum call_kind) kind, (uint32_t) ordinal, (enum call_act) act };
        return true;
}
