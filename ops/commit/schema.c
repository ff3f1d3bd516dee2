/*
 * What is new goes to the front of the object that it belongs to, right behind its '{', so that no end has to be looked for. All new keys go in at once; a type for a key that is
 * there already costs a walk through the text, so there is a limit to these.
 */
#include "ops/commit/schema.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "ops/json.h"
#include "ops/json_escape.h"
#include "ops/operation/json_edit.h"

#define CHROMA_PREFIX "chroma:"
#define EDITS_MAX 1000u

DEFINE_CLEANUP(struct json_object *, json_object_put)

enum { TYPE_STRING, TYPE_INT, TYPE_FLOAT, TYPE_BOOL, TYPE_COUNT };

/* Both spellings are read, the first is written. */
static const char *const type_names[TYPE_COUNT][2] = {
        { "string", "#string" }, { "int", "#int" }, { "float", "#float" }, { "bool", "#bool" }
};

struct key {
        UT_hash_handle hh;
        unsigned types; /* bits */
        size_t len;
        char name[];
};

struct commit_schema {
        struct key *keys;
        size_t bytes; /* that the keys add at least */
};

struct commit_schema *commit_schema_new(void)
{
        return calloc(1, sizeof(struct commit_schema));
}

struct commit_schema *commit_schema_free(struct commit_schema *schema)
{
        struct key *key, *next;
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
                return TYPE_STRING;
        case COMMIT_INT:
                return TYPE_INT;
        case COMMIT_FLOAT:
                return TYPE_FLOAT;
        case COMMIT_BOOL:
                return TYPE_BOOL;
        case COMMIT_ARRAY:
                return value->item_count == 0 ? TYPE_BOOL : type_of(&value->items[0]);
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

static struct key *add_key(struct commit_schema *schema, const struct text *name)
{
        struct key *key = calloc(1, sizeof(*key) + name->len + 1);
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
        struct key *key = NULL;
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

/* Extending. */

struct extension {
        struct json_edit edit;
        struct json_object *keys; /* as parsed */
        size_t keys_at;           /* in the text */
        const char *defaults[TYPE_COUNT];
        struct printbuf *added, *type; /* what is printed: new keys, and one type for a key that is there */
        unsigned edits;
};

static int no_memory(struct error *e)
{
        return error_set(e, ENOMEM, "no memory for the schema");
}

/* The spelling that the object has, or the first. */
static const char *spelling(struct json_object *object, int type)
{
        bool is_other = !json_object_object_get_ex(object, type_names[type][0], NULL) &&
                        json_object_object_get_ex(object, type_names[type][1], NULL);
        return type_names[type][is_other];
}

static int insert(struct json_edit *edit, size_t at, const char *bytes, size_t len, struct error *e)
{
        struct text *t = &edit->text;
        char *grown = realloc(t->bytes, t->len + len + 1);
        if (grown == NULL)
                return no_memory(e);
        memmove(grown + at + len, grown + at, t->len + 1 - at);
        memcpy(grown + at, bytes, len);
        *t = (struct text){ grown, t->len + len };
        return 0;
}

/* {"string":…,"int":…} of those that have a default */
static int print_types(struct extension *x, unsigned types)
{
        int failed = printbuf_memappend(x->added, "{", 1), count = 0;
        for (int type = 0; type < TYPE_COUNT; type++)
                if (types >> type & 1u && x->defaults[type] != NULL)
                        failed |= sprintbuf(x->added, "%s\"%s\":", count++ == 0 ? "" : ",", type_names[type][0]) |
                                  printbuf_memappend(x->added, x->defaults[type], (int) strlen(x->defaults[type]));
        return (failed | printbuf_memappend(x->added, "}", 1)) < 0 ? -ENOMEM : 0;
}

static int print_key(struct extension *x, const struct key *key, struct error *e)
{
        bool is_first = printbuf_length(x->added) == 0;
        if ((!is_first && printbuf_memappend(x->added, ",", 1) < 0) || json_escape(x->added, key->name, key->len) < 0 ||
            printbuf_memappend(x->added, ":", 1) < 0 || print_types(x, key->types) < 0)
                return no_memory(e);
        return 0;
}

/* Behind an object's '{'. */
static int insert_first(struct json_edit *edit, size_t object, struct printbuf *members, struct error *e)
{
        size_t at = object + 1, next = at;
        while (next < edit->text.len && strchr(" \t\n\r", edit->text.bytes[next]) != NULL)
                next++;
        if (edit->text.bytes[next] != '}' && printbuf_memappend(members, ",", 1) < 0)
                return no_memory(e);
        return insert(edit, at, members->buf, (size_t) printbuf_length(members), e);
}

/* A key that is there gets a type; where that stands as null it is replaced, since no reader takes a type twice. */
static int add_type(struct extension *x, const struct key *key, struct json_object *known, int type, struct error *e)
{
        const char *name = spelling(known, type);
        size_t at = 0;
        int r = json_edit_object(&x->edit, x->keys_at, key->name, &at, e);
        if (r <= 0)
                return r;
        x->edits++;
        if (json_object_object_get_ex(known, name, NULL))
                return json_edit_set(&x->edit, at, name, x->defaults[type], e);
        printbuf_reset(x->type);
        if (sprintbuf(x->type, "\"%s\":", name) < 0 ||
            printbuf_memappend(x->type, x->defaults[type], (int) strlen(x->defaults[type])) < 0)
                return no_memory(e);
        return insert_first(&x->edit, at, x->type, e);
}

static int add_types(struct extension *x, const struct key *key, struct json_object *known, struct error *e)
{
        int r = 0;
        if (!json_object_is_type(known, json_type_object))
                return 0;
        for (int type = 0; r == 0 && type < TYPE_COUNT && x->edits < EDITS_MAX; type++) {
                bool is_missing = json_object_object_get(known, spelling(known, type)) == NULL;
                if (key->types >> type & 1u && is_missing && x->defaults[type] != NULL)
                        r = add_type(x, key, known, type, e);
        }
        return r;
}

static int add_all(struct extension *x, const struct commit_schema *schema, struct error *e)
{
        int r = 0;
        for (const struct key *key = schema->keys; r == 0 && key != NULL; key = key->hh.next) {
                struct json_object *known = NULL;
                r = json_object_object_get_ex(x->keys, key->name, &known) ? add_types(x, key, known, e) : print_key(x, key, e);
                if ((size_t) printbuf_length(x->added) > COMMIT_SCHEMA_MAX)
                        return error_set(e, EILSEQ, "the schema becomes too large");
        }
        if (r == 0 && printbuf_length(x->added) > 0)
                r = insert_first(&x->edit, x->keys_at, x->added, e);
        return r;
}

/* Where things are. -EILSEQ: not as Chroma has them. */
static int look(struct extension *x, struct json_object *root, struct error *e)
{
        static const char *const names[] = { "keys", "key_overrides" };
        const char *name = names[json_object_object_get_ex(root, names[0], NULL) ? 0 : 1];
        struct json_object *defaults = json_object_object_get(root, "defaults");
        x->keys = json_object_object_get(root, name);
        if (!json_object_is_type(x->keys, json_type_object) || !json_object_is_type(defaults, json_type_object))
                return error_set(e, EILSEQ, "the schema has no keys, or no defaults");
        for (int type = 0; type < TYPE_COUNT; type++) {
                struct json_object *value = json_object_object_get(defaults, spelling(defaults, type));
                x->defaults[type] =
                        value == NULL
                                ? NULL
                                : json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
                if (value != NULL && x->defaults[type] == NULL)
                        return no_memory(e);
        }
        int r = json_edit_object(&x->edit, x->edit.root, name, &x->keys_at, e);
        return r == 0 ? error_set(e, EILSEQ, "the schema has no keys") : r < 0 ? r : 0;
}

static int extend(struct extension *x, const struct commit_schema *schema, const struct text *json, struct error *e)
{
        CLEANUP(json_object_put)
        struct json_object *root = NULL;
        x->added = printbuf_new();
        x->type = printbuf_new();
        if (x->added == NULL || x->type == NULL)
                return no_memory(e);
        int r = json_edit_begin(&x->edit, json, "schema_str", false, e);
        if (r == 0)
                r = json_parse(json->bytes, json->len, &root, e);
        if (r == 0)
                r = look(x, root, e);
        return r < 0 ? r : add_all(x, schema, e);
}

int commit_schema_extend(const struct commit_schema *schema, const struct text *json, struct text *ret, struct error *e)
{
        struct extension x = { .edits = 0 };
        struct error why;
        if (schema->keys == NULL || schema->bytes > COMMIT_SCHEMA_MAX)
                return 0;
        int r = extend(&x, schema, json, &why);
        bool is_other = r == 0 && (x.edits > 0 || printbuf_length(x.added) > 0) && x.edit.text.len <= COMMIT_SCHEMA_MAX;
        if (is_other)
                *ret = x.edit.text;
        else
                json_edit_clear(&x.edit);
        printbuf_free(x.added);
        printbuf_free(x.type);
        return r == -ENOMEM ? no_memory(e) : is_other;
}
