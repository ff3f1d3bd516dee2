#include "fs/dirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/tree.h"
#include "ops/file.h"
#include "ops/orphans.h"

static int found(struct node *ret, const struct node_type *type, const char *a, const char *b)
{
        return node_set(ret, type, a, b) ? 0 : -ENOENT;
}

/* collections/ and by-id/ */

int collections_list(struct request *request, const struct node *node, node_emit *emit, void *context)
{
        (void) node;
        int r = 0;
        for (size_t i = 0; r == 0 && i < request->entries->count; i++)
                r = emit(context, request->entries->by_name[i]->name, NODE_DIR);
        return r;
}

int collections_find(struct request *request, const struct node *node, const char *name, struct node *ret)
{
        (void) node;
        const struct entry *entry = entries_by_name(request->entries, name);
        return entry == NULL ? -ENOENT : found(ret, &tree_collection, name, "");
}

static void id_entry(const struct collection *collection, char buffer[ENTRY_SIZE])
{
        entry_of_text(&collection->id, ENTRY_NAME, buffer);
}

int by_id_list(struct request *request, const struct node *node, node_emit *emit, void *context)
{
        (void) node;
        int r = 0;
        for (size_t i = 0; r == 0 && i < request->entries->count; i++) {
                char name[ENTRY_SIZE];
                id_entry(request->entries->by_id[i].collection, name);
                r = emit(context, name, NODE_LINK);
        }
        return r;
}

int by_id_find(struct request *request, const struct node *node, const char *name, struct node *ret)
{
        (void) node;
        const struct entry *entry = entries_by_id(request->entries, name);
        if (entry != NULL && entry->collection->id_is_uuid)
                return found(ret, &tree_id_link, name, "");
        for (size_t i = 0; i < request->entries->count; i++) {
                const struct collection *collection = request->entries->by_id[i].collection;
                char encoded[ENTRY_SIZE];
                if (collection->id_is_uuid)
                        continue;
                id_entry(collection, encoded);
                if (strcmp(encoded, name) == 0)
                        return found(ret, &tree_id_link, collection->id.bytes, "");
        }
        return -ENOENT;
}

/* segments/ and collections/<entry>/segments/ */

static bool shown(const struct request *request, const struct segment *segment)
{
        struct node node;
        return segment->id_is_uuid && node_set(&node, &tree_segment, segment->id.bytes, "") && node_segment(request, &node) != NULL;
}

int segments_list(struct request *request, const struct node *node, node_emit *emit, void *context)
{
        (void) node;
        const struct catalog *catalog = request->view->catalog;
        int r = 0;
        for (size_t i = 0; r == 0 && i < catalog->segment_count; i++)
                if (shown(request, &catalog->segments[i]))
                        r = emit(context, catalog->segments[i].id.bytes, NODE_DIR);
        return r;
}

int segments_find(struct request *request, const struct node *node, const char *name, struct node *ret)
{
        (void) node;
        const struct segment *segment = catalog_segment(request->view->catalog, name);
        return segment == NULL || !shown(request, segment) ? -ENOENT : found(ret, &tree_segment, name, "");
}

/* A collection has two segments; a damaged directory can have more, which only segments/ shows. */
static const struct segment *segment_of(const struct collection *collection, int i)
{
        return i == 0 ? collection->vector : collection->metadata;
}

int collection_segments_list(struct request *request, const struct node *node, node_emit *emit, void *context)
{
        const struct collection *collection = node_collection(request, node);
        if (collection == NULL)
                return -ENOENT;
        int r = 0;
        for (int i = 0; r == 0 && i < 2; i++) {
                const struct segment *segment = segment_of(collection, i);
                if (segment != NULL && segment->id_is_uuid)
                        r = emit(context, segment->id.bytes, NODE_LINK);
        }
        return r;
}

int collection_segments_find(struct request *request, const struct node *node, const char *name, struct node *ret)
{
        const struct collection *collection = node_collection(request, node);
        for (int i = 0; collection != NULL && i < 2; i++) {
                const struct segment *segment = segment_of(collection, i);
                if (segment != NULL && segment->id_is_uuid && strcmp(segment->id.bytes, name) == 0)
                        return found(ret, &tree_segment_link, name, "");
        }
        return -ENOENT;
}

/* segments/<segment id>/files/ */

static int open_segment(struct request *request, const struct node *node)
{
        if (node_segment(request, node) == NULL)
                return -ENOENT;
        return file_open_dir(observer_dirfd(request->mount->observer), node->a, &request->error);
}

int segment_files_list(struct request *request, const struct node *node, node_emit *emit, void *context)
{
        int fd = open_segment(request, node);
        if (fd < 0)
                return fd;
        DIR *dir = fdopendir(fd);
        if (dir == NULL) {
                int r = -errno;
                (void) close(fd);
                return r;
        }
        int r = 0;
        for (struct dirent *d; r == 0 && (d = readdir(dir)) != NULL;) {
                struct file_stamp stamp = file_stamp_at(fd, d->d_name);
                if (stamp.present && S_ISREG(stamp.mode))
                        r = emit(context, d->d_name, NODE_RAW);
        }
        (void) closedir(dir);
        return r;
}

int segment_files_find(struct request *request, const struct node *node, const char *name, struct node *ret)
{
        CLEANUP(close)
        int fd = open_segment(request, node);
        if (fd < 0)
                return fd;
        struct file_stamp stamp = file_stamp_at(fd, name);
        if (!stamp.present || !S_ISREG(stamp.mode))
                return -ENOENT;
        return found(ret, &tree_segment_file, node->a, name);
}

/* orphans/ */

int orphans_list(struct request *request, const struct node *node, node_emit *emit, void *context)
{
        (void) node;
        struct orphans orphans = { 0 };
        int r = orphans_read(observer_dirfd(request->mount->observer), request->view->catalog, &orphans, &request->error);
        for (size_t i = 0; r == 0 && i < orphans.count; i++)
                r = emit(context, orphans.list[i].name, NODE_DIR);
        orphans_clear(&orphans);
        return r;
}

int orphans_find(struct request *request, const struct node *node, const char *name, struct node *ret)
{
        (void) node;
        if (!uuid_valid(name) || catalog_segment(request->view->catalog, name) != NULL)
                return -ENOENT;
        struct file_stamp stamp = file_stamp_at(observer_dirfd(request->mount->observer), name);
        return stamp.present && S_ISDIR(stamp.mode) ? found(ret, &tree_orphan, name, "") : -ENOENT;
}
