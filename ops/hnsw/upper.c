/*
 * The lists above level 0: in blocks, since one in M elements has some, of one size each mostly.
 */
#include <stdlib.h>

#include "ops/hnsw/graph.h"

#define BLOCK_SIZE (256u << 10)

struct upper_block {
        struct upper_block *next;
        size_t used, size;
        unsigned char bytes[];
};

unsigned char *upper_add(struct hnsw *h, size_t size)
{
        struct upper_block *block = h->upper_blocks;
        if (block == NULL || block->size - block->used < size) {
                size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
                block = calloc(1, sizeof(*block) + room);
                if (block == NULL)
                        return NULL;
                block->size = room;
                block->next = h->upper_blocks;
                h->upper_blocks = block;
        }
        unsigned char *bytes = block->bytes + block->used;
        block->used += size;
        h->upper_bytes += size;
        return bytes;
}

void upper_free(struct upper_block *blocks)
{
        while (blocks != NULL) {
                struct upper_block *next = blocks->next;
                free(blocks);
                blocks = next;
        }
}
