#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "ops/operation/command.h"

static const char *const words[] = { "l2", "cosine", "ip", NULL };

static const struct option_spec rows[] = {
        { .name = "flag", .type = OPTION_FLAG, .by_default = "1", .help = "a flag" },
        { .name = "bool", .type = OPTION_BOOL, .by_default = "true", .help = "a truth" },
        { .name = "count", .type = OPTION_COUNT, .min = 2, .max = 100, .by_default = "the one in force", .help = "a count" },
        { .name = "big", .type = OPTION_COUNT, .max = 18446744073709551616.0, .by_default = "7", .help = "a large count" },
        { .name = "real", .type = OPTION_REAL, .min = 1.1, .max = 10, .by_default = "1.2", .help = "a real" },
        { .name = "text", .type = OPTION_TEXT, .by_default = "none", .help = "a text" },
        { .name = "path", .type = OPTION_PATH, .by_default = "none", .help = "a path" },
        { .name = "names", .type = OPTION_NAMES, .by_default = "none", .help = "some names" },
        { .name = "word", .type = OPTION_WORD, .words = words, .by_default = "as it is", .help = "a word" },
        { .name = "mode", .type = OPTION_WORD, .words = words, .by_default = "cosine", .help = "another word" },
        { .name = NULL },
};

static const struct option_spec needs[] = {
        { .name = "to", .type = OPTION_PATH, .help = "where the copy goes" },
        { .name = NULL },
};

static struct command *good_bytes(const struct option_spec *options, const char *line, size_t len)
{
        struct command *command = NULL;
        struct error e = { 0 };
        if (command_parse(options, line, len, &command, &e) < 0)
                fail_msg("%s: %s", line, e.text);
        return command;
}

static struct command *good(const char *line)
{
        return good_bytes(rows, line, strlen(line));
}

/* Every refusal says something about `about`, and changes nothing. */
static void bad_bytes(const struct option_spec *options, const char *line, size_t len, const char *about)
{
        struct command *command = NULL;
        struct error e = { 0 };
        assert_int_equal(command_parse(options, line, len, &command, &e), -EINVAL);
        assert_null(command);
        assert_int_equal(e.code, -EINVAL);
        if (strstr(e.text, about) == NULL)
                fail_msg("'%s' does not say '%s'", e.text, about);
        assert_true(utf8_valid(e.text, strlen(e.text)));
        assert_null(strchr(e.text, '\n'));
        assert_int_equal(command_parse(options, line, len, &command, NULL), -EINVAL);
}

static void bad(const char *line, const char *about)
{
        bad_bytes(rows, line, strlen(line), about);
}

static void nothing_said(void **state)
{
        (void) state;
        static const char *const lines[] = { "", "\n", "1", "1\n", "  \t ", " 1 \n" };
        for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
                CLEANUP(command_free)
                struct command *command = good(lines[i]);
                assert_int_equal(command->count, 13);
                for (size_t j = 0; j < command->count; j++)
                        assert_false(command->values[j].given);
                assert_false(command->dry_run || command->force);
                assert_int_equal(command->keep_days, COMMAND_KEEP_DAYS);
        }
        command_free(good_bytes(NULL, "", 0));
        assert_null(command_free(NULL));
}

static void defaults(void **state)
{
        (void) state;
        CLEANUP(command_free)
        struct command *command = good("");
        assert_true(command_option(command, "flag")->flag);
        assert_true(command_option(command, "bool")->flag);
        assert_int_equal(command_option(command, "count")->count, 0);
        assert_int_equal(command_option(command, "big")->count, 7);
        assert_true(command_option(command, "real")->real == 1.2);
        assert_null(command_option(command, "text")->text.bytes);
        assert_null(command_option(command, "path")->text.bytes);
        assert_int_equal(command_option(command, "names")->name_count, 0);
        assert_int_equal(command_option(command, "word")->count, 0);
        assert_int_equal(command_option(command, "mode")->count, 1);
}

static void one_of_words(void **state)
{
        static const char *const wrong[] = { "word=", "word=L2", "word=l", "word=l22", "word=ip,l2", "word=%20ip" };
        (void) state;
        for (uint64_t i = 0; words[i] != NULL; i++) {
                char line[32];
                (void) snprintf(line, sizeof(line), "word=%s", words[i]);
                CLEANUP(command_free)
                struct command *command = good(line);
                assert_true(command_option(command, "word")->given);
                assert_true(command_option(command, "word")->count == i);
                assert_int_equal(command_option(command, "mode")->count, 1);
        }
        for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
                bad(wrong[i], "word must be one of l2, cosine, ip");
}

static void common_options(void **state)
{
        (void) state;
        CLEANUP(command_free)
        struct command *command = good_bytes(NULL, "keep=0\tforce=1   dry_run=1\n", 27);
        assert_true(command->dry_run);
        assert_true(command->force);
        assert_int_equal(command->keep_days, 0);
        assert_true(command_option(command, "keep")->given);
}

static void values(void **state)
{
        (void) state;
        CLEANUP(command_free)
        struct command *command =
                good("flag=0 bool=false count=100 big=18446744073709551615 real=1.1e0 text=a=b%20c path=/x%23 dry_run=0");
        assert_false(command_option(command, "flag")->flag);
        assert_false(command_option(command, "bool")->flag);
        assert_int_equal(command_option(command, "count")->count, 100);
        assert_true(command_option(command, "big")->count == UINT64_MAX);
        assert_true(command_option(command, "real")->real == 1.1);
        assert_string_equal(command_option(command, "text")->text.bytes, "a=b c");
        assert_int_equal(command_option(command, "text")->text.len, 5);
        assert_string_equal(command_option(command, "path")->text.bytes, "/x#");
        assert_false(command->dry_run);
}

static void names(void **state)
{
        (void) state;
        CLEANUP(command_free)
        struct command *command = good("names=docs,a%2Cb,%c3%A4,%ff");
        const struct option_value *value = command_option(command, "names");
        assert_int_equal(value->name_count, 4);
        assert_string_equal(value->names[0].bytes, "docs");
        assert_string_equal(value->names[1].bytes, "a,b");
        assert_string_equal(value->names[2].bytes, "ä");
        assert_string_equal(value->names[3].bytes, "\xff");
        assert_int_equal(value->names[3].len, 1);
        bad("names=", "names");
        bad("names=,", "names");
        bad("names=a,", "names");
        bad("names=,a", "names");
        bad("names=a,,b", "names");
}

static void wrong_words(void **state)
{
        (void) state;
        bad("nonsense", "'nonsense'");
        bad("1 1", "'1'");
        bad("1 dry_run=1", "'1'");
        bad("2", "'2'");
        bad("=1", "''");
        bad("flags=1", "there are flag, bool, count");
        bad("fla=1", "'fla'");
        bad("FLAG=1", "'FLAG'");
        bad("flag=1 flag=1", "twice");
        bad("keep=1 flag=1 keep=1", "'keep' is given twice");
        bad("flag =1", "'flag'");
        bad_bytes(NULL, "flag=1", 6, "there are dry_run, force, keep");
}

static void wrong_numbers(void **state)
{
        (void) state;
        static const char *const counts[] = { "",  "1", "101", "-2", "+2", " ", "0x10", "2.0", "2e1", "18446744073709551618",
                                              "²", "3a" };
        static const char *const reals[] = {
                "", "1", "10.1", "inf", "nan", "0x2", "2,5", "2.5.5", "2e999", "-3", "2 5", "1e", "--2"
        };
        char line[64];
        for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
                (void) snprintf(line, sizeof(line), "count=%s", counts[i]);
                bad(line, "a whole number from 2 to 100");
        }
        for (size_t i = 0; i < sizeof(reals) / sizeof(*reals); i++) {
                (void) snprintf(line, sizeof(line), "real=%s", reals[i]);
                bad(line, i == 10 ? "'5'" : "a number from 1.1 to 10");
        }
        bad("keep=36501", "from 0 to 36500");
        bad("big=18446744073709551616", "big");
}

static void wrong_values(void **state)
{
        (void) state;
        bad("flag=2", "0 or 1");
        bad("flag=", "0 or 1");
        bad("flag=true", "0 or 1");
        bad("flag=01", "0 or 1");
        bad("bool=1", "true or false");
        bad("bool=TRUE", "true or false");
        bad("text=", "text, not empty");
        bad("path=", "an absolute path");
        bad("path=x/y", "an absolute path");
        bad("dry_run=yes", "dry_run");
}

static void escapes(void **state)
{
        (void) state;
        CLEANUP(command_free)
        struct command *command = good("text=%25%0A%3d%09%7F");
        assert_string_equal(command_option(command, "text")->text.bytes, "%\n=\t\x7f");
        bad("text=%", "hexadecimal");
        bad("text=a%2", "hexadecimal");
        bad("text=%g0", "hexadecimal");
        bad("text=%0g", "hexadecimal");
        bad("text=%%41", "hexadecimal");
        bad("text=a%00b", "NUL");
        bad("names=a,%00", "NUL");
        bad("%66lag=1", "no option"); /* names are plain */
        bad("text=%2", "text=%2");
}

static void wrong_bytes(void **state)
{
        (void) state;
        bad("# flag=1", "'#'");
        bad("flag=1 #", "'#'");
        bad("text=a#b", "'#'");
        bad("flag=1\nbool=true\n", "newline");
        bad("\n\n", "newline");
        bad("1\r\n", "0x0d");
        bad("text=\x1b[2J", "0x1b");
        bad("text=\x7f", "0x7f");
        bad_bytes(rows, "text=a\0b", 8, "0x00");
        bad_bytes(rows, "1\0", 2, "0x00");
}

static void too_long(void **state)
{
        (void) state;
        static char line[COMMAND_MAX + 2];
        memset(line, ' ', sizeof(line));
        command_free(good_bytes(rows, line, COMMAND_MAX));
        line[COMMAND_MAX] = '\n';
        command_free(good_bytes(rows, line, COMMAND_MAX + 1));
        line[COMMAND_MAX] = ' ';
        bad_bytes(rows, line, COMMAND_MAX + 1, "65536");
        memcpy(line, "text=", 5);
        memset(line + 5, 'x', COMMAND_MAX - 5);
        CLEANUP(command_free)
        struct command *command = good_bytes(rows, line, COMMAND_MAX);
        assert_int_equal(command_option(command, "text")->text.len, COMMAND_MAX - 5);
}

/* What is shown of a word is short, and can be printed. */
static void shown_words(void **state)
{
        (void) state;
        char line[400];
        memset(line, 'x', sizeof(line));
        bad_bytes(rows, line, sizeof(line), "xxx…'");
        for (size_t shift = 0; shift < 4; shift++) {
                for (size_t i = shift; i + 1 < sizeof(line); i += 2)
                        memcpy(line + i, "ä", 2);
                bad_bytes(rows, line, sizeof(line), "…'");
        }
        bad("\xff\xfex=1", "'?\?x'");
        bad("wörd=1", "'wörd'");
}

static void missing(void **state)
{
        (void) state;
        bad_bytes(needs, "", 0, "to= is missing");
        bad_bytes(needs, "1\n", 2, "where the copy goes");
        bad_bytes(needs, "dry_run=1", 9, "to=");
        CLEANUP(command_free)
        struct command *command = good_bytes(needs, "to=/b", 5);
        assert_string_equal(command_option(command, "to")->text.bytes, "/b");
}

static void check_comments(const char *text)
{
        for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
                assert_memory_equal(line, "# ", 2);
                assert_non_null(strchr(line, '\n'));
        }
}

static void usage(void **state)
{
        (void) state;
        struct text t;
        assert_int_equal(command_usage("mend", "Mends it.", rows, &t), 0);
        assert_int_equal(strlen(t.bytes), t.len);
        check_comments(t.bytes);
        static const char *const parts[] = { "# mend: Mends it.\n", "echo 1 > mend",    "flag=0|1",       "a count",
                                             "from 2 to 100",       "the one in force", "from 1.1 to 10", "names=NAME,NAME",
                                             "dry_run=0|1",         "keep=N",           "default: 7" };
        for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
                if (strstr(t.bytes, parts[i]) == NULL)
                        fail_msg("no '%s' in\n%s", parts[i], t.bytes);
        bad_bytes(rows, t.bytes, t.len, "'#'"); /* a copy that is written back runs nothing */
        free(t.bytes);
        assert_int_equal(command_usage("backup", "Copies it.", needs, &t), 0);
        check_comments(t.bytes);
        assert_non_null(strstr(t.bytes, "echo 'to=PATH' > backup"));
        assert_non_null(strstr(t.bytes, "must be given"));
        free(t.bytes);
        assert_int_equal(command_usage("plain", "", NULL, &t), 0);
        free(t.bytes);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nothing_said),   cmocka_unit_test(one_of_words),  cmocka_unit_test(defaults),
                cmocka_unit_test(common_options), cmocka_unit_test(values),        cmocka_unit_test(names),
                cmocka_unit_test(wrong_words),    cmocka_unit_test(wrong_numbers), cmocka_unit_test(wrong_values),
                cmocka_unit_test(escapes),        cmocka_unit_test(wrong_bytes),   cmocka_unit_test(too_long),
                cmocka_unit_test(shown_words),    cmocka_unit_test(missing),       cmocka_unit_test(usage),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
