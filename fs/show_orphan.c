/* orphans/<dir>/info.json: what would be removed, and why. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "fs/facts.h"
#include "fs/show.h"
#include "ops/dir_size.h"
#include "ops/index_summary.h"
#include "ops/json.h"
#include "ops/orphans.h"

static struct json_object *time_json(int64_t ns)
{
        time_t seconds = (time_t) (ns / 1000000000);
        struct tm tm;
        char text[32];
        if (gmtime_r(&seconds, &tm) == NULL || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                return NULL;
        return json_string(text);
}

static struct json_object *orphan_json(int persist_fd, const struct orphan *orphan, const struct dir_size *size)
{
        struct index_summary index;
        index_summary_read(persist_fd, orphan->name, &index);
        struct json_object *o = json_object_new_object();
        if (o == NULL)
                return NULL;
        json_object_object_add(o, "directory", json_string(orphan->name));
        json_object_object_add(o, "size", json_object_new_uint64(size->apparent));
        json_object_object_add(o, "files", json_object_new_uint64(size->files));
        json_object_object_add(o, "labels", number_or_null(index.has_pickle, index.total_labels));
        json_object_object_add(o, "elements", number_or_null(index.has_header, index.header.count));
        json_object_object_add(o, "since", time_json(size->newest_ns));
        json_object_object_add(o, "removable", json_object_new_boolean(orphan->removable));
        json_object_object_add(o, "reason", json_string(orphan->reason));
        return o;
}

static const struct orphan *find(const struct orphans *orphans, const char *name)
{
        for (size_t i = 0; i < orphans->count; i++)
                if (strcmp(orphans->list[i].name, name) == 0)
                        return &orphans->list[i];
        return NULL;
}

int show_orphan_info(struct request *request, const struct node *node, struct text *ret)
{
        int persist_fd = observer_dirfd(request->mount->observer);
        struct orphans orphans = { 0 };
        int r = orphans_read(persist_fd, request->view->catalog, &orphans, &request->error);
        if (r < 0)
                return r;
        const struct orphan *orphan = find(&orphans, node->a);
        struct dir_size size;
        r = orphan == NULL ? -ENOENT : dir_size_read(persist_fd, node->a, &size, &request->error);
        if (r == 0)
                r = show_json(orphan_json(persist_fd, orphan, &size), ret);
        orphans_clear(&orphans);
        return r;
}
