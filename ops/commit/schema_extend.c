/*
 * What is written comes from the text of the schema and from what was noted, never from a parsed copy: json-c may lose a member when there is no memory, and not tell.
 *
 * The members of `keys` are walked once. What is new goes to the front of the object that it belongs to, right behind its '{', so that no end has to be looked for; what is to be put
 * where is noted, and all of it is put together at the end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/commit/schema_parts.h"
#include "ops/json_escape.h"
#include "ops/operation/json_edit.h"

/* Both spellings are read, the first is written. */
static const char *const type_names[SCHEMA_TYPES][2] = {
        { "string", "#string" }, { "int", "#int" }, { "float", "#float" }, { "bool", "#bool" }
};

struct change {           /* to the text */
        size_t at, gone;  /* where, and how many bytes go */
        size_t from, len; /* of `added`: what comes */
};

struct extension {
        const struct commit_schema *schema;
        struct json_edit edit;              /* never changed */
        size_t keys;                        /* the object's offset */
        struct text defaults[SCHEMA_TYPES]; /* as they are written; bytes NULL: there is none */
        struct printbuf *added;
        struct change *changes;
        size_t count, allocated;
        struct error *e;
};

static int no_memory(struct error *e)
{
        return error_set(e, ENOMEM, "no memory for the schema");
}

/* What is to be put in. */

static int put(const struct extension *x, const char *bytes, size_t len)
{
        if (len > COMMIT_SCHEMA_MAX || (size_t) printbuf_length(x->added) > COMMIT_SCHEMA_MAX - len)
                return error_set(x->e, EILSEQ, "the schema becomes too large");
        return printbuf_memappend(x->added, bytes, (int) len) < 0 ? no_memory(x->e) : 0;
}

static int put_text(const struct extension *x, const char *text)
{
        return put(x, text, strlen(text));
}

/* What was put since `from` is one change. */
static int note_change(struct extension *x, size_t at, size_t gone, size_t from)
{
        if (x->count == x->allocated) {
                size_t allocated = x->allocated == 0 ? 16 : 2 * x->allocated;
                struct change *changes = reallocarray(x->changes, allocated, sizeof(*changes));
                if (changes == NULL)
                        return no_memory(x->e);
                x->changes = changes;
                x->allocated = allocated;
        }
        x->changes[x->count++] = (struct change){ at, gone, from, (size_t) printbuf_length(x->added) - from };
        return 0;
}

/* The same at the front of an object, in which there may be something. */
static int note_first(struct extension *x, size_t object, size_t from)
{
        size_t at = object;
        struct json_member first;
        int r = json_edit_next(&x->edit, &at, &first, x->e);
        if (r > 0)
                r = put_text(x, ",");
        return r < 0 ? r : note_change(x, object + 1, 0, from);
}

static int put_type(const struct extension *x, bool is_first, int type)
{
        int r = is_first ? 0 : put_text(x, ",");
        if (r == 0)
                r = put_text(x, "\"");
        if (r == 0)
                r = put_text(x, type_names[type][0]);
        if (r == 0)
                r = put_text(x, "\":");
        return r < 0 ? r : put(x, x->defaults[type].bytes, x->defaults[type].len);
}

/* Those of the types that have a default: {"string":…,"int":…} without the braces. */
static int put_types(const struct extension *x, unsigned types)
{
        bool is_first = true;
        int r = 0;
        for (int type = 0; r == 0 && type < SCHEMA_TYPES; type++)
                if ((types >> type & 1u) != 0 && x->defaults[type].bytes != NULL) {
                        r = put_type(x, is_first, type);
                        is_first = false;
                }
        return r;
}

static int put_key(const struct extension *x, bool is_first, const struct schema_key *key)
{
        int r = is_first ? 0 : put_text(x, ",");
        if (r == 0 && json_escape(x->added, key->name, key->len) < 0)
                r = no_memory(x->e);
        if (r == 0)
                r = put_text(x, ":{");
        if (r == 0)
                r = put_types(x, key->types);
        return r < 0 ? r : put_text(x, "}");
}

/* The text as it is. */

struct value { /* of a member; in the text */
        bool present;
        size_t at, len;
};

static bool is_null(const struct extension *x, const struct value *v)
{
        return x->edit.text.bytes[v->at] == 'n';
}

static int find(const struct extension *x, size_t object, const char *name, struct value *ret)
{
        struct json_member member;
        int r = json_edit_member(&x->edit, object, name, &member, x->e);
        *ret = (struct value){ .present = r > 0 };
        if (r > 0)
                *ret = (struct value){ true, member.value, member.end - member.value };
        return r < 0 ? r : 0;
}

/* Under the spelling that the object has. */
static int find_type(const struct extension *x, size_t object, int type, struct value *ret)
{
        int r = find(x, object, type_names[type][0], ret);
        return r < 0 || ret->present ? r : find(x, object, type_names[type][1], ret);
}

static int find_defaults(struct extension *x)
{
        size_t object = 0;
        int r = json_edit_object(&x->edit, x->edit.root, "defaults", &object, x->e);
        if (r == 0)
                return error_set(x->e, EILSEQ, "the schema has no defaults");
        for (int type = 0; r >= 0 && type < SCHEMA_TYPES; type++) {
                struct value value;
                r = find_type(x, object, type, &value);
                if (r == 0 && value.present && !is_null(x, &value))
                        x->defaults[type] = (struct text){ x->edit.text.bytes + value.at, value.len };
        }
        return r < 0 ? r : 0;
}

static int find_keys(struct extension *x)
{
        struct value keys;
        int r = find(x, x->edit.root, "keys", &keys);
        if (r == 0)
                r = json_edit_object(&x->edit, x->edit.root, keys.present ? "keys" : "key_overrides", &x->keys, x->e);
        return r == 0 ? error_set(x->e, EILSEQ, "the schema has no keys") : r < 0 ? r : 0;
}

/* The keys. */

/* Where a type stands as null it is replaced, since no reader takes a type twice. */
static int replace_null(struct extension *x, const struct value *value, int type)
{
        size_t from = (size_t) printbuf_length(x->added);
        int r = put(x, x->defaults[type].bytes, x->defaults[type].len);
        return r < 0 ? r : note_change(x, value->at, value->len, from);
}

/* A key that is there gets the types that it lacks. */
static int add_types(struct extension *x, size_t object, unsigned types)
{
        unsigned missing = 0;
        int r = 0;
        for (int type = 0; r == 0 && type < SCHEMA_TYPES; type++) {
                struct value value;
                if ((types >> type & 1u) == 0 || x->defaults[type].bytes == NULL)
                        continue;
                r = find_type(x, object, type, &value);
                if (r == 0 && !value.present)
                        missing |= 1u << type;
                else if (r == 0 && is_null(x, &value))
                        r = replace_null(x, &value, type);
        }
        size_t from = (size_t) printbuf_length(x->added);
        if (r == 0 && missing != 0)
                r = put_types(x, missing);
        return r < 0 || missing == 0 ? r : note_first(x, object, from);
}

static int take_member(struct extension *x, const struct json_member *member)
{
        CLEANUP(free)
        char *held = NULL;
        struct schema_key *key = NULL;
        struct text name;
        int r = json_edit_key(&x->edit, &member->key, &name, &held, x->e);
        if (r < 0)
                return r;
        HASH_FIND(hh, x->schema->keys, name.bytes, name.len, key);
        if (key == NULL)
                return 0;
        if (key->known)
                return error_set(x->e, EILSEQ, "the schema has a key twice");
        key->known = true;
        return x->edit.text.bytes[member->value] == '{' ? add_types(x, member->value, key->types) : 0;
}

static int take_members(struct extension *x)
{
        size_t at = x->keys;
        struct json_member member;
        int r;
        for (struct schema_key *key = x->schema->keys; key != NULL; key = key->hh.next)
                key->known = false;
        while ((r = json_edit_next(&x->edit, &at, &member, x->e)) > 0 && (r = take_member(x, &member)) == 0)
                ;
        return r;
}

static int add_keys(struct extension *x)
{
        size_t from = (size_t) printbuf_length(x->added);
        bool is_first = true;
        int r = 0;
        for (const struct schema_key *key = x->schema->keys; r == 0 && key != NULL; key = key->hh.next)
                if (!key->known) {
                        r = put_key(x, is_first, key);
                        is_first = false;
                }
        return r < 0 || is_first ? r : note_first(x, x->keys, from);
}

/* The whole. */

static int by_place(const void *a, const void *b)
{
        const struct change *x = a, *y = b;
        return (x->at > y->at) - (x->at < y->at);
}

/* 1, or 0 when it would be too large. */
static int assemble(const struct extension *x, struct text *ret)
{
        const struct text *old = &x->edit.text;
        size_t len = old->len + (size_t) printbuf_length(x->added), at = 0, end = 0;
        char *bytes = malloc(len + 1);
        if (bytes == NULL)
                return no_memory(x->e);
        qsort(x->changes, x->count, sizeof(*x->changes), by_place);
        for (size_t i = 0; i < x->count; i++) {
                const struct change *c = &x->changes[i];
                memcpy(bytes + end, old->bytes + at, c->at - at);
                end += c->at - at;
                memcpy(bytes + end, x->added->buf + c->from, c->len);
                end += c->len;
                at = c->at + c->gone;
        }
        memcpy(bytes + end, old->bytes + at, old->len - at);
        end += old->len - at;
        bytes[end] = '\0';
        if (end > COMMIT_SCHEMA_MAX) {
                free(bytes);
                return 0;
        }
        *ret = (struct text){ bytes, end };
        return 1;
}

static int extend(struct extension *x, struct text *ret)
{
        x->added = printbuf_new();
        if (x->added == NULL)
                return no_memory(x->e);
        int r = find_defaults(x);
        if (r == 0)
                r = find_keys(x);
        if (r == 0)
                r = take_members(x);
        if (r == 0)
                r = add_keys(x);
        return r < 0 || x->count == 0 ? r : assemble(x, ret);
}

int commit_schema_extend(const struct commit_schema *schema, const struct text *json, struct text *ret, struct error *e)
{
        struct error why;
        struct extension x = { .schema = schema, .e = &why };
        if (schema->keys == NULL || schema->bytes > COMMIT_SCHEMA_MAX)
                return 0;
        int r = json_edit_begin(&x.edit, json, "schema_str", false, &why);
        if (r == 0) {
                r = extend(&x, ret);
                json_edit_clear(&x.edit);
        }
        printbuf_free(x.added);
        free(x.changes);
        return r == -ENOMEM ? no_memory(e) : r > 0;
}
