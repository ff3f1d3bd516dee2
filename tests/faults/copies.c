#include "tests/faults/copies.h"

#include <dirent.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "ops/cleanup.h"
#include "tests/faults/aside.h"
#include "tests/faults/state.h"
#include "tests/faults/tree.h"

#define MANIFEST "chromafs-manifest.json"

static int is_ours(const char *name)
{
        return strcmp(name, ".chromafs") == 0;
}

uint64_t copies_key(const char *dir)
{
        return tree_key_without(dir, is_ours);
}

static struct dirent *next_entry(DIR *d)
{
        struct dirent *entry;
        do
                entry = readdir(d);
        while (entry != NULL && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
        return entry;
}

bool copies_is_empty(const char *dir)
{
        CLEANUP(close)
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 || tree_is_empty(fd);
}

static const char *text_of(struct json_object *object, const char *key)
{
        const char *text = json_object_get_string(json_object_object_get(object, key));
        return text == NULL ? "" : text;
}

static bool is_right(const char *copy, struct json_object *entry)
{
        char path[TREE_PATH], hex[2 * EVP_MAX_MD_SIZE + 1] = "";
        unsigned char hash[EVP_MAX_MD_SIZE];
        unsigned hash_size = 0;
        CLEANUP(free)
        uint8_t *bytes = NULL;
        size_t size;
        if (!tree_read(tree_path(path, copy, text_of(entry, "path")), &bytes, &size))
                return false;
        if (EVP_Digest(bytes, size, hash, &hash_size, EVP_sha256(), NULL) != 1)
                give_up("SHA-256");
        for (unsigned i = 0; i < hash_size; i++)
                (void) snprintf(hex + (size_t) 2 * i, 3, "%02x", hash[i]);
        return json_object_get_uint64(json_object_object_get(entry, "bytes")) == size && strcmp(text_of(entry, "sha256"), hex) == 0;
}

static size_t lines_with(const char *text, const char *start)
{
        size_t count = 0;
        for (const char *at = text; *at != '\0'; at = strchr(at, '\n') + 1)
                count += strncmp(at, start, strlen(start)) == 0;
        return count;
}

struct check {
        const char *copy, *state; /* the state counts the database, as one file, and the manifest */
};

static void check_manifest(FILE *out, void *context)
{
        const struct check *check = context;
        char path[TREE_PATH];
        struct json_object *manifest = json_object_from_file(tree_path(path, check->copy, MANIFEST));
        struct json_object *database = json_object_object_get(manifest, "database"),
                           *files = json_object_object_get(manifest, "files");
        size_t count = files == NULL ? 0 : json_object_array_length(files), wrong = !is_right(check->copy, database);
        for (size_t i = 0; i < count; i++)
                wrong += !is_right(check->copy, json_object_array_get_idx(files, i));
        if (wrong > 0 || count + 2 != lines_with(check->state, "file "))
                (void) fprintf(out, "    %s: its manifest has %zu files, of which %zu are not as it says; there are %zu\n",
                               check->copy, count, wrong, lines_with(check->state, "file "));
        json_object_put(manifest);
}

/* The line of the manifest itself is no part of the comparison. */
static void forget_manifest(char *state)
{
        char *line = strstr(state, "file " MANIFEST);
        if (line != NULL)
                memmove(line, strchr(line, '\n') + 1, strlen(strchr(line, '\n') + 1) + 1);
}

/* Of lines "file PATH MODE …" the mode. */
static void forget_modes(char *state)
{
        for (char *at = state; *at != '\0'; at = strchr(at, '\n') + 1) {
                char *mode = strncmp(at, "file ", 5) == 0 ? strchr(at + 5, ' ') : NULL;
                for (; mode != NULL && mode[1] >= '0' && mode[1] <= '7'; mode++)
                        mode[1] = '-';
        }
}

bool copies_check_one(const char *copy, const char *state, const char *scratch, enum copies_rule rule, FILE *out)
{
        CLEANUP(free)
        char *found = state_of(copy, scratch);
        CLEANUP(free)
        char *fault = aside(check_manifest, &(struct check){ copy, found });
        (void) fputs(fault, out);
        if (*fault != '\0')
                return false;
        CLEANUP(free)
        char *expected = strdup(state);
        if (expected == NULL)
                give_up("memory");
        forget_manifest(found);
        if (rule == COPIES_ANY_MODE) {
                forget_modes(found);
                forget_modes(expected);
        }
        if (strcmp(found, expected) == 0)
                return true;
        (void) fprintf(out, "    %s is not what it is a copy of\n", copy);
        state_print_difference(out, expected, found);
        return false;
}

bool copies_check(const char *dir, const char *state, const char *scratch, enum copies_rule rule, FILE *out)
{
        char path[TREE_PATH];
        DIR *d = opendir(dir);
        size_t count = 0, good = 0;
        for (struct dirent *entry; d != NULL && (entry = next_entry(d)) != NULL; count++)
                good += copies_check_one(tree_path(path, dir, entry->d_name), state, scratch, rule, out);
        if (d != NULL)
                (void) closedir(d);
        if (count == 0)
                (void) fprintf(out, "    there is no copy\n");
        return count > 0 && good == count;
}
