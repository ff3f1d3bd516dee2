#include "ops/index_ids.h"

#include <errno.h>
#include <stdio.h>

#include "ops/pickle.h"

static bool among(const uint64_t *sorted, size_t count, uint64_t label)
{
        size_t low = 0;
        while (low < count) {
                size_t middle = low + (count - low) / 2;
                if (sorted[middle] == label)
                        return true;
                if (sorted[middle] < label)
                        low = middle + 1;
                else
                        count = middle;
        }
        return false;
}

static int add_all(const struct index_metadata *metadata, const struct label_counts *labels, struct id_set *ids, struct error *e)
{
        for (size_t i = 0; i < metadata->count; i++) {
                const struct index_entry *entry = &metadata->entries[i];
                if (among(labels->missing, labels->missing_count, entry->label))
                        continue;
                if (id_set_add(ids, entry->id, entry->id_len) < 0)
                        return error_set(e, ENOMEM, "no memory for %zu ids", metadata->count);
        }
        return 0;
}

int index_ids_read(int persist_fd, const char *segment_id, const struct index_audit *audit, db_cancel_fn *cancelled, void *context,
                   struct id_set *ids, struct error *e)
{
        if (!audit->stamps.files[INDEX_PICKLE].present || !audit->has_labels)
                return 0;
        char path[96];
        (void) snprintf(path, sizeof(path), "%s/%s", segment_id, index_file_names[INDEX_PICKLE]);
        CLEANUP(close)
        int fd = file_open_regular(persist_fd, path, NULL, e);
        if (fd < 0)
                return fd;
        CLEANUP(index_metadata_free)
        struct index_metadata *metadata = NULL;
        int r = index_metadata_read(fd, cancelled, context, &metadata, e);
        if (r < 0)
                return r;
        struct index_stamps after = index_stamps_read(persist_fd, segment_id);
        if (!index_stamps_equal(&after, &audit->stamps))
                return error_set(e, EAGAIN, "the index changed while it was read");
        return add_all(metadata, &audit->labels, ids, e);
}
