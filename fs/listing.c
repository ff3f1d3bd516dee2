#include "fs/listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/inodes.h"

struct listing {
        struct opened opened; /* first: see fs/opened.h */
        char *names;          /* NUL-terminated, one behind the other */
        size_t used, room;
        struct listed {
                size_t name;
                ino_t number;
                mode_t format;
        } * entries;
        size_t count, entry_room;
        const struct node *node; /* only while it is filled */
};

static mode_t format_of(enum node_kind kind)
{
        return kind == NODE_DIR ? S_IFDIR : kind == NODE_LINK ? S_IFLNK : S_IFREG;
}

static bool grow(void **array, size_t *room, size_t need, size_t element)
{
        if (need <= *room)
                return true;
        size_t more = *room == 0 ? 64 : 2 * *room;
        more = more < need ? need : more;
        void *larger = reallocarray(*array, more, element);
        if (larger == NULL)
                return false;
        *array = larger;
        *room = more;
        return true;
}

static int append(struct listing *l, const char *name, mode_t format, ino_t number)
{
        size_t len = strlen(name) + 1;
        void *names = l->names, *entries = l->entries;
        bool ok = grow(&names, &l->room, l->used + len, 1);
        l->names = names;
        ok = ok && grow(&entries, &l->entry_room, l->count + 1, sizeof(*l->entries));
        l->entries = entries;
        if (!ok)
                return -ENOMEM;
        memcpy(l->names + l->used, name, len);
        l->entries[l->count++] = (struct listed){ .name = l->used, .number = number, .format = format };
        l->used += len;
        return 0;
}

/* The number is a hint, as d_ino is: a file's true one depends on its generation. */
static int emit(void *context, const char *name, enum node_kind kind)
{
        struct listing *l = context;
        struct node child = *l->node;
        (void) node_set(&child, l->node->type, l->node->a, name);
        return append(l, name, format_of(kind), inode_number(&child, 1));
}

int listing_read(struct request *request, const struct node *node, fuse_ino_t self, struct listing **ret)
{
        if (node->type->kind != NODE_DIR)
                return -ENOTDIR;
        struct listing *l = calloc(1, sizeof(*l));
        if (l == NULL)
                return -ENOMEM;
        l->node = node;
        int r = append(l, ".", S_IFDIR, self);
        if (r == 0)
                r = append(l, "..", S_IFDIR, self);
        if (r == 0)
                r = node_list(request, node, emit, l);
        l->node = NULL;
        if (r < 0) {
                (void) listing_free(l);
                return r;
        }
        *ret = l;
        return 0;
}

size_t listing_fill(const struct listing *l, fuse_req_t req, char *buffer, size_t size, off_t offset)
{
        size_t used = 0;
        for (size_t i = offset < 0 ? l->count : (size_t) offset; i < l->count; i++) {
                const struct listed *entry = &l->entries[i];
                struct stat st = { .st_ino = entry->number, .st_mode = entry->format };
                size_t n = fuse_add_direntry(req, buffer + used, size - used, l->names + entry->name, &st, (off_t) i + 1);
                if (n > size - used)
                        break;
                used += n;
        }
        return used;
}

void listing_close(struct opened *opened)
{
        (void) listing_free((struct listing *) opened);
}

struct listing *listing_free(struct listing *listing)
{
        if (listing == NULL)
                return NULL;
        free(listing->names);
        free(listing->entries);
        free(listing);
        return NULL;
}
