/*
 * Any bytes as an index_metadata.pickle. What is accepted has to be what the header promises: labels ascending and >= 1, ids within the
 * file, every label found.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ops/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct index_metadata *m, size_t size)
{
        for (size_t i = 0; i < m->count; i++) {
                const struct index_entry *entry = &m->entries[i];
                if (entry->label == 0 || (i > 0 && entry->label <= m->entries[i - 1].label))
                        abort();
                if (entry->id < m->bytes || entry->id_len > size || entry->id > m->bytes + size - entry->id_len)
                        abort();
                if (index_metadata_by_label(m, entry->label) != entry)
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *bytes = malloc(size == 0 ? 1 : size);
        if (bytes == NULL)
                return 0;
        if (size > 0)
                memcpy(bytes, data, size);
        struct error e = { 0 };
        CLEANUP(index_metadata_free)
        struct index_metadata *m = NULL;
        int r = index_metadata_decode(bytes, size, &m, &e);
        if (r == 0)
                check(m, size);
        else if (e.code != r || e.text[0] == '\0')
                abort();
        return 0;
}
