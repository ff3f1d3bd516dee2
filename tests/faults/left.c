#include "tests/faults/left.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "tests/faults/tree.h"

void left_keep_as(const struct left *left, const char *work, const char *name)
{
        char path[TREE_PATH];
        if (left->dir == NULL)
                return;
        tree_remove_all(tree_path(path, left->dir, name));
        tree_copy(work, path);
}

/* The place for the next one, or `most`: sampling with a reservoir. */
static uint32_t choose_place(struct left *left)
{
        uint32_t count = left->seen++;
        if (count < left->most)
                return count;
        left->random = XXH3_64bits_withSeed(&count, sizeof(count), left->random);
        uint64_t place = left->random % left->seen;
        return place < left->most ? (uint32_t) place : left->most;
}

void left_show(struct left *left, const char *work, const struct call_fault *fault)
{
        char name[64], path[TREE_PATH], text[128];
        uint32_t place = left->dir == NULL ? left->most : choose_place(left);
        if (place >= left->most)
                return;
        (void) snprintf(name, sizeof(name), "%u-%u", left->job, place);
        left_keep_as(left, work, name);
        int size = snprintf(text, sizeof(text), "%s:%u:%s\n", call_kinds[fault->kind].name, fault->ordinal,
                            call_act_names[fault->act]);
        (void) snprintf(name, sizeof(name), "%u-%u.fault", left->job, place);
        tree_write(tree_path(path, left->dir, name), text, (size_t) size);
}
