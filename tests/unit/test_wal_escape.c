#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ops/text.h"
#include "ops/wal/escape.h"
#include "ops/wal/kernels.h"

/* From Python: json.dumps(bytes.decode('utf-8', 'surrogateescape')), without the quotes. */
#define VALUE(bytes) bytes, sizeof bytes - 1
static const struct {
        const char *bytes;
        size_t len;
        const char *expected;
} from_python[] = {
        /* clang-format off */
        { VALUE(""), "" },
        { VALUE("plain ~ !#[]^`{}/"), "plain ~ !#[]^`{}/" },
        { VALUE("\""), "\\\"" },
        { VALUE("\\"), "\\\\" },
        { VALUE("\"\\\"\\"), "\\\"\\\\\\\"\\\\" },
        { VALUE("\000\001\002\003\004\005\006\007\010\011\012\013\014\015\016\017\020\021\022\023\024\025\026\027\030\031\032\033\034\035\036\037"), "\\u0000\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e\\u000f\\u0010\\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\\u0018\\u0019\\u001a\\u001b\\u001c\\u001d\\u001e\\u001f" },
        { VALUE("\177"), "\\u007f" },
        { VALUE("a\000b"), "a\\u0000b" },
        { VALUE("\302\200\303\277\304\200\337\277\340\240\200\340\277\277\342\200\250\355\237\277\356\200\200\357\273\277\357\277\275\357\277\277"), "\\u0080\\u00ff\\u0100\\u07ff\\u0800\\u0fff\\u2028\\ud7ff\\ue000\\ufeff\\ufffd\\uffff" },
        { VALUE("\360\220\200\200\360\237\246\204\363\277\277\277\364\217\277\277"), "\\ud800\\udc00\\ud83e\\udd84\\udbbf\\udfff\\udbff\\udfff" },
        { VALUE("\200"), "\\udc80" },
        { VALUE("\277\300\301\365\377"), "\\udcbf\\udcc0\\udcc1\\udcf5\\udcff" },
        { VALUE("\302"), "\\udcc2" },
        { VALUE("\302A"), "\\udcc2A" },
        { VALUE("\340\237\277"), "\\udce0\\udc9f\\udcbf" },
        { VALUE("\340\240"), "\\udce0\\udca0" },
        { VALUE("\355\240\200"), "\\udced\\udca0\\udc80" },
        { VALUE("\355\237\277"), "\\ud7ff" },
        { VALUE("\342\202"), "\\udce2\\udc82" },
        { VALUE("\342\202\""), "\\udce2\\udc82\\\"" },
        { VALUE("\342(\241"), "\\udce2(\\udca1" },
        { VALUE("\360\217\277\277"), "\\udcf0\\udc8f\\udcbf\\udcbf" },
        { VALUE("\360\220\200"), "\\udcf0\\udc90\\udc80" },
        { VALUE("\360\237\246"), "\\udcf0\\udc9f\\udca6" },
        { VALUE("\364\220\200\200"), "\\udcf4\\udc90\\udc80\\udc80" },
        { VALUE("\364\217\277\277"), "\\udbff\\udfff" },
        { VALUE("\365\200\200\200"), "\\udcf5\\udc80\\udc80\\udc80" },
        { VALUE("\370\220\200\200"), "\\udcf8\\udc90\\udc80\\udc80" },
        { VALUE("\377\277\277\277"), "\\udcff\\udcbf\\udcbf\\udcbf" },
        { VALUE("\360\237\246\204\204"), "\\ud83e\\udd84\\udc84" },
        { VALUE("\342\342\202\254"), "\\udce2\\u20ac" },
        { VALUE("\360\360\237\246\204"), "\\udcf0\\ud83e\\udd84" },
        { VALUE("{\"k\": \"v\\u00e4\", \"chroma:document\": \"Z\303\244hler\012\011\"}"), "{\\\"k\\\": \\\"v\\\\u00e4\\\", \\\"chroma:document\\\": \\\"Z\\u00e4hler\\n\\t\\\"}" },
        /* clang-format on */
};

/* The same, character by character, with nothing in common with what is tested. */
static char *expect_unit(char *out, unsigned unit)
{
        return out + sprintf(out, "\\u%04x", unit);
}

static char *expect_ascii(char *out, char c)
{
        static const char names[] = "\"\"\\\\\bb\tt\nn\ff\rr";
        for (size_t i = 0; i + 1 < sizeof names; i += 2)
                if (names[i] == c)
                        return out + sprintf(out, "\\%c", names[i + 1]);
        if (c < ' ' || c == 0x7f)
                return expect_unit(out, (unsigned) c);
        *out = c;
        return out + 1;
}

static char *expect_character(char *out, const unsigned char *p, size_t n)
{
        static const unsigned marks[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
        unsigned c = p[0] - marks[n];
        for (size_t i = 1; i < n; i++)
                c = c * 64 + p[i] - 0x80;
        if (c < 0x10000)
                return expect_unit(out, c);
        out = expect_unit(out, 0xd800 + (c - 0x10000) / 0x400);
        return expect_unit(out, 0xdc00 + (c - 0x10000) % 0x400);
}

/* The caller frees. */
static char *expect(const char *bytes, size_t len, size_t *ret_length)
{
        char *text = malloc(6 * len + 1), *out = text;
        assert_non_null(text);
        for (size_t i = 0, n; i < len; i += n) {
                const unsigned char *p = (const unsigned char *) bytes + i;
                n = utf8_sequence(p, len - i);
                if (n == 1)
                        out = expect_ascii(out, bytes[i]);
                else if (n > 1)
                        out = expect_character(out, p, n);
                else
                        out = expect_unit(out, 0xdc00u + p[0]), n = 1;
        }
        *ret_length = (size_t) (out - text);
        return text;
}

/* Both buffers end where their allocations do, so that AddressSanitizer sees a byte too much; the output's has marks on both sides, too. */
static void check_at(enum kernel kernel, const char *bytes, size_t len, size_t offset, const char *expected, size_t length)
{
        enum { MARK = 0x55, MARKS = 8 };
        char *in = malloc(offset + len + (offset + len == 0)), *out = malloc(MARKS + length + MARKS);
        assert_non_null(in);
        assert_non_null(out);
        if (len > 0)
                memcpy(in + offset, bytes, len);
        memset(out, MARK, MARKS + length + MARKS);
        assert_int_equal(escape_length_with(kernel, in + offset, len), length);
        assert_ptr_equal(escape_text_with(kernel, in + offset, len, out + MARKS), out + MARKS + length);
        assert_memory_equal(out + MARKS, expected, length);
        for (size_t i = 0; i < MARKS; i++)
                assert_true(out[i] == MARK && out[MARKS + length + i] == MARK);
        char *exact = realloc(out, length > 0 ? length : 1);
        assert_non_null(exact);
        assert_ptr_equal(escape_text_with(kernel, in + offset, len, exact), exact + length);
        assert_memory_equal(exact, expected, length);
        free(exact);
        free(in);
}

static void check(const char *bytes, size_t len, size_t offset)
{
        size_t length;
        char *expected = expect(bytes, len, &length);
        for (int k = 0; k < KERNELS; k++)
                if (kernel_usable((enum kernel) k))
                        check_at((enum kernel) k, bytes, len, offset, expected, length);
        free(expected);
}

static void test_python(void **state)
{
        (void) state;
        for (size_t i = 0; i < sizeof from_python / sizeof from_python[0]; i++) {
                size_t length;
                char *expected = expect(from_python[i].bytes, from_python[i].len, &length), out[256];
                assert_int_equal(length, strlen(from_python[i].expected));
                assert_memory_equal(expected, from_python[i].expected, length);
                free(expected);
                check(from_python[i].bytes, from_python[i].len, 0);
                assert_int_equal(escape_length(from_python[i].bytes, from_python[i].len), length);
                assert_ptr_equal(escape_text(from_python[i].bytes, from_python[i].len, out), out + length);
                assert_memory_equal(out, from_python[i].expected, length);
        }
}

/* Every byte in front of every other, at the beginning of a block, across its end, and in a short text. */
static void test_pairs_of_bytes(void **state)
{
        (void) state;
        static const size_t places[] = { 0, 31, 63 };
        for (unsigned pair = 0; pair < 65536; pair++) {
                char text[96];
                memset(text, 'x', sizeof text);
                size_t at = places[pair % 3];
                text[at] = (char) (pair >> 8);
                text[at + 1] = (char) pair;
                check(text, at + 2 + pair % 31, 0);
        }
}

/* All characters there are, in one text. */
static void test_characters(void **state)
{
        (void) state;
        char *text = malloc(4 * 0x110000), *p = text;
        assert_non_null(text);
        for (unsigned c = 0; c < 0x110000; c++) {
                unsigned tail[3] = { 0x80 | (c & 0x3f), 0x80 | (c >> 6 & 0x3f), 0x80 | (c >> 12 & 0x3f) };
                size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
                *p++ = (char) (n == 1 ? c : n == 2 ? 0xc0 | c >> 6 : n == 3 ? 0xe0 | c >> 12 : 0xf0 | c >> 18);
                for (size_t i = n - 1; i > 0; i--)
                        *p++ = (char) tail[i - 1];
        }
        check(text, (size_t) (p - text), 0);
        free(text);
}

static uint32_t next_random(uint64_t *state)
{
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        return (uint32_t) (*state >> 33);
}

/* What texts are made of: one in `rare` is out of `pieces`. */
static const struct mixture {
        unsigned rare;
        const char *pieces[9];
} mixtures[] = {
        { 1000, { "x" } },
        { 10, { "\"" } },
        { 1, { "\"", "\\" } },
        { 5, { "\"", "\\", "\n", "\t", "\x7f", "\x01", "\x18", "\xc3\xa4" } },
        { 2, { "\xe4\xb8\xad", "\xc3\xa4", "\xf0\x9f\xa6\x84", " " } },
        { 1, { "\xe4\xb8\xad" } },
        { 1, { "\xe4", "\xb8", "\xf0", "\x9f", "\xed", "\xa0", "\xc3", "\xff", "\"" } },
        { 40, { "\x80" } },
};

static size_t mix(const struct mixture *mixture, size_t len, uint64_t *random, char *ret)
{
        size_t count = 1, done = 0;
        while (count < 9 && mixture->pieces[count] != NULL)
                count++;
        while (done < len) {
                const char *piece = mixture->pieces[next_random(random) % count];
                size_t n = strlen(piece);
                if (next_random(random) % mixture->rare != 0 || n > len - done)
                        ret[done++] = (char) ('a' + next_random(random) % 26);
                else
                        memcpy(ret + done, piece, n), done += n;
        }
        return done;
}

static void test_lengths(void **state)
{
        (void) state;
        uint64_t random = 1;
        for (size_t m = 0; m < sizeof mixtures / sizeof mixtures[0]; m++)
                for (size_t len = 0; len <= 300; len++) {
                        char text[300];
                        mix(&mixtures[m], len, &random, text);
                        check(text, len, len % 64);
                        check(text, len, next_random(&random) % 64);
                }
}

static void test_alignments(void **state)
{
        (void) state;
        uint64_t random = 2;
        char text[200];
        for (size_t offset = 0; offset < 64; offset++)
                for (size_t len = 0; len <= sizeof text; len += 7) {
                        mix(&mixtures[offset % 8], len, &random, text);
                        check(text, len, offset);
                }
}

/* The text in two parts, cut at the boundary, becomes what the whole becomes; and three bytes on either side are all that it depends on. */
static void check_cut(const char *text, size_t len, size_t at)
{
        size_t begin = at < 3 ? 0 : at - 3, end = len - at < 3 ? len : at + 3;
        size_t cut = escape_boundary(text, len, at), length, first, second;
        assert_true(cut <= at && at - cut <= 3);
        assert_int_equal(begin + escape_boundary(text + begin, end - begin, at - begin), cut);
        char *whole = expect(text, len, &length), *head = expect(text, cut, &first), *tail = expect(text + cut, len - cut, &second);
        assert_int_equal(first + second, length);
        assert_memory_equal(whole, head, first);
        assert_memory_equal(whole + first, tail, second);
        free(whole);
        free(head);
        free(tail);
}

static void test_boundary(void **state)
{
        (void) state;
        uint64_t random = 3;
        char text[40];
        for (size_t m = 0; m < sizeof mixtures / sizeof mixtures[0]; m++)
                for (int round = 0; round < 20; round++) {
                        size_t len = mix(&mixtures[m], next_random(&random) % sizeof text, &random, text);
                        for (size_t at = 0; at <= len; at++)
                                check_cut(text, len, at);
                }
}

static void test_boundary_places(void **state)
{
        (void) state;
        static const struct {
                const char *text;
                size_t at, expected;
        } cases[] = {
                { "abc", 0, 0 },
                { "abc", 2, 2 },
                { "abc", 3, 3 },
                { "\xc3\xa4", 1, 0 },
                { "a\xc3\xa4"
                  "b",
                  2, 1 },
                { "a\xc3\xa4"
                  "b",
                  3, 3 },
                { "\xe4\xb8\xad", 2, 0 },
                { "\xf0\x9f\xa6\x84", 1, 0 },
                { "\xf0\x9f\xa6\x84", 2, 0 },
                { "\xf0\x9f\xa6\x84", 3, 0 },
                { "\xf0\x9f\xa6\x84", 4, 4 },
                { "\xf0\x9f\xa6", 2, 2 },     /* cut off: no character */
                { "\xe4\xb8\xad\xad", 3, 3 }, /* one byte more than it has */
                { "\xed\xa0\x80", 1, 1 },     /* a surrogate */
                { "\x80\x80\x80\x80", 3, 3 },
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
                assert_int_equal(escape_boundary(cases[i].text, strlen(cases[i].text), cases[i].at), cases[i].expected);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_python),          cmocka_unit_test(test_pairs_of_bytes), cmocka_unit_test(test_characters),
                cmocka_unit_test(test_lengths),         cmocka_unit_test(test_alignments),     cmocka_unit_test(test_boundary),
                cmocka_unit_test(test_boundary_places),
        };
        return cmocka_run_group_tests_name("wal_escape", tests, NULL, NULL);
}
