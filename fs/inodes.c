#include "fs/inodes.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <string.h>
#include <uthash.h>
#include <xxhash.h>

#include "fs/tree.h"

struct inode {
        UT_hash_handle hh;
        struct inode *newer, *older; /* among those that hold contents */
        uint64_t number, state, lookups;
        const struct node_type *type;
        struct stat attributes;
        struct content *content;
        int failure;
        uint16_t b; /* where the second key begins in keys */
        char keys[];
};

struct inodes {
        pthread_mutex_t mutex;
        struct inode *all;
        struct inode *newest, *oldest;
        size_t held; /* bytes of contents */
};

static void content_destroy(struct result *shared)
{
        struct content *content = (struct content *) shared;
        free(content->text.bytes);
        (void) wal_stream_put(content->stream);
        free(content);
}

struct content *content_new(struct text *text)
{
        struct content *content = calloc(1, sizeof(*content));
        if (content == NULL) {
                free(text->bytes);
                return NULL;
        }
        result_init(&content->shared, content_destroy);
        content->text = *text;
        *text = (struct text){ 0 };
        return content;
}

struct content *content_of_stream(struct wal_stream *stream)
{
        struct text none = { 0 };
        struct content *content = content_new(&none);
        if (content != NULL)
                content->stream = stream;
        else
                (void) wal_stream_put(stream);
        return content;
}

struct content *content_put(struct content *content)
{
        if (content != NULL)
                (void) result_put(&content->shared);
        return NULL;
}

uint64_t inode_number(const struct node *node, uint64_t state)
{
        XXH64_hash_t h = XXH3_64bits_withSeed(node->type->name, strlen(node->type->name), state);
        h = XXH3_64bits_withSeed(node->a, strlen(node->a), h);
        h = XXH3_64bits_withSeed(node->b, strlen(node->b), h) & INT64_MAX;
        return h > FUSE_ROOT_ID ? h : h + 2;
}

static struct inode *inode_new(const struct node *node, uint64_t number, uint64_t state)
{
        size_t a = strlen(node->a) + 1, b = strlen(node->b) + 1;
        struct inode *inode = calloc(1, sizeof(*inode) + a + b);
        if (inode == NULL)
                return NULL;
        inode->number = number;
        inode->state = state;
        inode->type = node->type;
        inode->b = (uint16_t) a;
        memcpy(inode->keys, node->a, a);
        memcpy(inode->keys + a, node->b, b);
        return inode;
}

static bool inode_is(const struct inode *inode, const struct node *node, uint64_t state)
{
        return inode->type == node->type && inode->state == state && strcmp(inode->keys, node->a) == 0 &&
               strcmp(inode->keys + inode->b, node->b) == 0;
}

static struct inode *by_number(struct inodes *inodes, uint64_t number)
{
        struct inode *inode;
        HASH_FIND(hh, inodes->all, &number, sizeof(number), inode);
        return inode;
}

static void drop_content(struct inodes *inodes, struct inode *inode)
{
        if (inode->content == NULL)
                return;
        if (inode->content->stream != NULL) { /* never in the list */
                inode->content = content_put(inode->content);
                return;
        }
        inodes->held -= inode->content->text.len;
        inode->content = content_put(inode->content);
        *(inode->newer != NULL ? &inode->newer->older : &inodes->newest) = inode->older;
        *(inode->older != NULL ? &inode->older->newer : &inodes->oldest) = inode->newer;
        inode->newer = inode->older = NULL;
}

static void keep_content(struct inodes *inodes, struct inode *inode, struct content *content)
{
        (void) result_get(&content->shared);
        drop_content(inodes, inode);
        inode->content = content;
        if (content->stream != NULL)
                return;
        inode->older = inodes->newest;
        *(inodes->newest != NULL ? &inodes->newest->newer : &inodes->oldest) = inode;
        inodes->newest = inode;
        inodes->held += content->text.len;
        while (inodes->held > INODES_CONTENT_MAX && inodes->oldest != inode)
                drop_content(inodes, inodes->oldest);
}

static void destroy(struct inodes *inodes, struct inode *inode)
{
        drop_content(inodes, inode);
        HASH_DEL(inodes->all, inode);
        free(inode);
}

struct inodes *inodes_new(void)
{
        struct inodes *inodes = calloc(1, sizeof(*inodes));
        struct node root;
        (void) node_set(&root, &tree_root, "", "");
        struct inode *inode = inode_new(&root, FUSE_ROOT_ID, 0);
        if (inodes == NULL || inode == NULL) {
                free(inodes);
                free(inode);
                return NULL;
        }
        (void) pthread_mutex_init(&inodes->mutex, NULL);
        inode->lookups = 1;
        HASH_ADD(hh, inodes->all, number, sizeof(inode->number), inode);
        return inodes;
}

struct inodes *inodes_free(struct inodes *inodes)
{
        if (inodes == NULL)
                return NULL;
        struct inode *inode, *next;
        HASH_ITER(hh, inodes->all, inode, next)
        destroy(inodes, inode);
        (void) pthread_mutex_destroy(&inodes->mutex);
        free(inodes);
        return NULL;
}

/* Two nodes whose numbers are the same by chance get neighbouring ones. */
static struct inode *find_or_make(struct inodes *inodes, const struct node *node, uint64_t state)
{
        uint64_t number = inode_number(node, state);
        for (;; number++) {
                struct inode *inode = by_number(inodes, number);
                if (inode != NULL && inode_is(inode, node, state))
                        return inode;
                if (inode != NULL)
                        continue;
                inode = inode_new(node, number, state);
                if (inode != NULL)
                        HASH_ADD(hh, inodes->all, number, sizeof(inode->number), inode);
                return inode;
        }
}

int inodes_look_up(struct inodes *inodes, struct inode_info *info, struct content *content)
{
        int r = -ENOMEM;
        (void) pthread_mutex_lock(&inodes->mutex);
        struct inode *inode = find_or_make(inodes, &info->node, info->state);
        if (inode != NULL) {
                inode->lookups++;
                info->attributes.st_ino = inode->number;
                inode->attributes = info->attributes;
                inode->failure = info->failure;
                if (content != NULL)
                        keep_content(inodes, inode, content);
                r = 0;
        }
        (void) pthread_mutex_unlock(&inodes->mutex);
        return r;
}

void inodes_forget(struct inodes *inodes, uint64_t number, uint64_t lookups)
{
        (void) pthread_mutex_lock(&inodes->mutex);
        struct inode *inode = by_number(inodes, number);
        if (inode != NULL && number != FUSE_ROOT_ID) {
                inode->lookups -= lookups < inode->lookups ? lookups : inode->lookups;
                if (inode->lookups == 0)
                        destroy(inodes, inode);
        }
        (void) pthread_mutex_unlock(&inodes->mutex);
}

bool inodes_info(struct inodes *inodes, uint64_t number, struct inode_info *ret)
{
        (void) pthread_mutex_lock(&inodes->mutex);
        const struct inode *inode = by_number(inodes, number);
        if (inode != NULL) {
                (void) node_set(&ret->node, inode->type, inode->keys, inode->keys + inode->b);
                ret->state = inode->state;
                ret->failure = inode->failure;
                ret->attributes = inode->attributes;
        }
        (void) pthread_mutex_unlock(&inodes->mutex);
        return inode != NULL;
}

struct content *inodes_content(struct inodes *inodes, uint64_t number)
{
        struct content *content = NULL;
        (void) pthread_mutex_lock(&inodes->mutex);
        struct inode *inode = by_number(inodes, number);
        if (inode != NULL && inode->content != NULL)
                content = (struct content *) result_get(&inode->content->shared);
        (void) pthread_mutex_unlock(&inodes->mutex);
        return content;
}

bool inodes_settle(struct inodes *inodes, uint64_t number, struct content *content)
{
        (void) pthread_mutex_lock(&inodes->mutex);
        struct inode *inode = by_number(inodes, number);
        if (inode != NULL && inode->content == NULL)
                keep_content(inodes, inode, content);
        (void) pthread_mutex_unlock(&inodes->mutex);
        return inode != NULL;
}
