#include "tests/faults/rejects.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ops/cleanup.h"
#include "tests/faults/tree.h"

struct kind {
        const char *path, *start;
        size_t skipped; /* bytes behind the start that may differ */
};

static const struct kind rejected = { ".chromafs/rejected.jsonl", "{\"seq_id\": ", 0 };
static const struct kind lost = { ".chromafs/lost.jsonl", "{\"time\":\"", sizeof("2026-01-01T00:00:00Z") - 1 };

static bool is_again(const struct kind *kind, const char *text, const char *line, size_t len)
{
        size_t same = strlen(kind->start) + kind->skipped;
        for (const char *at = text; at < line; at = strchr(at, '\n') + 1)
                if (strncmp(at + same, line + same, len - same) == 0)
                        return true;
        return false;
}

static bool is_line(const struct kind *kind, const char *line, const char *end)
{
        return end != NULL && end - line > (ptrdiff_t) (strlen(kind->start) + kind->skipped) &&
               strncmp(line, kind->start, strlen(kind->start)) == 0 && end[-1] == '}';
}

static bool check(const struct kind *kind, const char *dir, unsigned lines, FILE *out)
{
        char path[TREE_PATH];
        CLEANUP(free)
        uint8_t *bytes = NULL;
        size_t size = 0;
        unsigned found = 0;
        bool good = true;
        if (!tree_read(tree_path(path, dir, kind->path), &bytes, &size))
                size = 0;
        CLEANUP(free)
        char *text = size == 0 ? strdup("") : strndup((const char *) bytes, size);
        if (text == NULL)
                give_up("memory");
        for (const char *line = text; good && *line != '\0'; found++) {
                const char *end = strchr(line, '\n');
                good = is_line(kind, line, end) && !is_again(kind, text, line, (size_t) (end - line) + 1);
                line = end == NULL ? "" : end + 1;
        }
        if (!good || found != lines)
                (void) fprintf(out, "    %s has not %u different whole lines:\n%.2000s\n", kind->path, lines, text);
        return good && found == lines;
}

bool rejects_check(const char *dir, unsigned rows, FILE *out)
{
        return check(&rejected, dir, rows, out);
}

bool lost_check(const char *dir, unsigned records, FILE *out)
{
        return check(&lost, dir, records, out);
}
