/* Names: what is encoded is one name of a file system, and decodes to what it was; two different names never have one entry. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fs/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_entry(const char *entry)
{
        size_t len = strlen(entry);
        if (len == 0 || len > NAME_MAX || strchr(entry, '/') != NULL || entry[0] == '.' || !utf8_valid(entry, len))
                abort();
}

static void check_part(const struct text *name, enum entry_part part)
{
        char entry[ENTRY_SIZE];
        size_t len;
        if (entry_encode(name, part, entry, sizeof(entry))) {
                check_entry(entry);
                if (!entry_decode(entry, &len) || len != name->len || memcmp(entry, name->bytes, len) != 0)
                        abort();
        }
        entry_of_text(name, part, entry);
        check_entry(entry);
}

/* The input is name, tenant and database, each ended by 0xfe, which no UTF-8 has. */
static struct text take(const uint8_t **data, size_t *size)
{
        const uint8_t *end = *size > 0 ? memchr(*data, 0xfe, *size) : NULL;
        size_t len = end != NULL ? (size_t) (end - *data) : *size;
        struct text text;
        if (text_copy(&text, *data, len) < 0)
                abort();
        *data += end != NULL ? len + 1 : len;
        *size -= end != NULL ? len + 1 : len;
        return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct collection c = { .name = take(&data, &size), .tenant = take(&data, &size), .database = take(&data, &size) };
        c.id = take(&data, &size);
        check_part(&c.name, ENTRY_NAME);
        check_part(&c.tenant, ENTRY_SCOPE);
        char entry[ENTRY_SIZE];
        entry_of_collection(&c, entry);
        check_entry(entry);
        free(c.name.bytes);
        free(c.tenant.bytes);
        free(c.database.bytes);
        free(c.id.bytes);
        return 0;
}
