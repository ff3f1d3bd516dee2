/*
 * A parser by recursive descent over one cursor; the canonical form is written while it reads. The tables are the language.
 */
#include "ops/operation/tokenizer_spec.h"

#include <ctype.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "ops/cleanup.h"

#define ALLOWED                                                                                                                        \
        "trigram [case_sensitive 0|1], unicode61 [remove_diacritics 0|1|2] [categories '…'] [separators '…'] [tokenchars '…'], " \
        "ascii [separators '…'] [tokenchars '…'], or porter and one of these"

struct option {
        const char *name;
        const char *digits; /* those that it may be; NULL: a text */
        bool categories;    /* a text of Unicode's general categories */
};

struct base {
        const char *name;
        struct option options[5]; /* ended by one without a name */
};

static const struct base bases[] = {
        { "trigram", { { "case_sensitive", "01", false } } },
        { "unicode61",
          { { "remove_diacritics", "012", false },
            { "categories", NULL, true },
            { "separators", NULL, false },
            { "tokenchars", NULL, false } } },
        { "ascii", { { "separators", NULL, false }, { "tokenchars", NULL, false } } },
};

struct parser {
        const char *at, *end;
        char *out; /* TOKENIZER_MAX bytes */
        size_t len;
        struct error *e;
};

static int refuse(const struct parser *p, const char *what)
{
        return error_set(p->e, EINVAL, "tokenizer: %s; allowed are %s", what, ALLOWED);
}

static int put(struct parser *p, const char *bytes, size_t len)
{
        if (len >= TOKENIZER_MAX - p->len)
                return refuse(p, "too long");
        memcpy(p->out + p->len, bytes, len);
        p->len += len;
        p->out[p->len] = '\0';
        return 0;
}

static bool is_word(char c)
{
        return isascii((unsigned char) c) && (isalnum((unsigned char) c) || c == '_' || c == '*' || c == '-');
}

static void skip_blanks(struct parser *p)
{
        while (p->at < p->end && *p->at == ' ')
                p->at++;
}

/* The word at the cursor, "" where there is none; the cursor goes behind it and the blanks that follow. */
static struct text take_word(struct parser *p)
{
        struct text word = { (char *) (uintptr_t) p->at, 0 };
        while (p->at < p->end && is_word(*p->at))
                p->at++;
        word.len = (size_t) (p->at - word.bytes);
        skip_blanks(p);
        return word;
}

/* Of quoted bytes: writes them as they are, quotes doubled included. */
static int take_quoted(struct parser *p)
{
        const char *start = p->at++;
        while (p->at < p->end && (*p->at != '\'' || (p->at + 1 < p->end && p->at[1] == '\''))) {
                if (iscntrl((unsigned char) *p->at))
                        return refuse(p, "a control character");
                p->at += *p->at == '\'' ? 2 : 1;
        }
        if (p->at == p->end)
                return refuse(p, "a quote that is not closed");
        p->at++;
        if (!utf8_valid(start, (size_t) (p->at - start)))
                return refuse(p, "a text that is no UTF-8");
        int r = put(p, start, (size_t) (p->at - start));
        if (r == 0 && p->at < p->end && *p->at != ' ')
                return refuse(p, "no blank behind a quoted text");
        skip_blanks(p);
        return r;
}

static int take_text(struct parser *p)
{
        if (p->at < p->end && *p->at == '\'')
                return take_quoted(p);
        struct text word = take_word(p);
        int r = word.len == 0 ? refuse(p, "an option lacks its value") : put(p, "'", 1);
        if (r == 0)
                r = put(p, word.bytes, word.len);
        return r < 0 ? r : put(p, "'", 1);
}

static int take_digit(struct parser *p, const char *digits)
{
        struct text word = take_word(p);
        if (word.len != 1 || strchr(digits, word.bytes[0]) == NULL)
                return refuse(p, "an option has a value that it can't have");
        return put(p, word.bytes, 1);
}

/* Words of two characters. SQLite passes over those that it doesn't know. */
static int check_categories(const struct parser *p, const char *quoted)
{
        static const char known[] =
                " Cc Cf Cn Co Cs C* Ll Lm Lo Lt Lu L* Mc Me Mn M* Nd Nl No N* Pc Pd Pe Pf Pi Po Ps P* Sc Sk Sm So S*"
                " Zl Zp Zs Z* ";
        const char *at = quoted + 1, *end = p->out + p->len - 1;
        unsigned count = 0;
        for (; at < end; count++) {
                char word[] = { ' ', at[0], at[1], ' ', '\0' };
                if (at + 2 > end || (at + 2 < end && at[2] != ' ') || strstr(known, word) == NULL)
                        return refuse(p, "categories that are none of Unicode's, as in 'L* Nd'");
                at += at + 2 < end ? 3 : 2;
        }
        return count > 0 ? 0 : refuse(p, "no category");
}

static int take_value(struct parser *p, const struct option *option)
{
        if (option->digits != NULL)
                return take_digit(p, option->digits);
        size_t start = p->len;
        int r = take_text(p);
        return r < 0 || !option->categories ? r : check_categories(p, p->out + start);
}

static int take_option(struct parser *p, const struct base *base, unsigned *seen)
{
        struct text word = take_word(p);
        for (unsigned i = 0; base->options[i].name != NULL; i++) {
                const struct option *option = &base->options[i];
                if (!text_is(&word, option->name))
                        continue;
                if ((*seen & 1u << i) != 0)
                        return refuse(p, "an option is given twice");
                *seen |= 1u << i;
                int r = put(p, " ", 1);
                if (r == 0)
                        r = put(p, option->name, strlen(option->name));
                if (r == 0)
                        r = put(p, " ", 1);
                if (r < 0)
                        return r;
                return take_value(p, option);
        }
        return refuse(p, "an option that the tokenizer does not have");
}

static int take_base(struct parser *p)
{
        struct text word = take_word(p);
        for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++) {
                unsigned seen = 0;
                if (!text_is(&word, bases[i].name))
                        continue;
                int r = put(p, word.bytes, word.len);
                while (r == 0 && p->at < p->end)
                        r = take_option(p, &bases[i], &seen);
                return r;
        }
        return refuse(p, "a tokenizer that is none of these");
}

int tokenizer_spec_parse(const struct text *spec, char ret[TOKENIZER_MAX], struct error *e)
{
        static const char porter[] = "porter";
        char out[TOKENIZER_MAX] = "";
        struct parser p = { spec->bytes, spec->bytes + spec->len, out, 0, e };
        skip_blanks(&p);
        const char *start = p.at;
        struct text word = take_word(&p);
        int r = 0;
        if (text_is(&word, porter))
                r = put(&p, porter, strlen(porter));
        else
                p.at = start;
        if (r == 0 && p.len > 0 && p.at < p.end)
                r = put(&p, " ", 1);
        if (r == 0 && (p.len == 0 || p.at < p.end))
                r = take_base(&p);
        if (r == 0)
                memcpy(ret, out, p.len + 1);
        return r;
}

int tokenizer_spec_try(const char *canonical, struct error *e)
{
        sqlite3 *sqlite = NULL;
        char *sql = sqlite3_mprintf("CREATE VIRTUAL TABLE t USING fts5(x, tokenize=%Q)", canonical);
        int rc =
                sql == NULL ? SQLITE_NOMEM : sqlite3_open_v2(":memory:", &sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(sqlite, sql, NULL, NULL, NULL);
        int code = 0;
        if (rc == SQLITE_NOMEM)
                code = error_set(e, ENOMEM, "no memory to try the tokenizer");
        else if (rc != SQLITE_OK)
                code = error_set(e, EINVAL, "tokenizer: SQLite refuses %s: %s", canonical, sqlite3_errmsg(sqlite));
        sqlite3_free(sql);
        (void) sqlite3_close(sqlite);
        return code;
}

bool tokenizer_spec_answers_like(const char *canonical)
{
        return strcmp(canonical, "trigram") == 0 || strcmp(canonical, "trigram case_sensitive 0") == 0;
}
