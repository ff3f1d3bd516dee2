/*
 * What values were seen, by their keys (schema_extend.c does the rest).
 */
#include "ops/commit/schema.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/commit/schema_parts.h"

#define CHROMA_PREFIX "chroma:"

struct commit_schema *commit_schema_new(void)
{
        return calloc(1, sizeof(struct commit_schema));
}

struct commit_schema *commit_schema_free(struct commit_schema *schema)
{
        struct schema_key *key, *next;
        if (schema == NULL)
                return NULL;
        HASH_ITER(hh, schema->keys, key, next)
        {
                HASH_DEL(schema->keys, key);
                free(key);
        }
        free(schema);
        return NULL;
}

/* Chroma reads an empty array as one of bools, the first of its four. */
static int type_of(const struct commit_value *value)
{
        switch (value->type) {
        case COMMIT_STRING:
                return SCHEMA_STRING;
        case COMMIT_INT:
                return SCHEMA_INT;
        case COMMIT_FLOAT:
                return SCHEMA_FLOAT;
        case COMMIT_BOOL:
                return SCHEMA_BOOL;
        case COMMIT_ARRAY:
                return value->item_count == 0 ? SCHEMA_BOOL : type_of(&value->items[0]);
        case COMMIT_NULL:
        default:
                return -1;
        }
}

static bool is_kept(const struct text *key)
{
        size_t len = strlen(CHROMA_PREFIX);
        return (key->len < len || memcmp(key->bytes, CHROMA_PREFIX, len) != 0) && memchr(key->bytes, '\0', key->len) == NULL &&
               utf8_valid(key->bytes, key->len);
}

static struct schema_key *add_key(struct commit_schema *schema, const struct text *name)
{
        struct schema_key *key = calloc(1, sizeof(*key) + name->len + 1);
        if (key == NULL)
                return NULL;
        memcpy(key->name, name->bytes, name->len);
        key->len = name->len;
        HASH_ADD_KEYPTR(hh, schema->keys, key->name, key->len, key);
        if (key->hh.tbl == NULL) {
                free(key);
                return NULL;
        }
        schema->bytes += name->len + strlen("\"\":{},");
        return key;
}

int commit_schema_note(struct commit_schema *schema, const struct commit_value *value, struct error *e)
{
        struct schema_key *key = NULL;
        int type = schema == NULL ? -1 : type_of(value);
        if (type < 0 || schema->bytes > COMMIT_SCHEMA_MAX)
                return 0;
        HASH_FIND(hh, schema->keys, value->key.bytes, value->key.len, key);
        if (key == NULL && !is_kept(&value->key))
                return 0;
        if (key == NULL)
                key = add_key(schema, &value->key);
        if (key == NULL)
                return error_set(e, ENOMEM, "no memory for the keys of the schema");
        key->types |= 1u << (unsigned) type;
        return 0;
}
