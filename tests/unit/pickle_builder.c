#include "tests/unit/pickle_builder.h"

#include <stdio.h>
#include <string.h>

void pickle_bytes(struct byte_buffer *b, const void *text, size_t len)
{
        bytes_put_text(b, "X");
        bytes_put_int(b, len, 4);
        bytes_put(b, text, len);
}

void pickle_text(struct byte_buffer *b, const char *text)
{
        pickle_bytes(b, text, strlen(text));
}

void pickle_int(struct byte_buffer *b, int32_t value)
{
        bytes_put_text(b, "J");
        bytes_put_int(b, (uint32_t) value, 4);
}

void pickle_key_int(struct byte_buffer *b, const char *key, int32_t value)
{
        pickle_text(b, key);
        pickle_int(b, value);
}

void pickle_header(struct byte_buffer *b, enum pickle_style style)
{
        if (style == STYLE_RUST)
                bytes_put(b, "\x80\x03", 2);
        else
                bytes_put_text(b, "\x80\x02"
                                  "c" PICKLE_MODULE "\nPersistentData\n"
                                  ")\x81");
        bytes_put_text(b, "}(");
}

void pickle_footer(struct byte_buffer *b, enum pickle_style style)
{
        bytes_put_text(b, style == STYLE_RUST ? "u." : "ub.");
}

static void put_id(struct byte_buffer *b, size_t i)
{
        char id[32];
        (void) snprintf(id, sizeof(id), "id-%zu", i);
        pickle_text(b, id);
}

void pickle_ids_to_numbers(struct byte_buffer *b, const char *key, const int32_t *numbers, size_t count)
{
        pickle_text(b, key);
        bytes_put_text(b, "}(");
        for (size_t i = 0; i < count; i++) {
                put_id(b, i);
                pickle_int(b, numbers[i]);
        }
        bytes_put_text(b, "u");
}

void pickle_numbers_to_ids(struct byte_buffer *b, const char *key, const int32_t *numbers, size_t count)
{
        pickle_text(b, key);
        bytes_put_text(b, "}(");
        for (size_t i = 0; i < count; i++) {
                pickle_int(b, numbers[i]);
                put_id(b, i);
        }
        bytes_put_text(b, "u");
}

/* ---- Python's own writing: frames, a memo entry for each object, ids by reference after their first use ---- */

static void memoized(struct byte_buffer *b, const char *text)
{
        bytes_put_text(b, "\x8c");
        bytes_put_int(b, strlen(text), 1);
        bytes_put_text(b, text);
        bytes_put_text(b, "\x94");
}

static void reference(struct byte_buffer *b, size_t memo)
{
        bytes_put_text(b, memo < 256 ? "h" : "j");
        bytes_put_int(b, memo, memo < 256 ? 1 : 4);
}

static void small_int(struct byte_buffer *b, int32_t value)
{
        size_t width = value < 256 ? 1 : value < 65536 ? 2 : 4;
        bytes_put_text(b, width == 1 ? "K" : width == 2 ? "M" : "J");
        bytes_put_int(b, (uint32_t) value, width);
}

/* The ids' memo entries: module, name, class, instance, state, 3 keys, 2 for id_to_label come before the first id. */
#define FIRST_ID_MEMO 10u

static void python_ids(struct byte_buffer *b, const int32_t *labels, size_t count)
{
        memoized(b, "id_to_label");
        bytes_put_text(b, "}\x94(");
        for (size_t i = 0; i < count; i++) {
                char id[32];
                (void) snprintf(id, sizeof(id), "id-%zu", i);
                memoized(b, id);
                small_int(b, labels[i]);
        }
        bytes_put_text(b, "u");
        memoized(b, "label_to_id");
        bytes_put_text(b, "}\x94(");
        for (size_t i = 0; i < count; i++) {
                small_int(b, labels[i]);
                reference(b, FIRST_ID_MEMO + i);
        }
        bytes_put_text(b, "u");
        memoized(b, "id_to_seq_id");
        bytes_put_text(b, "}\x94(");
        for (size_t i = 0; i < count; i++) {
                reference(b, FIRST_ID_MEMO + i);
                small_int(b, labels[i] + 100);
        }
        bytes_put_text(b, "u");
}

static struct byte_buffer build_python(const int32_t *labels, size_t count, int32_t total)
{
        struct byte_buffer body = { 0 }, b = { 0 };
        memoized(&body, PICKLE_MODULE);
        memoized(&body, "PersistentData");
        bytes_put_text(&body, "\x93\x94)\x81\x94}\x94(");
        memoized(&body, "dimensionality");
        small_int(&body, 3);
        memoized(&body, "total_elements_added");
        small_int(&body, total);
        memoized(&body, "max_seq_id");
        small_int(&body, 4711);
        python_ids(&body, labels, count);
        bytes_put_text(&body, "ub.");
        bytes_put(&b, "\x80\x05\x95", 3);
        bytes_put_int(&b, body.len, 8);
        bytes_put(&b, body.data, body.len);
        bytes_clear(&body);
        return b;
}

struct byte_buffer pickle_build(enum pickle_style style, const int32_t *labels, size_t count, int32_t total)
{
        if (style == STYLE_PYTHON)
                return build_python(labels, count, total);
        struct byte_buffer b = { 0 };
        pickle_header(&b, style);
        pickle_key_int(&b, "dimensionality", 3);
        pickle_key_int(&b, "total_elements_added", total);
        pickle_text(&b, "max_seq_id");
        if (style == STYLE_RUST)
                bytes_put_text(&b, "N");
        else
                pickle_int(&b, 4711);
        pickle_ids_to_numbers(&b, "id_to_label", labels, count);
        pickle_numbers_to_ids(&b, "label_to_id", labels, count);
        int32_t seq_ids[64] = { 0 };
        size_t known = style == STYLE_RUST ? 0 : count < 64 ? count : 64;
        for (size_t i = 0; i < known; i++)
                seq_ids[i] = labels[i] + 100;
        pickle_ids_to_numbers(&b, "id_to_seq_id", seq_ids, known);
        pickle_footer(&b, style);
        return b;
}
