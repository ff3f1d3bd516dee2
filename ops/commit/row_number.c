/*
 * Numbers. Python's are integers without limit, and the nearest doubles. Rust's are what serde_json makes of them without its feature float_roundtrip: up to 19 or 20 digits are taken as an
 * integer of 64 bits, the others are dropped or counted as powers of ten, and the double of that integer is multiplied with or divided by a power of ten. Of doubles as
 * Chroma itself writes them every fifth comes out one unit in the last place beside (compared with 1.0.20 and 1.5.9: tests/unit/test_commit_row.c has some).
 */
#include "ops/commit/row_lex.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct number {
        const char *begin, *fraction, *exponent, *end; /* of its parts: their first digit (or sign), NULL where they are missing */
        bool negative;
};

static bool is_digit(const struct commit_lexer *lexer, const char *at)
{
        return at < lexer->end && *at >= '0' && *at <= '9';
}

static const char *skip_digits(const struct commit_lexer *lexer, const char *at)
{
        while (is_digit(lexer, at))
                at++;
        return at;
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? */
static bool scan(const struct commit_lexer *lexer, struct number *ret)
{
        const char *at = lexer->at;
        *ret = (struct number){ .negative = *at == '-' };
        ret->begin = at += ret->negative ? 1 : 0;
        if (!is_digit(lexer, at) || (*at == '0' && is_digit(lexer, at + 1)))
                return false;
        at = skip_digits(lexer, at);
        if (at < lexer->end && *at == '.') {
                ret->fraction = ++at;
                if (!is_digit(lexer, at))
                        return false;
                at = skip_digits(lexer, at);
        }
        if (at < lexer->end && (*at | 0x20) == 'e') {
                ret->exponent = ++at;
                at += at < lexer->end && (*at == '+' || *at == '-') ? 1 : 0;
                if (!is_digit(lexer, at))
                        return false;
                at = skip_digits(lexer, at);
        }
        ret->end = at;
        return true;
}

/* The first digits as an integer; what is behind them in *ret_rest. */
static uint64_t take_digits(uint64_t significand, const char *at, const char *end, const char **ret_rest)
{
        uint64_t next = 0;
        for (; at < end && *at >= '0' && *at <= '9'; at++) {
                if (__builtin_mul_overflow(significand, 10, &next) || __builtin_add_overflow(next, (uint64_t) (*at - '0'), &next))
                        break;
                significand = next;
        }
        *ret_rest = at;
        return significand;
}

/* False when int64 does not hold it. */
static bool take_integer(const struct number *number, struct commit_value *ret)
{
        const char *rest = NULL;
        uint64_t digits = take_digits(0, number->begin, number->end, &rest);
        if (rest != number->end || digits > (uint64_t) INT64_MAX + (number->negative ? 1 : 0))
                return false;
        *ret = (struct commit_value){ .type = COMMIT_INT, .integer = (int64_t) (number->negative ? 0 - digits : digits) };
        return true;
}

/* The nearest double. The free room for strings is longer than the number. */
static double nearest(const struct commit_lexer *lexer, const struct number *number)
{
        size_t len = (size_t) (number->end - lexer->at);
        memcpy(lexer->strings, lexer->at, len);
        lexer->strings[len] = '\0';
        return strtod(lexer->strings, NULL);
}

static int python_number(struct commit_lexer *lexer, const struct number *number, struct commit_value *ret)
{
        bool integer = number->fraction == NULL && number->exponent == NULL;
        if (integer && take_integer(number, ret))
                return 0;
        *ret = (struct commit_value){ .type = COMMIT_FLOAT, .real = nearest(lexer, number) };
        lexer->endless |= integer && isinf(ret->real);
        return 0;
}

/* Its written exponent; beyond what matters it is cut. */
static int64_t exponent_of(const struct number *number)
{
        const char *at = number->exponent;
        if (at == NULL)
                return 0;
        bool negative = *at == '-';
        int64_t exponent = 0;
        for (at += *at == '-' || *at == '+' ? 1 : 0; at < number->end; at++)
                exponent = exponent < INT_MAX ? exponent * 10 + (*at - '0') : exponent;
        return negative ? -exponent : exponent;
}

static double power_of_ten(int64_t exponent)
{
        char text[8] = "1e";
        size_t len = 2;
        if (exponent >= 100)
                text[len++] = (char) ('0' + exponent / 100 % 10);
        text[len++] = (char) ('0' + exponent / 10 % 10);
        text[len++] = (char) ('0' + exponent % 10);
        text[len] = '\0';
        return strtod(text, NULL); /* the nearest, as in a table of constants */
}

static double scale(double f, int64_t exponent)
{
        for (; exponent < -308 && f > 0; exponent += 308)
                f /= 1e308;
        if (f <= 0)
                return 0;
        if (exponent > 308)
                return INFINITY;
        return exponent >= 0 ? f * power_of_ten(exponent) : f / power_of_ten(-exponent);
}

static int rust_number(struct commit_lexer *lexer, const struct number *number, struct commit_value *ret)
{
        bool integer = number->fraction == NULL && number->exponent == NULL;
        bool minus_zero = number->negative && *number->begin == '0';
        if (integer && !minus_zero && take_integer(number, ret))
                return 0;
        const char *rest = NULL, *end = number->end;
        uint64_t significand = take_digits(0, number->begin, end, &rest);
        int64_t exponent = exponent_of(number);
        for (; rest < end && *rest >= '0' && *rest <= '9'; rest++)
                exponent++;
        if (number->fraction != NULL) {
                significand = take_digits(significand, number->fraction, end, &rest);
                exponent -= rest - number->fraction;
        }
        double f = scale((double) significand, exponent);
        if (isinf(f))
                return commit_lex_fail(lexer, "a number beyond the doubles");
        *ret = (struct commit_value){ .type = COMMIT_FLOAT, .real = number->negative ? -f : f };
        return 0;
}

int commit_lex_number(struct commit_lexer *lexer, struct commit_value *ret)
{
        struct number number;
        if (!scan(lexer, &number))
                return lexer->at + 1 < lexer->end && lexer->at[1] == 'I' ? commit_lex_name(lexer, ret)
                                                                         : commit_lex_fail(lexer, "no number");
        int r = lexer->dialect == DIALECT_PYTHON ? python_number(lexer, &number, ret) : rust_number(lexer, &number, ret);
        if (r == 0)
                lexer->at = number.end;
        return r;
}
