/* Which writes through an open control are commands, and which are a second try, or the rest of a line. */
#include "fs/written.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define RUN 1 /* no errno: it is a command */

/* What a write of the text gets; a command gets `result`. */
static int put(struct written *w, const char *string, off_t offset, int64_t now_ms, int result)
{
        struct text text;
        int code = 0;
        struct error e = { 0 };
        assert_int_equal(text_copy(&text, string, strlen(string)), 0);
        enum written_verdict verdict = written_judge(w, &text, offset, now_ms, &code, &e);
        if (verdict != WRITTEN_AGAIN)
                written_note(w, verdict == WRITTEN_COMMAND ? result : code, &text, offset, now_ms);
        free(text.bytes);
        return verdict == WRITTEN_COMMAND ? RUN : code;
}

static void lines_are_commands(void **state)
{
        (void) state;
        struct written w = { 0 };
        assert_int_equal(put(&w, "1\n", 0, 0, 0), RUN);
        assert_int_equal(put(&w, "1\n", 2, 0, 0), RUN);
        assert_int_equal(put(&w, "\n", 4, 0, -EBUSY), RUN);
        assert_int_equal(put(&w, "1\n", 4, 0, 0), RUN);
        written_clear(&w);
}

static void a_second_try_fails_again(void **state)
{
        (void) state;
        struct written w = { 0 };
        assert_int_equal(put(&w, "1\n", 0, 0, -EBUSY), RUN);
        assert_int_equal(put(&w, "1\n", 0, 900, 0), -EBUSY);
        assert_int_equal(put(&w, "1\n", 0, 1001, 0), RUN);
        assert_int_equal(put(&w, "1\n", 0, 1001, 0), RUN);
        written_clear(&w);
}

/* `dry_run=1` and a newline, as unbuffered programs write them: the newline would be a command, too. */
static void a_newline_ends_its_line(void **state)
{
        (void) state;
        struct written w = { 0 };
        assert_int_equal(put(&w, "dry_run=1", 0, 0, 0), RUN);
        assert_int_equal(put(&w, "\n", 9, 100000, 0), 0);
        assert_int_equal(put(&w, "\n", 10, 100000, 0), RUN);
        assert_int_equal(put(&w, "dry_run=2", 11, 100000, -EINVAL), RUN);
        assert_int_equal(put(&w, "\n", 11, 200000, 0), -EINVAL);
        assert_int_equal(put(&w, "1\n", 11, 200000, 0), RUN);
        written_clear(&w);
}

static void the_rest_of_a_line_is_refused(void **state)
{
        (void) state;
        struct written w = { 0 };
        assert_int_equal(put(&w, "dry_run=1", 0, 0, 0), RUN);
        assert_int_equal(put(&w, " ", 9, 10, 0), -EINVAL);
        assert_int_equal(put(&w, "vacuum=0", 9, 20, 0), -EINVAL);
        assert_int_equal(put(&w, "\n", 9, 30, 0), -EINVAL);
        assert_int_equal(put(&w, "1", 9, 40, -EBUSY), RUN);
        assert_int_equal(put(&w, "vacuum=0\n", 9, 50, 0), -EBUSY);
        assert_int_equal(put(&w, "1", 9, 60, 0), RUN);
        assert_int_equal(put(&w, "1", 10, 2000, 0), RUN);
        written_clear(&w);
}

static void a_line_that_was_cut_is_refused(void **state)
{
        (void) state;
        struct written w = { 0 };
        char line[WRITTEN_BLOCK + 1];
        memset(line, 'a', WRITTEN_BLOCK);
        line[WRITTEN_BLOCK] = '\0';
        assert_int_equal(put(&w, line, 0, 0, 0), -EINVAL);
        assert_int_equal(put(&w, " vacuum=0\n", 0, 0, 0), -EINVAL);
        line[WRITTEN_BLOCK - 1] = '\n';
        assert_int_equal(put(&w, line, 0, 0, 0), RUN);
        written_clear(&w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lines_are_commands),
                cmocka_unit_test(a_second_try_fails_again),
                cmocka_unit_test(a_newline_ends_its_line),
                cmocka_unit_test(the_rest_of_a_line_is_refused),
                cmocka_unit_test(a_line_that_was_cut_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
