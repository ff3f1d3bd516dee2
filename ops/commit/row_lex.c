/*
 * Strings and names. A string goes, decoded, to where the last one ended: it is never longer than what it is made of, and the quotes leave room for its NUL.
 */
#include "ops/commit/row_lex.h"

#include <errno.h>
#include <math.h>
#include <string.h>

int commit_lex_fail(struct commit_lexer *lexer, const char *what)
{
        (void) error_set(lexer->why, EILSEQ, "its metadata: %s, at byte %zu of %zu", what, (size_t) (lexer->at - lexer->begin),
                         (size_t) (lexer->end - lexer->begin));
        return 1;
}

int commit_lex_peek(struct commit_lexer *lexer)
{
        while (lexer->at < lexer->end && (*lexer->at == ' ' || *lexer->at == '\t' || *lexer->at == '\n' || *lexer->at == '\r'))
                lexer->at++;
        return lexer->at < lexer->end ? (unsigned char) *lexer->at : -1;
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits behind "\u" at `at`; -1 when they are none. */
static int32_t unit_at(const struct commit_lexer *lexer, const char *at)
{
        int32_t unit = 0;
        if (lexer->end - at < 6 || at[0] != '\\' || at[1] != 'u')
                return -1;
        for (int i = 2; i < 6; i++) {
                int digit = hex_digit(at[i]);
                if (digit < 0)
                        return -1;
                unit = unit * 16 + digit;
        }
        return unit;
}

static char *put_utf8(uint32_t c, char *out)
{
        if (c < 0x80) {
                *out++ = (char) c;
                return out;
        }
        int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        static const uint32_t marks[] = { 0, 0xc0, 0xe0, 0xf0 };
        *out++ = (char) (marks[more] | c >> 6 * more);
        while (more-- > 0)
                *out++ = (char) (0x80 | (c >> 6 * more & 0x3f));
        return out;
}

/* \uXXXX, and the one behind it if they are a pair. */
static int take_unit(struct commit_lexer *lexer, char **out)
{
        int32_t unit = unit_at(lexer, lexer->at);
        if (unit < 0)
                return commit_lex_fail(lexer, "no four hexadecimal digits");
        uint32_t c = (uint32_t) unit;
        if (c >= 0xd800 && c <= 0xdfff) {
                int32_t low = c < 0xdc00 ? unit_at(lexer, lexer->at + 6) : -1;
                bool pair = low >= 0xdc00 && low <= 0xdfff;
                if (!pair && lexer->dialect != DIALECT_PYTHON)
                        return commit_lex_fail(lexer, "half of a pair of surrogates, which is no character");
                lexer->surrogate |= !pair;
                c = pair ? 0x10000 + (c - 0xd800) * 0x400 + (uint32_t) (low - 0xdc00) : 0xfffd;
                lexer->at += pair ? 6 : 0;
        }
        lexer->at += 6;
        *out = put_utf8(c, *out);
        return 0;
}

static int take_escape(struct commit_lexer *lexer, char **out)
{
        static const char names[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
        if (lexer->end - lexer->at < 2)
                return commit_lex_fail(lexer, "a string without an end");
        if (lexer->at[1] == 'u')
                return take_unit(lexer, out);
        for (size_t i = 0; i + 1 < sizeof names; i += 2)
                if (names[i] == lexer->at[1]) {
                        *(*out)++ = names[i + 1];
                        lexer->at += 2;
                        return 0;
                }
        return commit_lex_fail(lexer, "an unknown escape");
}

static bool is_plain(char c)
{
        return c != '"' && c != '\\' && (unsigned char) c >= 0x20;
}

int commit_lex_string(struct commit_lexer *lexer, struct text *ret)
{
        char *out = lexer->strings;
        if (commit_lex_peek(lexer) != '"')
                return commit_lex_fail(lexer, "no string where one must be");
        lexer->at++;
        for (;;) {
                const char *from = lexer->at;
                while (lexer->at < lexer->end && is_plain(*lexer->at))
                        lexer->at++;
                memcpy(out, from, (size_t) (lexer->at - from));
                out += lexer->at - from;
                if (lexer->at == lexer->end)
                        return commit_lex_fail(lexer, "a string without an end");
                if (*lexer->at == '"')
                        break;
                if (*lexer->at != '\\')
                        return commit_lex_fail(lexer, "a control character in a string");
                if (take_escape(lexer, &out) != 0)
                        return 1;
        }
        lexer->at++;
        *ret = (struct text){ lexer->strings, (size_t) (out - lexer->strings) };
        *out++ = '\0';
        lexer->strings = out;
        return 0;
}

int commit_lex_name(struct commit_lexer *lexer, struct commit_value *ret)
{
        static const struct {
                char name[12];
                struct commit_value value;
                bool python;
        } names[] = {
                { "null", { .type = COMMIT_NULL }, false },
                { "true", { .type = COMMIT_BOOL, .integer = 1 }, false },
                { "false", { .type = COMMIT_BOOL }, false },
                { "NaN", { .type = COMMIT_FLOAT, .real = NAN }, true },
                { "Infinity", { .type = COMMIT_FLOAT, .real = INFINITY }, true },
                { "-Infinity", { .type = COMMIT_FLOAT, .real = -INFINITY }, true },
        };
        size_t left = (size_t) (lexer->end - lexer->at);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
                size_t len = strlen(names[i].name);
                if (left < len || memcmp(lexer->at, names[i].name, len) != 0)
                        continue;
                if (names[i].python && lexer->dialect != DIALECT_PYTHON)
                        return commit_lex_fail(lexer, "a number that is not finite");
                lexer->at += len;
                *ret = names[i].value;
                return 0;
        }
        return commit_lex_fail(lexer, "no value");
}
