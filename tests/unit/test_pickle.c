#include "ops/pickle.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/byte_buffer.h"
#include "tests/unit/pickle_builder.h"

#define COUNT 5
static const int32_t labels[COUNT] = { 3, 1, 9, 70000, 300 }; /* of id-0 … id-4: in no order */

/* Decodes a copy in a block of its own exact size, so that a sanitizer sees a read behind it. Leaves the buffer alone. */
static int decode(const struct byte_buffer *b, size_t len, struct index_metadata **ret, struct error *e)
{
        char *copy = malloc(len == 0 ? 1 : len);
        assert_non_null(copy);
        if (len > 0)
                memcpy(copy, b->data, len);
        return index_metadata_decode(copy, len, ret, e);
}

/* Bytes that have to be refused, with a sentence that has this in it; clears them. */
static void refuse(struct byte_buffer *b, const char *sentence)
{
        struct error e = { 0 };
        struct index_metadata *m = NULL;
        assert_int_equal(decode(b, b->len, &m, &e), -EILSEQ);
        assert_null(m);
        assert_int_equal(e.code, -EILSEQ);
        if (strstr(e.text, sentence) == NULL || strstr(e.text, "byte ") == NULL)
                fail_msg("'%s' does not say '%s'", e.text, sentence);
        bytes_clear(b);
}

static struct index_metadata *accept(struct byte_buffer *b)
{
        struct error e = { 0 };
        struct index_metadata *m = NULL;
        if (decode(b, b->len, &m, &e) != 0)
                fail_msg("%s", e.text);
        bytes_clear(b);
        return m;
}

static void check_entries(const struct index_metadata *m, bool seq_ids)
{
        static const size_t ascending[COUNT] = { 1, 0, 2, 4, 3 };
        assert_int_equal(m->count, COUNT);
        assert_int_equal(m->total_elements_added, 70001);
        assert_int_equal(m->seq_ids_complete, seq_ids);
        for (size_t i = 0; i < COUNT; i++) {
                char id[16];
                (void) snprintf(id, sizeof(id), "id-%zu", ascending[i]);
                const struct index_entry *entry = &m->entries[i];
                assert_int_equal(entry->label, labels[ascending[i]]);
                assert_int_equal(entry->id_len, strlen(id));
                assert_memory_equal(entry->id, id, entry->id_len);
                assert_int_equal(entry->seq_id, seq_ids ? entry->label + 100 : 0);
                assert_ptr_equal(index_metadata_by_label(m, entry->label), entry);
        }
        assert_null(index_metadata_by_label(m, 0));
        assert_null(index_metadata_by_label(m, 2));
        assert_null(index_metadata_by_label(m, 70001));
        assert_null(index_metadata_by_label(m, UINT64_MAX));
}

static void test_shapes(void **state)
{
        (void) state;
        for (enum pickle_style style = STYLE_RUST; style <= STYLE_PYTHON; style++) {
                struct byte_buffer b = pickle_build(style, labels, COUNT, 70001);
                struct index_metadata *m = accept(&b);
                check_entries(m, style != STYLE_RUST);
                assert_int_equal(m->shape, style == STYLE_RUST ? PICKLE_DICT : PICKLE_INSTANCE);
                assert_true(m->has_dimensionality);
                assert_int_equal(m->dimensionality, 3);
                assert_int_equal(m->has_max_seq_id, style != STYLE_RUST);
                assert_int_equal(m->max_seq_id, style != STYLE_RUST ? 4711 : 0);
                index_metadata_free(m);
        }
}

static void test_empty_index(void **state)
{
        (void) state;
        struct byte_buffer b = { 0 };
        bytes_put(&b, "\x80\x03}(", 4);
        pickle_text(&b, "id_to_seq_id"); /* keys in another order, and without those that may be absent */
        bytes_put_text(&b, "}");
        pickle_text(&b, "label_to_id");
        bytes_put_text(&b, "}");
        pickle_key_int(&b, "total_elements_added", 0);
        pickle_text(&b, "id_to_label");
        bytes_put_text(&b, "}u.");
        struct index_metadata *m = accept(&b);
        assert_int_equal(m->count, 0);
        assert_true(m->seq_ids_complete);
        assert_false(m->has_dimensionality);
        assert_false(m->has_max_seq_id);
        assert_null(index_metadata_by_label(m, 1));
        index_metadata_free(m);
}

static void test_cut_anywhere(void **state)
{
        (void) state;
        for (enum pickle_style style = STYLE_RUST; style <= STYLE_PYTHON; style++) {
                struct byte_buffer b = pickle_build(style, labels, COUNT, 70001);
                for (size_t len = 0; len < b.len; len++) {
                        struct index_metadata *m = NULL;
                        assert_int_equal(decode(&b, len, &m, NULL), -EILSEQ);
                }
                bytes_clear(&b);
        }
}

/* No byte that changes may crash it; what is still accepted has to be whole. */
static void test_every_byte_changed(void **state)
{
        (void) state;
        for (enum pickle_style style = STYLE_RUST; style <= STYLE_PYTHON; style++) {
                struct byte_buffer b = pickle_build(style, labels, COUNT, 70001);
                for (size_t i = 0; i < b.len * 256; i++) {
                        unsigned char was = b.data[i / 256];
                        b.data[i / 256] = (unsigned char) i;
                        struct index_metadata *m = NULL;
                        if (decode(&b, b.len, &m, NULL) == 0)
                                for (size_t k = 1; k < m->count; k++)
                                        assert_true(m->entries[k - 1].label < m->entries[k].label);
                        index_metadata_free(m);
                        b.data[i / 256] = was;
                }
                bytes_clear(&b);
        }
}

static void test_trailing_bytes(void **state)
{
        (void) state;
        struct byte_buffer b = pickle_build(STYLE_UNIVERSAL, labels, COUNT, 70001);
        bytes_put_text(&b, ".");
        refuse(&b, "more bytes behind");
}

static void test_no_pickle(void **state)
{
        (void) state;
        struct byte_buffer b = { 0 };
        refuse(&b, "empty");
        bytes_put_text(&b, "}.");
        refuse(&b, "no pickle");
        bytes_put(&b, "\x80\x06}.", 4);
        refuse(&b, "no pickle");
        bytes_put(&b, "\x80\x01}.", 4);
        refuse(&b, "no pickle");
        bytes_put(&b, "\x80\x02N.", 4);
        refuse(&b, "neither a dict nor");
        bytes_put(&b, "\x80\x02.", 3);
        refuse(&b, "one value");
        bytes_put(&b, "\x80\x02}}.", 5);
        refuse(&b, "one value");
        bytes_put(&b, "\x80\x02}(.", 5);
        refuse(&b, "one value");
        bytes_put(&b, "\x80\x02i", 3);
        refuse(&b, "opcode");
        bytes_put(&b, "\x80\x02\x80\x02}.", 6);
        refuse(&b, "opcode");
}

/* ---- attacks ---- */

static void test_deep_nesting(void **state)
{
        (void) state;
        static const char *const units[] = { "(", "}(", ")\x85(", "(((t" };
        for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
                struct byte_buffer b = { 0 };
                bytes_put(&b, "\x80\x04", 2);
                for (size_t n = 0; n < 1000000; n++)
                        bytes_put_text(&b, units[i]);
                refuse(&b, "too");
        }
        struct byte_buffer b = { 0 };
        bytes_put(&b, "\x80\x04", 2);
        bytes_fill(&b, ')', 1000000);
        bytes_fill(&b, 0x85, 1000000);
        bytes_put_text(&b, ".");
        refuse(&b, "one value");
        bytes_put(&b, "\x80\x04", 2);
        bytes_fill(&b, '}', 1000000);
        refuse(&b, "too many dicts");
}

static void test_huge_claims(void **state)
{
        (void) state;
        static const char *const opcodes[] = { "\x8d", "X", "\x8c", "\x8b", "\x8a", "\x95" };
        static const size_t widths[] = { 8, 4, 1, 4, 1, 8 };
        static const uint64_t claims[] = { 255, 0x7fffffff, 0xffffffff, 1ull << 63, UINT64_MAX, UINT64_MAX - 15 };
        for (size_t i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++)
                for (size_t k = 0; k < sizeof(claims) / sizeof(claims[0]); k++) {
                        if (widths[i] < 8 && claims[k] == 1ull << 63)
                                continue; /* cut to its low bytes that is 0 */
                        struct byte_buffer b = { 0 };
                        bytes_put(&b, "\x80\x04", 2);
                        bytes_put_text(&b, opcodes[i]);
                        bytes_put_int(&b, claims[k], widths[i]);
                        bytes_put_text(&b, "}.");
                        refuse(&b, "the file ends within");
                }
}

static void test_memo(void **state)
{
        (void) state;
        struct byte_buffer b = { 0 };
        bytes_put(&b, "\x80\x02}r\xff\xff\xff\xff.", 9);
        refuse(&b, "out of sequence");
        bytes_put(&b, "\x80\x02}q\x01.", 6);
        refuse(&b, "out of sequence");
        bytes_put(&b, "\x80\x02h\x00.", 5);
        refuse(&b, "no such memo");
        bytes_put(&b, "\x80\x02}\x94j\xff\xff\xff\xff.", 10);
        refuse(&b, "no such memo");
        bytes_put(&b, "\x80\x02\x94.", 4);
        refuse(&b, "too few");
        bytes_put(&b, "\x80\x02(q\x00.", 6);
        refuse(&b, "too few");
}

static void test_stack_underflow(void **state)
{
        (void) state;
        static const char *const programs[] = { "0",  "s",    "}s",    "}Ns",    "R",    "\x81", "b",
                                                "}b", "\x85", "N\x86", "NN\x87", "\x93", "}(NNs" };
        for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
                struct byte_buffer b = { 0 };
                bytes_put(&b, "\x80\x02", 2);
                bytes_put_text(&b, programs[i]);
                bytes_put_text(&b, ".");
                refuse(&b, "too few");
        }
        struct byte_buffer b = { 0 };
        bytes_put(&b, "\x80\x02u.", 4);
        refuse(&b, "no mark");
        bytes_put(&b, "\x80\x02t.", 4);
        refuse(&b, "no mark");
        bytes_put(&b, "\x80\x02(u.", 5);
        refuse(&b, "too few");
        bytes_put(&b, "\x80\x02}(Nu.", 7);
        refuse(&b, "a key without");
        bytes_put(&b, "\x80\x02N(NNu.", 8);
        refuse(&b, "no dict");
        bytes_put(&b, "\x80\x02})Ns.", 7);
        refuse(&b, "no scalar");
}

static void test_names(void **state)
{
        (void) state;
        struct byte_buffer b = { 0 };
        bytes_put_text(&b, "\x80\x02"
                           "cos\nsystem\n(X\x02");
        bytes_put(&b, "\0\0\0idtR.", 9);
        refuse(&b, "not loaded");
        bytes_put_text(&b, "\x80\x04\x8c\x02os\x8c\x06system\x93.");
        refuse(&b, "not loaded");
        bytes_put_text(&b, "\x80\x04"
                           "c" PICKLE_MODULE "\nPersistentDat\n.");
        refuse(&b, "not loaded");
        bytes_put_text(&b, "\x80\x04"
                           "c" PICKLE_MODULE "x\nPersistentData\n.");
        refuse(&b, "not loaded");
        bytes_put_text(&b, "\x80\x04"
                           "c" PICKLE_MODULE "\nPersistentData");
        refuse(&b, "ends within");
        bytes_put_text(&b, "\x80\x04NN\x93.");
        refuse(&b, "no string");
}

#define CLASS                                                                                                                      \
        "\x80\x02"                                                                                                                 \
        "c" PICKLE_MODULE "\nPersistentData\n"

static void test_instances(void **state)
{
        (void) state;
        struct byte_buffer b = { 0 };
        bytes_put_text(&b, CLASS ".");
        refuse(&b, "neither a dict nor");
        bytes_put_text(&b, CLASS ")\x81.");
        refuse(&b, "neither a dict nor");
        bytes_put_text(&b, CLASS "K\x01\x85R.");
        refuse(&b, "without arguments");
        bytes_put_text(&b, CLASS "K\x01\x85\x81.");
        refuse(&b, "without arguments");
        bytes_put_text(&b, "\x80\x02})\x81.");
        refuse(&b, "something else");
        bytes_put_text(&b, CLASS "\x94)\x81h");
        bytes_put(&b, "\0)\x81.", 4);
        refuse(&b, "second instance");
        bytes_put_text(&b, CLASS ")\x81N"
                                 "b.");
        refuse(&b, "no dict");
        bytes_put_text(&b, "\x80\x02}}b.");
        refuse(&b, "no instance");
        bytes_put_text(&b, CLASS ")\x81}b}b.");
        refuse(&b, "second state");
        bytes_put_text(&b, "\x80\x02}\x94"
                           "c" PICKLE_MODULE "\nPersistentData\n)\x81h");
        bytes_put(&b, "\0bh\0K\x01K\x02s0.", 12);
        refuse(&b, "already in use");
}

static void test_reduce_makes_the_same(void **state)
{
        (void) state;
        struct byte_buffer b = pickle_build(STYLE_UNIVERSAL, labels, COUNT, 70001);
        unsigned char *newobj = memchr(b.data, 0x81, b.len);
        *newobj = 'R';
        struct index_metadata *m = accept(&b);
        check_entries(m, true);
        index_metadata_free(m);
}

/* ---- wrong in meaning ---- */

struct parts {
        int32_t ids[COUNT], inverse[COUNT], seq[COUNT];
        size_t id_count, inverse_count, seq_count;
        const char *extra; /* opcodes between pairs of the state */
        size_t extra_len;
};

static struct byte_buffer build_parts(const struct parts *p)
{
        struct byte_buffer b = { 0 };
        pickle_header(&b, STYLE_UNIVERSAL);
        bytes_put(&b, p->extra, p->extra_len);
        pickle_key_int(&b, "total_elements_added", 70001);
        pickle_ids_to_numbers(&b, "id_to_label", p->ids, p->id_count);
        pickle_numbers_to_ids(&b, "label_to_id", p->inverse, p->inverse_count);
        pickle_ids_to_numbers(&b, "id_to_seq_id", p->seq, p->seq_count);
        pickle_footer(&b, STYLE_UNIVERSAL);
        return b;
}

static const struct parts good_parts = {
        { 3, 1, 9, 70000, 300 }, { 3, 1, 9, 70000, 300 }, { 103, 101, 109, 70100, 400 }, COUNT, COUNT, COUNT, NULL, 0
};

static void refuse_parts(const struct parts *p, const char *sentence)
{
        struct byte_buffer b = build_parts(p);
        refuse(&b, sentence);
}

static void test_labels(void **state)
{
        (void) state;
        struct parts p = good_parts;
        struct byte_buffer b = build_parts(&p);
        struct index_metadata *m = accept(&b);
        check_entries(m, true);
        index_metadata_free(m);
        p.ids[2] = p.inverse[2] = 0;
        refuse_parts(&p, "label 0");
        p.ids[2] = p.inverse[2] = -1;
        refuse_parts(&p, "below 0");
        p.ids[2] = p.inverse[2] = 3;
        refuse_parts(&p, "given twice");
        p = good_parts;
        p.inverse[2] = 3;
        refuse_parts(&p, "given twice");
        p = good_parts;
        p.inverse[2] = 10;
        refuse_parts(&p, "another id");
        p = good_parts;
        p.inverse[0] = 1;
        p.inverse[1] = 3;
        refuse_parts(&p, "another id");
        p = good_parts;
        p.inverse_count--;
        refuse_parts(&p, "5 ids, label_to_id 4");
        p = good_parts;
        p.id_count--;
        refuse_parts(&p, "4 ids, label_to_id 5");
}

static void test_seq_ids(void **state)
{
        (void) state;
        struct parts p = good_parts;
        p.seq_count = 4;
        struct byte_buffer b = build_parts(&p);
        struct index_metadata *m = accept(&b);
        assert_false(m->seq_ids_complete);
        assert_int_equal(index_metadata_by_label(m, 300)->seq_id, 0);
        assert_int_equal(index_metadata_by_label(m, 70000)->seq_id, 70100);
        index_metadata_free(m);
        p = good_parts;
        p.id_count = p.inverse_count = 2; /* seq_ids of ids that are gone */
        b = build_parts(&p);
        m = accept(&b);
        assert_true(m->seq_ids_complete);
        assert_int_equal(m->entries[0].seq_id, 101);
        index_metadata_free(m);
        p.seq[4] = -5;
        refuse_parts(&p, "below 0");
}

static void refuse_extra(const struct byte_buffer *extra, const char *sentence)
{
        struct parts p = good_parts;
        p.extra = (const char *) extra->data;
        p.extra_len = extra->len;
        refuse_parts(&p, sentence);
}

static void test_state_keys(void **state)
{
        (void) state;
        struct byte_buffer x = { 0 };
        pickle_key_int(&x, "total_elements_added", 7);
        refuse_extra(&x, "a second total_elements_added");
        bytes_clear(&x);
        pickle_ids_to_numbers(&x, "id_to_label", labels, 1);
        refuse_extra(&x, "a second id_to_label");
        bytes_clear(&x);
        pickle_key_int(&x, "max_seq_id", -1);
        refuse_extra(&x, "max_seq_id is an integer below 0");
        bytes_clear(&x);
        pickle_text(&x, "dimensionality");
        pickle_text(&x, "three");
        refuse_extra(&x, "dimensionality is a string");
        bytes_clear(&x);
}

static void test_missing_keys(void **state)
{
        (void) state;
        static const char *const keys[] = { "total_elements_added", "id_to_label", "label_to_id", "id_to_seq_id" };
        for (size_t i = 0; i < 4; i++) {
                struct byte_buffer b = build_parts(&good_parts);
                unsigned char *key = memmem(b.data, b.len, keys[i], strlen(keys[i]));
                assert_non_null(key);
                key[0] = 'x';
                refuse(&b, keys[i]);
                b = build_parts(&good_parts);
                key = memmem(b.data, b.len, keys[i], strlen(keys[i]));
                bytes_put(&b, "", 0);
                key[strlen(keys[i])] = 'N'; /* its value's opcode: what follows is no longer what it was */
                struct index_metadata *m = NULL;
                assert_int_equal(decode(&b, b.len, &m, NULL), -EILSEQ);
                bytes_clear(&b);
        }
}

static void test_unknown_keys(void **state)
{
        (void) state;
        struct byte_buffer x = { 0 };
        pickle_key_int(&x, "total_elements_updated", -7);
        pickle_text(&x, "text");
        pickle_text(&x, "id_to_label");
        pickle_text(&x, "none");
        bytes_put_text(&x, "N");
        pickle_text(&x, "true");
        bytes_put_text(&x, "\x88");
        pickle_text(&x, "false");
        bytes_put_text(&x, "\x89");
        pickle_text(&x, "tuple");
        bytes_put_text(&x, "NNN\x87");
        pickle_text(&x, "marked tuple");
        bytes_put_text(&x, "(NN)t");
        pickle_text(&x, "popped");
        bytes_put_text(&x, "NN0(0");
        pickle_text(&x, "long");
        bytes_put_text(&x, "\x8a\xff");
        bytes_fill(&x, 0x7f, 255);
        pickle_text(&x, "long4");
        bytes_put(&x, "\x8b\x01\0\0\0\x05", 6);
        pickle_ids_to_numbers(&x, "dict", labels, 3);
        pickle_text(&x, "itself");
        bytes_put_text(&x, "}\x94X");
        bytes_put(&x, "\x01\0\0\0kh\0s", 8);
        bytes_put(&x, "K\x07N", 3); /* a key that is a number */
        struct parts p = good_parts;
        p.extra = (const char *) x.data;
        p.extra_len = x.len;
        struct byte_buffer b = build_parts(&p);
        struct index_metadata *m = accept(&b);
        check_entries(m, true);
        index_metadata_free(m);
        bytes_clear(&x);
}

/* ---- integers and strings ---- */

static int decode_total(const void *opcode, size_t len, uint64_t *ret)
{
        struct byte_buffer b = { 0 };
        pickle_header(&b, STYLE_RUST);
        pickle_text(&b, "total_elements_added");
        bytes_put(&b, opcode, len);
        pickle_text(&b, "id_to_label");
        bytes_put_text(&b, "}");
        pickle_text(&b, "label_to_id");
        bytes_put_text(&b, "}");
        pickle_text(&b, "id_to_seq_id");
        bytes_put_text(&b, "}");
        pickle_footer(&b, STYLE_RUST);
        struct index_metadata *m = NULL;
        int r = decode(&b, b.len, &m, NULL);
        if (r == 0)
                *ret = m->total_elements_added;
        index_metadata_free(m);
        bytes_clear(&b);
        return r;
}

static void test_integers(void **state)
{
        (void) state;
        static const struct {
                const char *opcode;
                size_t len;
                uint64_t value;
        } good[] = {
                { "K\xff", 2, 255 },
                { "M\xff\xff", 3, 65535 },
                { "J\xff\xff\xff\x7f", 5, 0x7fffffff },
                { "\x8a\x00", 2, 0 },
                { "\x8a\x01\x05", 3, 5 },
                { "\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00", 11, UINT64_MAX },
                { "\x8a\x0a\x01\0\0\0\0\0\0\0\0\0", 12, 1 },
                { "\x8b\x02\0\0\0\x01\x02", 7, 513 },
        };
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
                uint64_t value = 77;
                assert_int_equal(decode_total(good[i].opcode, good[i].len, &value), 0);
                assert_true(value == good[i].value);
        }
        static const struct {
                const char *opcode;
                size_t len;
        } bad[] = { { "J\xff\xff\xff\xff", 5 },
                    { "J\0\0\0\x80", 5 },
                    { "\x8a\x01\x80", 3 },
                    { "\x8a\x09\0\0\0\0\0\0\0\0\x01", 11 },
                    { "\x8b\xff\xff\xff\xff", 5 },
                    { "\x88", 1 },
                    { "N", 1 },
                    { "}", 1 },
                    { ")", 1 },
                    { "X\0\0\0\0", 5 } };
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                uint64_t value;
                assert_int_equal(decode_total(bad[i].opcode, bad[i].len, &value), -EILSEQ);
        }
}

static void begin(struct byte_buffer *b)
{
        pickle_header(b, STYLE_RUST);
        pickle_key_int(b, "total_elements_added", 9);
        pickle_text(b, "id_to_label");
}

static void end_with_seq_ids(struct byte_buffer *b)
{
        pickle_text(b, "id_to_seq_id");
        bytes_put_text(b, "}");
        pickle_footer(b, STYLE_RUST);
}

/* Ids are bytes: NUL, an encoded surrogate, the empty string, 300 of them in a BINUNICODE8. */
static void test_odd_ids(void **state)
{
        (void) state;
        char long_id[300];
        memset(long_id, 'z', sizeof(long_id));
        const struct {
                const char *id;
                size_t len;
        } ids[] = { { "a\0b", 3 }, { "\xed\xa0\x80", 3 }, { "", 0 }, { long_id, 300 }, { long_id, 299 } };
        struct byte_buffer b = { 0 };
        begin(&b);
        bytes_put_text(&b, "}(");
        for (size_t i = 0; i < 5; i++) {
                bytes_put_text(&b, "\x8d");
                bytes_put_int(&b, ids[i].len, 8);
                bytes_put(&b, ids[i].id, ids[i].len);
                pickle_int(&b, (int32_t) i + 1);
        }
        bytes_put_text(&b, "u");
        pickle_text(&b, "label_to_id");
        bytes_put_text(&b, "}(");
        for (size_t i = 0; i < 5; i++) {
                pickle_int(&b, (int32_t) i + 1);
                pickle_bytes(&b, ids[i].id, ids[i].len);
        }
        bytes_put_text(&b, "u");
        end_with_seq_ids(&b);
        struct index_metadata *m = accept(&b);
        assert_int_equal(m->count, 5);
        for (size_t i = 0; i < 5; i++) {
                assert_int_equal(m->entries[i].id_len, ids[i].len);
                if (ids[i].len > 0)
                        assert_memory_equal(m->entries[i].id, ids[i].id, ids[i].len);
        }
        index_metadata_free(m);
}

/* The same id for two labels, in two places of the file or by reference. */
static void test_id_twice(void **state)
{
        (void) state;
        for (int by_reference = 0; by_reference < 2; by_reference++) {
                struct byte_buffer b = { 0 };
                begin(&b);
                bytes_put_text(&b, "}(");
                pickle_text(&b, "twin");
                bytes_put_text(&b, "\x94");
                pickle_int(&b, 1);
                if (by_reference)
                        bytes_put(&b, "h\0", 2);
                else
                        pickle_text(&b, "twin");
                pickle_int(&b, 2);
                bytes_put_text(&b, "u");
                pickle_text(&b, "label_to_id");
                bytes_put(&b, "}(K\x01h\0K\x02h\0u", 11);
                end_with_seq_ids(&b);
                refuse(&b, "an id is there twice");
        }
}

static void test_wrong_kinds(void **state)
{
        (void) state;
        static const char *const dicts[] = { "}(K\001K\001u", "}(\x8c\001a\x8c\001bu", "}(\x8c\001aNu", "}(NK\001u" };
        for (size_t i = 0; i < sizeof(dicts) / sizeof(dicts[0]); i++) {
                struct byte_buffer b = { 0 };
                begin(&b);
                bytes_put_text(&b, dicts[i]);
                pickle_text(&b, "label_to_id");
                bytes_put_text(&b, "}");
                end_with_seq_ids(&b);
                refuse(&b, "id_to_label has");
        }
        struct byte_buffer b = { 0 };
        begin(&b);
        bytes_put_text(&b, "N");
        pickle_text(&b, "label_to_id");
        bytes_put_text(&b, "}");
        end_with_seq_ids(&b);
        refuse(&b, "id_to_label is None");
}

/* One dict object under two names, and the state in itself. */
static void test_shared_dict(void **state)
{
        (void) state;
        struct byte_buffer b = { 0 };
        begin(&b);
        bytes_put_text(&b, "}\x94(");
        pickle_key_int(&b, "one", 1);
        bytes_put_text(&b, "u");
        pickle_text(&b, "label_to_id");
        bytes_put(&b, "h\0", 2);
        end_with_seq_ids(&b);
        refuse(&b, "label_to_id has a string");
        bytes_put_text(&b, "\x80\x04}\x94(");
        pickle_key_int(&b, "total_elements_added", 1);
        static const char *const keys[] = { "id_to_label", "label_to_id", "id_to_seq_id" };
        for (size_t i = 0; i < 3; i++) {
                pickle_text(&b, keys[i]);
                bytes_put(&b, "h\0", 2);
        }
        bytes_put_text(&b, "u.");
        refuse(&b, "id_to_label has a dict");
        /* id_to_label for its own seq_ids is odd, but means something */
        begin(&b);
        bytes_put_text(&b, "}\x94(");
        pickle_key_int(&b, "one", 1);
        bytes_put_text(&b, "u");
        pickle_text(&b, "label_to_id");
        bytes_put_text(&b, "}");
        bytes_put(&b, "K\x01X\x03\0\0\0ones", 11);
        pickle_text(&b, "id_to_seq_id");
        bytes_put(&b, "h\0u.", 4);
        struct index_metadata *m = accept(&b);
        assert_int_equal(m->entries[0].seq_id, 1);
        index_metadata_free(m);
}

/* References in another order than id_to_label's, and one reference twice. */
static void test_seq_ids_by_reference(void **state)
{
        (void) state;
        static const char *const orders[] = { "h\1K\15h\2K\16h\3K\17u", "h\3K\17h\1K\15h\2K\16u", "h\1K\15h\1K\16h\3K\17u" };
        for (int i = 0; i < 3; i++) {
                struct byte_buffer b = { 0 };
                begin(&b);
                bytes_put_text(&b, "}\x94(");
                for (int32_t k = 0; k < 3; k++) {
                        pickle_text(&b, k == 0 ? "a" : k == 1 ? "b" : "c");
                        bytes_put_text(&b, "\x94");
                        pickle_int(&b, 5 - k);
                }
                bytes_put_text(&b, "u");
                pickle_text(&b, "label_to_id");
                bytes_put_text(&b, "}(K\5h\1K\4h\2K\3h\3u");
                pickle_text(&b, "id_to_seq_id");
                bytes_put_text(&b, "}(");
                bytes_put_text(&b, orders[i]);
                pickle_footer(&b, STYLE_RUST);
                if (i == 2) {
                        refuse(&b, "an id is there twice");
                        continue;
                }
                struct index_metadata *m = accept(&b);
                assert_true(m->seq_ids_complete);
                assert_int_equal(index_metadata_by_label(m, 5)->seq_id, 13);
                assert_int_equal(index_metadata_by_label(m, 4)->seq_id, 14);
                assert_int_equal(index_metadata_by_label(m, 3)->seq_id, 15);
                index_metadata_free(m);
        }
}

/* ---- amounts ---- */

/* A string of a megabyte, and references of two bytes to it: must not cost a megabyte each. */
static void test_references_are_cheap(void **state)
{
        (void) state;
        struct byte_buffer b = { 0 };
        begin(&b);
        bytes_put_text(&b, "}(X");
        bytes_put_int(&b, 1 << 20, 4);
        bytes_fill(&b, 'a', 1 << 20);
        bytes_put_text(&b, "\x94");
        pickle_int(&b, 1);
        for (int32_t i = 2; i < 200000; i++) {
                bytes_put(&b, "h\0", 2);
                pickle_int(&b, i);
        }
        bytes_put_text(&b, "u");
        pickle_text(&b, "label_to_id");
        bytes_put_text(&b, "}");
        end_with_seq_ids(&b);
        clock_t start = clock();
        refuse(&b, "an id is there twice");
        assert_true(clock() - start < 5 * CLOCKS_PER_SEC);
}

static void put_many(struct byte_buffer *b, int32_t count, bool inverse)
{
        bytes_put_text(b, "}(");
        for (int32_t i = 0; i < count; i++) {
                char id[32];
                (void) snprintf(id, sizeof(id), "some-id-%08d", i);
                int32_t label =
                        1 + (int32_t) ((uint32_t) i * 7919u % (uint32_t) count); /* a permutation: count is no multiple of it */
                if (inverse)
                        pickle_int(b, label);
                pickle_text(b, id);
                if (!inverse)
                        pickle_int(b, label);
                if (i % 1000 == 999)
                        bytes_put_text(b, "u(");
        }
        bytes_put_text(b, "u");
}

static struct byte_buffer many(int32_t count)
{
        struct byte_buffer b = { 0 };
        pickle_header(&b, STYLE_RUST);
        pickle_key_int(&b, "total_elements_added", count);
        pickle_text(&b, "label_to_id");
        put_many(&b, count, true);
        pickle_text(&b, "id_to_seq_id");
        put_many(&b, count, false);
        pickle_text(&b, "id_to_label");
        put_many(&b, count, false);
        pickle_footer(&b, STYLE_RUST);
        return b;
}

static void test_many(void **state)
{
        (void) state;
        const int32_t count = 100001;
        struct byte_buffer b = many(count);
        struct index_metadata *m = accept(&b);
        assert_int_equal(m->count, count);
        assert_true(m->seq_ids_complete);
        for (size_t i = 0; i < m->count; i++) {
                assert_int_equal(m->entries[i].label, i + 1);
                assert_int_equal(m->entries[i].seq_id, i + 1);
        }
        index_metadata_free(m);
}

/* ---- from a file ---- */

static void test_read(void **state)
{
        (void) state;
        struct byte_buffer b = pickle_build(STYLE_PYTHON, labels, COUNT, 70001);
        int fd = bytes_memfd(b.data, b.len);
        struct index_metadata *m = NULL;
        assert_int_equal(index_metadata_read(fd, NULL, NULL, &m, NULL), 0);
        check_entries(m, true);
        index_metadata_free(m);
        m = NULL;
        struct error e = { 0 };
        assert_int_equal(ftruncate(fd, (off_t) b.len - 1), 0);
        assert_int_equal(index_metadata_read(fd, NULL, NULL, &m, &e), -EILSEQ);
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(index_metadata_read(fd, NULL, NULL, &m, &e), -EILSEQ);
        assert_int_equal(ftruncate(fd, 0xffffffffl), 0); /* a hole, and no memory for it */
        assert_int_equal(index_metadata_read(fd, NULL, NULL, &m, &e), -EILSEQ);
        assert_int_equal(ftruncate(fd, 0x100000000l), 0);
        assert_int_equal(index_metadata_read(fd, NULL, NULL, &m, &e), -EFBIG);
        assert_int_equal(index_metadata_read(-1, NULL, NULL, &m, &e), -EBADF);
        assert_null(m);
        close(fd);
        bytes_clear(&b);
}

static bool at_zero(void *context)
{
        int *left = context;
        return (*left)-- <= 0;
}

/* While it is read, run and put in order. */
static void test_cancelled(void **state)
{
        (void) state;
        struct byte_buffer b = many(100001);
        int fd = bytes_memfd(b.data, b.len), asked = 0;
        struct index_metadata *m = NULL;
        for (int r = -EINTR; r != 0; asked++) {
                int left = asked;
                struct error e = { 0 };
                r = index_metadata_read(fd, at_zero, &left, &m, &e);
                assert_true(r == 0 || (r == -EINTR && e.code == -EINTR && m == NULL));
        }
        assert_true(asked > 8); /* two pieces, 600,000 opcodes, three sorts */
        assert_true(m != NULL && m->count == 100001);
        index_metadata_free(m);
        close(fd);
        bytes_clear(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_shapes),
                cmocka_unit_test(test_empty_index),
                cmocka_unit_test(test_cut_anywhere),
                cmocka_unit_test(test_every_byte_changed),
                cmocka_unit_test(test_trailing_bytes),
                cmocka_unit_test(test_no_pickle),
                cmocka_unit_test(test_deep_nesting),
                cmocka_unit_test(test_huge_claims),
                cmocka_unit_test(test_memo),
                cmocka_unit_test(test_stack_underflow),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_instances),
                cmocka_unit_test(test_reduce_makes_the_same),
                cmocka_unit_test(test_labels),
                cmocka_unit_test(test_seq_ids),
                cmocka_unit_test(test_state_keys),
                cmocka_unit_test(test_missing_keys),
                cmocka_unit_test(test_unknown_keys),
                cmocka_unit_test(test_integers),
                cmocka_unit_test(test_odd_ids),
                cmocka_unit_test(test_id_twice),
                cmocka_unit_test(test_wrong_kinds),
                cmocka_unit_test(test_shared_dict),
                cmocka_unit_test(test_seq_ids_by_reference),
                cmocka_unit_test(test_references_are_cheap),
                cmocka_unit_test(test_many),
                cmocka_unit_test(test_read),
                cmocka_unit_test(test_cancelled),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
