#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <xxhash.h>

#include "ops/wal/row.h"
#include "ops/wal/row_hash.h"

#define NIL                                                                                                                        \
        {                                                                                                                          \
                .class = WAL_NULL                                                                                                  \
        }
#define INTEGER(number)                                                                                                            \
        {                                                                                                                          \
                .class = WAL_INTEGER, .integer = (number)                                                                          \
        }
#define REAL(number)                                                                                                               \
        {                                                                                                                          \
                .class = WAL_REAL, .real = (number)                                                                                \
        }
#define TEXT(string)                                                                                                               \
        {                                                                                                                          \
                .class = WAL_TEXT, .bytes = (string), .len = sizeof(string) - 1                                                    \
        }
#define BLOB(string)                                                                                                               \
        {                                                                                                                          \
                .class = WAL_BLOB, .bytes = (string), .len = sizeof(string) - 1                                                    \
        }

/* From Python: json.dumps of a dictionary with the columns in this order, and a newline. */
static const struct {
        struct wal_row row;
        const char *expected;
} from_python[] = {
        /* clang-format off */
        { { 1, { TEXT("2024-05-06 07:08:09"), INTEGER(0), TEXT("persistent://default/default/0123"), TEXT("id1"), BLOB("\000\000\200\077\000\000\000\277\315\314\314="), TEXT("FLOAT32"), TEXT("{\"chroma:document\": \"a \\\"b\\\" \\u00e4\"}") } },
          "{\"seq_id\": 1, \"created_at\": \"2024-05-06 07:08:09\", \"operation\": 0, \"topic\": \"persistent://default/default/0123\", \"id\": \"id1\", \"vector\": \"AACAPwAAAL/NzMw9\", \"encoding\": \"FLOAT32\", \"metadata\": \"{\\\"chroma:document\\\": \\\"a \\\\\\\"b\\\\\\\" \\\\u00e4\\\"}\"}\012" },
        { { INT64_MAX, { TEXT("2024-05-06 07:08:09"), INTEGER(3), TEXT("persistent://default/default/0123"), TEXT("id1"), NIL, NIL, NIL } },
          "{\"seq_id\": 9223372036854775807, \"created_at\": \"2024-05-06 07:08:09\", \"operation\": 3, \"topic\": \"persistent://default/default/0123\", \"id\": \"id1\", \"vector\": null, \"encoding\": null, \"metadata\": null}\012" },
        { { INT64_MIN, { NIL, NIL, NIL, NIL, NIL, NIL, NIL } },
          "{\"seq_id\": -9223372036854775808, \"created_at\": null, \"operation\": null, \"topic\": null, \"id\": null, \"vector\": null, \"encoding\": null, \"metadata\": null}\012" },
        { { 0, { TEXT(""), TEXT(""), TEXT(""), TEXT(""), BLOB(""), BLOB(""), BLOB("") } },
          "{\"seq_id\": 0, \"created_at\": \"\", \"operation\": \"\", \"topic\": \"\", \"id\": \"\", \"vector\": \"\", \"encoding\": \"\", \"metadata\": \"\"}\012" },
        { { -1, { INTEGER(INT64_MAX), INTEGER(INT64_MIN), INTEGER(0), INTEGER(-7), INTEGER(10), INTEGER(99), INTEGER(100) } },
          "{\"seq_id\": -1, \"created_at\": 9223372036854775807, \"operation\": -9223372036854775808, \"topic\": 0, \"id\": -7, \"vector\": 10, \"encoding\": 99, \"metadata\": 100}\012" },
        { { 9, { REAL(1e+16), REAL(5e-324), REAL(INFINITY), REAL(-INFINITY), REAL(NAN), REAL(-0.0), REAL(1.7976931348623157e+308) } },
          "{\"seq_id\": 9, \"created_at\": 1e+16, \"operation\": 5e-324, \"topic\": Infinity, \"id\": -Infinity, \"vector\": NaN, \"encoding\": -0.0, \"metadata\": 1.7976931348623157e+308}\012" },
        { { 10, { REAL(0.1), REAL(1000000000000000.0), REAL(123456789.125), REAL(1e-05), REAL(-2.5), REAL(0.0001), REAL(100.0) } },
          "{\"seq_id\": 10, \"created_at\": 0.1, \"operation\": 1000000000000000.0, \"topic\": 123456789.125, \"id\": 1e-05, \"vector\": -2.5, \"encoding\": 0.0001, \"metadata\": 100.0}\012" },
        { { 1000000000000000000, { BLOB("\000"), BLOB("\377\376"), BLOB("abc"), TEXT("\377\303\244\000\177\360\237\246\204"), TEXT("\373\377"), BLOB("\373\377\277\000"), TEXT("\001\012\015\011\010\014/") } },
          "{\"seq_id\": 1000000000000000000, \"created_at\": \"AA==\", \"operation\": \"//4=\", \"topic\": \"YWJj\", \"id\": \"\\udcff\\u00e4\\u0000\\u007f\\ud83e\\udd84\", \"vector\": \"\\udcfb\\udcff\", \"encoding\": \"+/+/AA==\", \"metadata\": \"\\u0001\\n\\r\\t\\b\\f/\"}\012" },
        /* clang-format on */
};

/* The line, in an allocation of exactly its length. The caller frees. */
static char *line_of(const struct wal_row *row, size_t *ret_length)
{
        *ret_length = wal_row_length(row);
        char *line = malloc(*ret_length);
        assert_non_null(line);
        assert_ptr_equal(wal_row_render(row, line), line + *ret_length);
        assert_true(wal_row_bound(row) >= *ret_length); /* a reader trusts it for the room of a line */
        return line;
}

static void test_python(void **state)
{
        (void) state;
        for (size_t i = 0; i < sizeof from_python / sizeof from_python[0]; i++) {
                size_t length;
                assert_false(wal_row_is_large(&from_python[i].row));
                char *line = line_of(&from_python[i].row, &length);
                assert_int_equal(length, strlen(from_python[i].expected));
                assert_memory_equal(line, from_python[i].expected, length);
                free(line);
        }
}

/* Empty values need no bytes. */
static void test_empty(void **state)
{
        (void) state;
        struct wal_row row = from_python[3].row;
        size_t length;
        for (int i = 0; i < WAL_COLUMNS; i++)
                row.columns[i].bytes = NULL;
        char *line = line_of(&row, &length);
        assert_int_equal(length, strlen(from_python[3].expected));
        assert_memory_equal(line, from_python[3].expected, length);
        assert_true(wal_row_hash(&row) == wal_row_hash(&from_python[3].row));
        free(line);
}

static void check_integer(int64_t number)
{
        struct wal_row row = { .seq_id = number, .columns = { [WAL_METADATA] = INTEGER(number) } };
        char begin[64], end[64];
        size_t length, begin_length = (size_t) sprintf(begin, "{\"seq_id\": %" PRId64 ", ", number);
        size_t end_length = (size_t) sprintf(end, " %" PRId64 "}\n", number);
        char *line = line_of(&row, &length);
        assert_memory_equal(line, begin, begin_length);
        assert_memory_equal(line + length - end_length, end, end_length);
        free(line);
}

/* Around every power of ten. */
static void test_integers(void **state)
{
        (void) state;
        int64_t power = 1;
        for (int digits = 1; digits <= 19; digits++) {
                for (int64_t step = -1; step <= 1; step++) {
                        check_integer(power + step);
                        check_integer(-power - step);
                }
                power *= digits < 19 ? 10 : 1;
        }
        check_integer(INT64_MAX);
        check_integer(INT64_MIN);
}

/* A row of every class, whose bytes can be changed. */
struct sample {
        char topic[8], vector[300], metadata[40];
        struct wal_row row;
};

static void sample_init(struct sample *s)
{
        memset(s, 'x', sizeof *s);
        s->row = (struct wal_row){ .seq_id = 7,
                                   .columns = {
                                           REAL(0.5),
                                           INTEGER(3),
                                           { .class = WAL_TEXT, .bytes = s->topic, .len = sizeof s->topic },
                                           NIL,
                                           { .class = WAL_BLOB, .bytes = s->vector, .len = sizeof s->vector },
                                           TEXT(""),
                                           { .class = WAL_TEXT, .bytes = s->metadata, .len = sizeof s->metadata },
                                   } };
}

static void check_other(struct sample *s, uint64_t *hash)
{
        uint64_t before = *hash;
        *hash = wal_row_hash(&s->row);
        assert_true(*hash != before);
}

static void test_hash(void **state)
{
        (void) state;
        struct sample s, again;
        sample_init(&s);
        sample_init(&again);
        uint64_t hash = wal_row_hash(&s.row);
        assert_true(wal_row_hash(&again.row) == hash);
        s.row.seq_id++;
        check_other(&s, &hash);
        s.row.columns[WAL_CREATED_AT].real = -0.5;
        check_other(&s, &hash);
        s.row.columns[WAL_OPERATION].integer = 4;
        check_other(&s, &hash);
        for (size_t i = 0; i < sizeof s.vector; i++) {
                s.vector[i] ^= 1;
                check_other(&s, &hash);
        }
        s.metadata[39] = 'y';
        check_other(&s, &hash);
        s.row.columns[WAL_METADATA].len--;
        check_other(&s, &hash);
        s.row.columns[WAL_METADATA].class = WAL_BLOB;
        check_other(&s, &hash);
        s.row.columns[WAL_ENCODING].class = WAL_NULL; /* was an empty text */
        check_other(&s, &hash);
        s.row.columns[WAL_ID] = s.row.columns[WAL_METADATA]; /* values that change places */
        s.row.columns[WAL_METADATA] = (struct wal_value) NIL;
        check_other(&s, &hash);
        s.row.columns[WAL_OPERATION] = (struct wal_value) REAL(0.0); /* the bits of 4 would be another real's */
        check_other(&s, &hash);
        s.row.columns[WAL_OPERATION] = (struct wal_value) INTEGER(0);
        check_other(&s, &hash);
}

/* What a value holds beside its class does not count. */
static void test_hash_ignores(void **state)
{
        (void) state;
        struct sample s;
        sample_init(&s);
        uint64_t hash = wal_row_hash(&s.row);
        size_t length = wal_row_length(&s.row);
        for (int i = 0; i < WAL_COLUMNS; i++) {
                struct wal_value *value = &s.row.columns[i];
                bool bytes = value->class == WAL_TEXT || value->class == WAL_BLOB;
                value->integer = value->class == WAL_INTEGER ? value->integer : 99;
                value->real = value->class == WAL_REAL ? value->real : 99.0;
                value->len = bytes ? value->len : WAL_PIECE_MAX + 1;
                value->bytes = bytes ? value->bytes : "stale";
        }
        assert_true(wal_row_hash(&s.row) == hash);
        assert_int_equal(wal_row_length(&s.row), length);
        assert_false(wal_row_is_large(&s.row));
        assert_int_equal(wal_row_pieces(&s.row), WAL_COLUMNS);
}

/* Vectors are hashed with other instructions than short values: the cache of one machine is right on another. */
static void test_hash_instructions(void **state)
{
        (void) state;
        char bytes[3000];
        for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = (char) (i * i * 31 + i / 7);
        assert_true(row_hash_bytes(bytes, 0) == 0);
        for (size_t len = 1; len < sizeof bytes - 3; len++)
                assert_true(row_hash_bytes(bytes + len % 4, len) == XXH3_64bits(bytes + len % 4, len));
}

/* The longest line of a row that is not large. */
static void test_longest(void **state)
{
        (void) state;
        struct wal_row row = { .seq_id = INT64_MIN };
        char *bytes = malloc(WAL_PIECE_MAX);
        assert_non_null(bytes);
        memset(bytes, 1, WAL_PIECE_MAX);
        for (int i = 0; i < WAL_COLUMNS; i++)
                row.columns[i] = (struct wal_value){ .class = WAL_TEXT, .bytes = bytes, .len = WAL_PIECE_MAX };
        size_t length;
        assert_false(wal_row_is_large(&row));
        char *line = line_of(&row, &length);
        assert_true(length > 6u * WAL_COLUMNS * WAL_PIECE_MAX && length <= WAL_LENGTH_MAX);
        assert_memory_equal(line + length - 9, "\\u0001\"}\n", 9);
        free(line);
        for (int i = 0; i < WAL_COLUMNS; i++) {
                row.columns[i].len++;
                assert_true(wal_row_is_large(&row));
                row.columns[i].len--;
        }
        free(bytes);
}

static void test_key(void **state)
{
        (void) state;
        static const char id[] = "01234567-89ab-cdef-0123-456789abcdef";
        struct wal_row row = { .columns = { [WAL_TOPIC] =
                                                    TEXT("persistent://default/default/01234567-89ab-cdef-0123-456789abcdef") } };
        uint64_t key = wal_collection_key(id, strlen(id));
        assert_true(key != WAL_KEY_NONE);
        assert_true(wal_row_key(&row) == key);
        row.columns[WAL_TOPIC] = (struct wal_value) TEXT("/01234567-89ab-cdef-0123-456789abcdef");
        assert_true(wal_row_key(&row) == key);
        row.columns[WAL_TOPIC] = (struct wal_value) TEXT("/01234567-89ab-cdef-0123-456789abcdeF");
        assert_true(wal_row_key(&row) != key && wal_row_key(&row) != WAL_KEY_NONE);
        row.columns[WAL_TOPIC] = (struct wal_value) TEXT("a/");
        assert_true(wal_row_key(&row) == wal_collection_key(NULL, 0) && wal_row_key(&row) != WAL_KEY_NONE);
        row.columns[WAL_TOPIC] = (struct wal_value) TEXT("a/\0b");
        assert_true(wal_row_key(&row) == wal_collection_key("\0b", 2));
}

static void test_key_none(void **state)
{
        (void) state;
        static const struct wal_value topics[] = {
                NIL,
                INTEGER(1),
                REAL(1.5),
                BLOB("a/b"),
                TEXT(""),
                TEXT("no slash"),
                { .class = WAL_TEXT, .len = 8 }, /* of a large row */
        };
        for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++) {
                struct wal_row row = { .columns = { [WAL_TOPIC] = topics[i] } };
                assert_true(wal_row_key(&row) == WAL_KEY_NONE);
        }
        char topic[1025];
        memset(topic, '/', sizeof topic);
        struct wal_row row = { .columns = { [WAL_TOPIC] = { .class = WAL_TEXT, .bytes = topic, .len = 1024 } } };
        assert_true(wal_row_key(&row) != WAL_KEY_NONE);
        row.columns[WAL_TOPIC].len++;
        assert_true(wal_row_key(&row) == WAL_KEY_NONE);
}

/* In an allocation of exactly its length. */
static int64_t created(const char *text)
{
        char *bytes = strndup(text, strlen(text));
        assert_non_null(bytes);
        char *exact = malloc(strlen(text) + (text[0] == '\0'));
        assert_non_null(exact);
        memcpy(exact, bytes, strlen(text));
        struct wal_row row = { .columns = { [WAL_CREATED_AT] = { .class = WAL_TEXT, .bytes = exact, .len = strlen(text) } } };
        int64_t seconds = wal_row_created(&row);
        free(bytes);
        free(exact);
        return seconds;
}

static void test_created(void **state)
{
        (void) state;
        assert_int_equal(created("1970-01-01 00:00:01"), 1);
        assert_int_equal(created("1970-01-01 00:00:00"), 0);
        assert_int_equal(created("2000-02-29 12:34:56"), 951827696);
        assert_int_equal(created("2000-03-01 00:00:00"), 951868800);
        assert_int_equal(created("2024-05-06 07:08:09"), 1714979289);
        assert_int_equal(created("2024-05-06T07:08:09"), 1714979289);
        assert_int_equal(created("2024-05-06 07:08:09.5"), 1714979289);
        assert_int_equal(created("2024-05-06 07:08:09.123456789012345678901234567890"), 1714979289);
        assert_int_equal(created("2024-12-31 23:59:59"), 1735689599);
        assert_int_equal(created("2100-03-01 00:00:00"), 4107542400);
        assert_int_equal(created("9999-12-31 23:59:59"), 253402300799);
}

static void test_created_bad(void **state)
{
        (void) state;
        static const char *const bad[] = {
                "",
                "2024-05-06",
                "2024-05-06 07:08",
                "2024-05-06 07:08:0",
                "2024-05-06 07:08:09Z",
                "2024-05-06 07:08:09.",
                "2024-05-06 07:08:09.x",
                "2024-05-06 07:08:09.5Z",
                "2024-05-06 07:08:09+00:00",
                " 2024-05-06 07:08:09",
                "2024-05-06  7:08:09",
                "2024/05/06 07:08:09",
                "2024-05-06t07:08:09",
                "2024-05-06 07-08-09",
                "2024-13-06 07:08:09",
                "2024-00-06 07:08:09",
                "2024-05-32 07:08:09",
                "2024-05-00 07:08:09",
                "2024-04-31 07:08:09",
                "2023-02-29 07:08:09",
                "2100-02-29 07:08:09",
                "2024-02-30 07:08:09",
                "2024-05-06 24:00:00",
                "2024-05-06 23:60:00",
                "2024-05-06 23:59:60",
                "2O24-05-06 07:08:09",
                "-024-05-06 07:08:09",
                "2024-0/-06 07:08:09",
                "2024-05-06 07:0::09",
                "2024-05-06 07:08:/9",
                "1969-12-31 23:59:59",
                "0000-01-01 00:00:00",
        };
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
                assert_int_equal(created(bad[i]), 0);
        static const struct wal_value values[] = {
                NIL, INTEGER(1714979289), REAL(1714979289.0), BLOB("2024-05-06 07:08:09"), { .class = WAL_TEXT, .len = 19 }
        };
        for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
                struct wal_row row = { .columns = { [WAL_CREATED_AT] = values[i] } };
                assert_int_equal(wal_row_created(&row), 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_python),  cmocka_unit_test(test_empty),        cmocka_unit_test(test_integers),
                cmocka_unit_test(test_hash),    cmocka_unit_test(test_hash_ignores), cmocka_unit_test(test_hash_instructions),
                cmocka_unit_test(test_longest), cmocka_unit_test(test_key),          cmocka_unit_test(test_key_none),
                cmocka_unit_test(test_created), cmocka_unit_test(test_created_bad),
        };
        return cmocka_run_group_tests_name("wal_row", tests, NULL, NULL);
}
