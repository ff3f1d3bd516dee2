#include "tests/faults/rejects.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ops/cleanup.h"
#include "tests/faults/tree.h"

static bool is_again(const char *text, const char *line, size_t len)
{
        for (const char *at = text; at < line; at = strchr(at, '\n') + 1)
                if (strncmp(at, line, len) == 0)
                        return true;
        return false;
}

bool rejects_check(const char *dir, unsigned rows, FILE *out)
{
        static const char start[] = "{\"seq_id\": ";
        char path[TREE_PATH];
        CLEANUP(free)
        uint8_t *bytes = NULL;
        size_t size = 0;
        unsigned found = 0;
        bool good = true;
        if (!tree_read(tree_path(path, dir, ".chromafs/rejected.jsonl"), &bytes, &size))
                size = 0;
        CLEANUP(free)
        char *text = size == 0 ? strdup("") : strndup((const char *) bytes, size);
        if (text == NULL)
                give_up("memory");
        for (const char *line = text; good && *line != '\0'; found++) {
                const char *end = strchr(line, '\n');
                good = end != NULL && strncmp(line, start, strlen(start)) == 0 && end[-1] == '}' &&
                       !is_again(text, line, (size_t) (end - line) + 1);
                line = end == NULL ? "" : end + 1;
        }
        if (!good || found != rows)
                (void) fprintf(out, "    rejected.jsonl has not %u different whole lines:\n%.2000s\n", rows, text);
        return good && found == rows;
}
