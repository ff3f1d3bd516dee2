/*
 * The object, its values and what counts of them. No tree is made of it: a value is a scalar, an array of scalars, or left out.
 */
#include "ops/commit/row_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/commit/row_lex.h"

struct list {
        struct commit_value *values;
        size_t count, allocated;
};

struct parser {
        struct commit_lexer lexer;
        struct list keys;
        size_t total; /* keys and elements */
        struct error *e;
};

static int append(struct parser *parser, struct list *list, const struct commit_value *value)
{
        if (parser->total++ >= COMMIT_VALUES_MAX)
                return commit_lex_fail(&parser->lexer, "too many values");
        if (list->count == list->allocated) {
                size_t want = list->allocated == 0 ? 8 : 2 * list->allocated;
                struct commit_value *values = reallocarray(list->values, want, sizeof(*values));
                if (values == NULL)
                        return error_set(parser->e, ENOMEM, "no memory for a row of the log");
                list->values = values;
                list->allocated = want;
        }
        list->values[list->count++] = *value;
        return 0;
}

static int parse_scalar(struct commit_lexer *lexer, struct commit_value *ret)
{
        int c = commit_lex_peek(lexer);
        *ret = (struct commit_value){ .type = COMMIT_STRING };
        if (c == '"')
                return commit_lex_string(lexer, &ret->string);
        if (c == '-' || (c >= '0' && c <= '9'))
                return commit_lex_number(lexer, ret);
        return commit_lex_name(lexer, ret);
}

/* Behind a value inside of brackets: 1 when another one follows, 0 at the end, -1 when neither does. */
static int follows(struct commit_lexer *lexer, int close)
{
        int c = commit_lex_peek(lexer);
        if (c != ',' && c != close)
                return -1;
        lexer->at++;
        return c == ',' ? 1 : 0;
}

static int no_end(struct commit_lexer *lexer)
{
        return commit_lex_fail(lexer, "neither a comma nor an end");
}

static int expect_colon(struct commit_lexer *lexer)
{
        if (commit_lex_peek(lexer) != ':')
                return commit_lex_fail(lexer, "no colon behind a key");
        lexer->at++;
        return 0;
}

static int skip_value(struct commit_lexer *lexer, unsigned depth);

static int skip_elements(struct commit_lexer *lexer, unsigned depth)
{
        int close = *lexer->at++ == '{' ? '}' : ']', more = 1;
        if (depth > COMMIT_DEPTH_MAX)
                return commit_lex_fail(lexer, "values too deep in one another");
        if (commit_lex_peek(lexer) == close) {
                lexer->at++;
                return 0;
        }
        while (more > 0) {
                struct text key;
                int r = close == '}' ? commit_lex_string(lexer, &key) : 0;
                if (r == 0 && close == '}')
                        r = expect_colon(lexer);
                if (r == 0)
                        r = skip_value(lexer, depth + 1);
                if (r != 0)
                        return r;
                more = follows(lexer, close);
        }
        return more < 0 ? no_end(lexer) : 0;
}

static int skip_value(struct commit_lexer *lexer, unsigned depth)
{
        struct commit_value value;
        int c = commit_lex_peek(lexer);
        return c == '{' || c == '[' ? skip_elements(lexer, depth) : parse_scalar(lexer, &value);
}

/* Neither its strings nor what is wrong with them matter. */
static int leave_out(struct commit_lexer *lexer, struct commit_value *ret)
{
        struct commit_lexer before = *lexer;
        int r = skip_value(lexer, 1);
        lexer->strings = before.strings;
        lexer->surrogate = before.surrogate;
        lexer->endless = before.endless;
        *ret = (struct commit_value){ .type = COMMIT_ARRAY };
        return r;
}

/* Integers among doubles are doubles. */
static int unify(struct parser *parser, const struct list *items)
{
        size_t of_type[COMMIT_ARRAY + 1] = { 0 };
        for (size_t i = 0; i < items->count; i++)
                of_type[items->values[i].type]++;
        size_t count = items->count, ints = of_type[COMMIT_INT], floats = of_type[COMMIT_FLOAT];
        if (of_type[COMMIT_STRING] == count || of_type[COMMIT_BOOL] == count || ints == count)
                return 0;
        if (ints + floats != count)
                return commit_lex_fail(&parser->lexer, "an array of values that are not of one type");
        for (size_t i = 0; i < count; i++) {
                struct commit_value *item = &items->values[i];
                if (item->type == COMMIT_INT)
                        *item = (struct commit_value){ .key = item->key, .type = COMMIT_FLOAT, .real = (double) item->integer };
        }
        return 0;
}

static int parse_items(struct parser *parser, struct list *items)
{
        struct commit_lexer *lexer = &parser->lexer;
        static char no_key[1];
        int more = 1;
        while (more > 0) {
                struct commit_value value;
                int c = commit_lex_peek(lexer), r;
                if (c == '[' || c == '{')
                        return commit_lex_fail(lexer, "a value inside of another one, which Chroma does not know");
                r = parse_scalar(lexer, &value);
                value.key = (struct text){ no_key, 0 };
                if (r == 0)
                        r = append(parser, items, &value);
                if (r != 0)
                        return r;
                more = follows(lexer, ']');
        }
        return more < 0 ? no_end(lexer) : unify(parser, items);
}

static int parse_array(struct parser *parser, struct commit_value *ret)
{
        struct list items = { 0 };
        parser->lexer.at++;
        *ret = (struct commit_value){ .type = COMMIT_NULL };
        if (commit_lex_peek(&parser->lexer) == ']') {
                parser->lexer.at++;
                return 0;
        }
        int r = parse_items(parser, &items);
        if (r != 0)
                free(items.values);
        else
                *ret = (struct commit_value){ .type = COMMIT_ARRAY, .items = items.values, .item_count = items.count };
        return r;
}

static int parse_value(struct parser *parser, struct commit_value *ret)
{
        struct commit_lexer *lexer = &parser->lexer;
        int c = commit_lex_peek(lexer);
        if (c != '[' && c != '{')
                return parse_scalar(lexer, ret);
        if (lexer->dialect == DIALECT_PYTHON)
                return leave_out(lexer, ret);
        if (c == '[' && lexer->dialect == DIALECT_ARRAYS)
                return parse_array(parser, ret);
        return commit_lex_fail(lexer, c == '[' ? "an array, which Chroma before 1.5 does not know" : "an object as a value");
}

static int parse_member(struct parser *parser)
{
        struct text key = { 0 };
        struct commit_value value = { 0 };
        bool surrogate = parser->lexer.surrogate;
        int r = commit_lex_string(&parser->lexer, &key);
        if (r == 0)
                r = expect_colon(&parser->lexer);
        if (r == 0)
                r = parse_value(parser, &value);
        if (r != 0)
                return r;
        value.key = key;
        if (commit_value_is_left_out(&value)) /* nobody stores its key */
                parser->lexer.surrogate = surrogate;
        r = append(parser, &parser->keys, &value);
        if (r != 0)
                free(value.items);
        return r;
}

static int parse_object(struct parser *parser)
{
        struct commit_lexer *lexer = &parser->lexer;
        int more = 1;
        lexer->at++;
        if (commit_lex_peek(lexer) == '}') {
                lexer->at++;
                return 0;
        }
        while (more > 0) {
                int r = parse_member(parser);
                if (r != 0)
                        return r;
                more = follows(lexer, '}');
        }
        return more < 0 ? no_end(lexer) : 0;
}

/* Python reads any value, and fails later where it is not "false". */
static int parse_other(struct parser *parser, bool *ret_other)
{
        struct commit_lexer *lexer = &parser->lexer;
        struct commit_value value;
        if (lexer->dialect != DIALECT_PYTHON)
                return commit_lex_fail(lexer, "no object");
        if (lexer->at < lexer->end && *lexer->at == 'n')
                return commit_lex_name(lexer, &value);
        *ret_other = true;
        return leave_out(lexer, &value);
}

static int parse_all(struct parser *parser, bool *ret_other)
{
        struct commit_lexer *lexer = &parser->lexer;
        int r = commit_lex_peek(lexer) == '{' ? parse_object(parser) : parse_other(parser, ret_other);
        if (r == 0 && commit_lex_peek(lexer) >= 0)
                return commit_lex_fail(lexer, "something behind the value");
        return r;
}

static int check_document(struct parser *parser)
{
        for (size_t i = 0; i < parser->keys.count; i++) {
                const struct commit_value *value = &parser->keys.values[i];
                if (value->type == COMMIT_STRING || !text_is(&value->key, "chroma:document"))
                        continue;
                if (value->type != COMMIT_NULL || parser->lexer.dialect != DIALECT_PYTHON)
                        return commit_lex_fail(&parser->lexer, "a document that is no string");
        }
        return 0;
}

static int take_what_counts(struct parser *parser)
{
        int r = commit_values_reduce(parser->keys.values, &parser->keys.count);
        return r < 0 ? error_set(parser->e, ENOMEM, "no memory for a row of the log") : check_document(parser);
}

int commit_json_parse(const char *bytes, size_t len, enum commit_dialect dialect, char *strings, struct commit_json *ret,
                      struct error *why, struct error *e)
{
        struct commit_lexer lexer = {
                .begin = bytes, .at = bytes, .end = bytes + len, .dialect = dialect, .strings = strings, .why = why
        };
        struct parser parser = { .lexer = lexer, .e = e };
        bool other = false;
        int r = utf8_valid(bytes, len) ? parse_all(&parser, &other) : commit_lex_fail(&lexer, "no UTF-8");
        if (r == 0)
                r = take_what_counts(&parser);
        if (r != 0) {
                commit_values_free(parser.keys.values, parser.keys.count);
                return r;
        }
        *ret = (struct commit_json){ parser.keys.values, parser.keys.count, false };
        if (parser.lexer.surrogate || parser.lexer.endless || other) {
                ret->lost = true;
                (void) error_set(why, EILSEQ, "its metadata can't be stored: %s",
                                 other                    ? "they are no object"
                                 : parser.lexer.surrogate ? "half of a pair of surrogates is no character"
                                                          : "an integer is beyond the doubles");
        }
        return 0;
}
