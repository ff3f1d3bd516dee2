/*
 * The journal index against journals made by hand, byte by byte; where SQLite's roll-back is the judge, the same bytes are given to it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "db_fixture.h"
#include "ops/journal.h"

#define PAGE 512u
#define SECTOR 512u

/* A journal in a memory file. */
struct maker {
        int fd;
        off_t size;
        uint32_t seed;
};

static void maker_init(struct maker *m)
{
        *m = (struct maker){ .fd = memfd_create("journal", MFD_CLOEXEC) };
        assert_true(m->fd >= 0);
}

static void put32(unsigned char *to, uint32_t value)
{
        for (int i = 0; i < 4; i++)
                to[i] = (unsigned char) (value >> (24 - 8 * i));
}

static void append(struct maker *m, const void *bytes, size_t len)
{
        assert_int_equal(pwrite(m->fd, bytes, len, m->size), (ssize_t) len);
        m->size += (off_t) len;
}

static void add_header_of(struct maker *m, uint32_t records, uint32_t pages, uint32_t sector, uint32_t page_size)
{
        unsigned char header[SECTOR] = "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7";
        m->seed += 0x01234567;
        m->size = (m->size + SECTOR - 1) / SECTOR * SECTOR;
        put32(header + 8, records);
        put32(header + 12, m->seed);
        put32(header + 16, pages);
        put32(header + 20, sector);
        put32(header + 24, page_size);
        append(m, header, sizeof(header));
}

static void add_header(struct maker *m, uint32_t records, uint32_t pages)
{
        add_header_of(m, records, pages, SECTOR, PAGE);
}

/* A page filled with `fill`; `wrong` is added to its checksum. */
static void add_record(struct maker *m, uint32_t page, int fill, uint32_t wrong)
{
        unsigned char record[PAGE + 8];
        put32(record, page);
        memset(record + 4, fill, PAGE);
        put32(record + 4 + PAGE, m->seed + 2u * (unsigned char) fill + wrong); /* bytes 312 and 112 */
        append(m, record, sizeof(record));
}

static struct journal *index_of(const struct maker *m)
{
        struct journal *j = NULL;
        struct error e = { 0 };
        if (journal_index(m->fd, 0, NULL, NULL, &j, &e) < 0)
                fail_msg("%s", e.text);
        return j;
}

/* The byte that fills the before-image of `page`, -1 when it has none. */
static int image(const struct journal *j, const struct maker *m, uint32_t page)
{
        unsigned char bytes[PAGE];
        int rc = journal_read(j, m->fd, page, bytes, 0, PAGE, NULL);
        assert_true(rc >= 0);
        for (size_t i = 1; rc > 0 && i < PAGE; i++)
                assert_int_equal(bytes[i], bytes[0]);
        return rc == 0 ? -1 : bytes[0];
}

static void done(struct maker *m, struct journal *j)
{
        assert_null(journal_free(j));
        (void) close(m->fd);
}

static void test_one_segment(void **state)
{
        (void) state;
        struct maker m;
        maker_init(&m);
        add_header(&m, 2, 10);
        add_record(&m, 3, 'c', 0);
        add_record(&m, 1, 'a', 0);
        add_record(&m, 2, 'b', 0); /* beyond the count: not synced */
        struct journal *j = index_of(&m);
        assert_true(journal_valid(j));
        assert_int_equal(journal_page_size(j), PAGE);
        assert_int_equal(journal_page_count(j), 10);
        assert_int_equal(journal_record_count(j), 2);
        assert_int_equal(image(j, &m, 1), 'a');
        assert_int_equal(image(j, &m, 2), -1);
        assert_int_equal(image(j, &m, 3), 'c');
        assert_true(journal_same_header(j, m.fd));
        assert_int_equal(pwrite(m.fd, "x", 1, 13), 1);
        assert_false(journal_same_header(j, m.fd));
        done(&m, j);
}

static void test_segments(void **state)
{
        (void) state;
        struct maker m;
        maker_init(&m);
        add_header(&m, 1, 10);
        add_record(&m, 3, 'c', 0);
        add_header(&m, 0, 99); /* empty segment; its page count is not looked at */
        add_header(&m, 2, 99);
        add_record(&m, 4, 'd', 0);
        add_record(&m, 11, 'x', 5); /* beyond the first header's page count: passed over, whatever its checksum */
        add_header(&m, 1, 10);
        add_record(&m, 5, 'e', 0);
        struct journal *j = index_of(&m);
        assert_int_equal(journal_page_count(j), 10);
        assert_int_equal(journal_record_count(j), 3);
        assert_int_equal(image(j, &m, 3), 'c');
        assert_int_equal(image(j, &m, 4), 'd');
        assert_int_equal(image(j, &m, 5), 'e');
        assert_int_equal(image(j, &m, 11), -1);
        done(&m, j);
}

static void test_no_sync(void **state)
{
        (void) state;
        struct maker m;
        maker_init(&m);
        add_header(&m, UINT32_MAX, 10);
        for (uint32_t page = 1; page <= 9; page++)
                add_record(&m, page, (int) page, 0);
        append(&m, "cut", 3);
        struct journal *j = index_of(&m);
        assert_int_equal(journal_record_count(j), 9);
        for (uint32_t page = 1; page <= 9; page++)
                assert_int_equal(image(j, &m, page), (int) page);
        done(&m, j);
}

/* What ends everything: `what` is 0 a wrong checksum, 1 page 0, 2 the lock page, 3 the end of the file in a record. */
static void test_ends(void **state)
{
        (void) state;
        for (int what = 0; what < 4; what++) {
                struct maker m;
                maker_init(&m);
                add_header(&m, 3, UINT32_MAX);
                add_record(&m, 1, 'a', 0);
                add_record(&m, what == 1 ? 0 : what == 2 ? 0x40000000 / PAGE + 1 : 2, 'b', what == 0);
                if (what == 3)
                        assert_int_equal(ftruncate(m.fd, m.size - 1), 0);
                else
                        add_record(&m, 3, 'c', 0);
                if (what < 3) {
                        add_header(&m, 1, 10);
                        add_record(&m, 4, 'd', 0);
                }
                struct journal *j = index_of(&m);
                assert_int_equal(journal_record_count(j), 1);
                assert_int_equal(image(j, &m, 1), 'a');
                done(&m, j);
        }
}

static void test_invalid_headers(void **state)
{
        (void) state;
        static const struct {
                uint32_t sector, page_size;
        } bad[] = { { 512, 256 }, { 512, 131072 }, { 512, 1000 }, { 16, 512 }, { 131072, 512 }, { 100, 512 }, { 0, 512 } };
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                struct maker m;
                maker_init(&m);
                add_header_of(&m, 1, 10, bad[i].sector, bad[i].page_size);
                add_record(&m, 1, 'a', 0);
                struct journal *j = index_of(&m);
                assert_false(journal_valid(j));
                assert_int_equal(journal_record_count(j), 0);
                assert_int_equal(image(j, &m, 1), -1);
                done(&m, j);
        }
        struct maker m; /* too short, magic wrong */
        maker_init(&m);
        struct journal *j = index_of(&m);
        assert_false(journal_valid(j));
        j = journal_free(j);
        add_header(&m, 0, 10);
        assert_int_equal(ftruncate(m.fd, SECTOR - 1), 0);
        j = index_of(&m);
        assert_false(journal_valid(j));
        j = journal_free(j);
        assert_int_equal(ftruncate(m.fd, SECTOR), 0);
        j = index_of(&m);
        assert_true(journal_valid(j)); /* no record, and still it gives the size back */
        j = journal_free(j);
        assert_int_equal(pwrite(m.fd, "x", 1, 7), 1);
        j = index_of(&m);
        assert_false(journal_valid(j));
        done(&m, j);
}

static void test_page_size_unknown(void **state)
{
        (void) state;
        struct maker m;
        struct error e = { 0 };
        struct journal *j = NULL;
        maker_init(&m);
        add_header_of(&m, 1, 10, SECTOR, 0);
        add_record(&m, 1, 'a', 0);
        assert_int_equal(journal_index(m.fd, 0, NULL, NULL, &j, &e), -EILSEQ);
        assert_null(j);
        assert_int_equal(journal_index(m.fd, PAGE, NULL, NULL, &j, &e), 0);
        assert_int_equal(image(j, &m, 1), 'a');
        done(&m, j);
}

static void add_super(struct maker *m, const char *name, uint32_t wrong)
{
        unsigned char tail[16];
        uint32_t len = (uint32_t) strlen(name), sum = wrong;
        for (uint32_t i = 0; i < len; i++) {
                int byte = (signed char) name[i];
                sum += (uint32_t) byte;
        }
        put32(tail, len);
        put32(tail + 4, sum);
        memcpy(tail + 8, "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", 8);
        append(m, "\0\x20\0\1", 4);
        append(m, name, len);
        append(m, tail, sizeof(tail));
}

static void test_super_journal(void **state)
{
        (void) state;
        for (uint32_t wrong = 0; wrong < 2; wrong++) {
                struct maker m;
                struct journal *j = NULL;
                struct error e = { 0 };
                maker_init(&m);
                add_header(&m, 1, 10);
                add_record(&m, 1, 'a', 0);
                add_super(&m, "/tmp/\xc3\xa4-mj", wrong);
                assert_int_equal(journal_index(m.fd, 0, NULL, NULL, &j, &e), wrong ? 0 : -EILSEQ);
                if (!wrong)
                        assert_non_null(strstr(e.text, "several databases"));
                assert_true((j != NULL) == (wrong != 0));
                done(&m, j);
        }
}

static void test_changed_under_us(void **state)
{
        (void) state;
        struct maker m;
        unsigned char bytes[PAGE];
        struct error e = { 0 };
        maker_init(&m);
        add_header(&m, 2, 10);
        add_record(&m, 1, 'a', 0);
        add_record(&m, 2, 'b', 0);
        struct journal *j = index_of(&m);
        assert_int_equal(journal_read(j, m.fd, 2, bytes, 500, 12, &e), 1);
        assert_int_equal(journal_read(j, m.fd, 2, bytes, 500, 13, &e), -EIO);
        assert_int_equal(journal_read(j, m.fd, 2, bytes, SIZE_MAX, 1, &e), -EIO);
        assert_int_equal(pwrite(m.fd, "\0\0\0\7", 4, SECTOR), 4);
        assert_int_equal(journal_read(j, m.fd, 1, bytes, 0, PAGE, &e), -EIO);
        assert_int_equal(ftruncate(m.fd, m.size - 100), 0);
        assert_int_equal(journal_read(j, m.fd, 2, bytes, 0, PAGE, &e), -EIO);
        done(&m, j);
}

static bool always(void *context)
{
        ++*(int *) context;
        return true;
}

static void test_cancel(void **state)
{
        (void) state;
        struct maker m;
        struct journal *j = NULL;
        int asked = 0;
        maker_init(&m);
        add_header(&m, UINT32_MAX, 100000);
        for (uint32_t page = 1; page <= 1000; page++)
                add_record(&m, page, 'a', 0);
        assert_int_equal(journal_index(m.fd, 0, always, &asked, &j, NULL), -EINTR);
        assert_int_equal(asked, 1);
        assert_int_equal(journal_index(m.fd, 0, NULL, NULL, &j, NULL), 0);
        assert_int_equal(journal_record_count(j), 1000);
        done(&m, j);
}

/* A sparse journal of a tebibyte, and one of nothing but headers, end soon. */
static void test_huge(void **state)
{
        (void) state;
        struct maker m;
        maker_init(&m);
        add_header(&m, UINT32_MAX, UINT32_MAX);
        add_record(&m, 1, 'a', 0);
        assert_int_equal(ftruncate(m.fd, (off_t) 1 << 40), 0);
        struct journal *j = index_of(&m);
        assert_int_equal(journal_record_count(j), 1);
        done(&m, j);
        maker_init(&m);
        for (int i = 0; i < 5000; i++)
                add_header(&m, 0, 10);
        j = index_of(&m);
        assert_true(journal_valid(j));
        assert_int_equal(journal_record_count(j), 0);
        done(&m, j);
}

/* The same page twice, which SQLite never writes: its roll-back decides which counts. */
static void test_twice_like_sqlite(void **state)
{
        (void) state;
        struct fixture f;
        struct maker m;
        unsigned char bytes[PAGE];
        fixture_make(&f);
        sqlite3 *db = fixture_open(&f);
        run_sql(db, "PRAGMA page_size=512; CREATE TABLE a(x); INSERT INTO a VALUES(randomblob(4000))");
        uint32_t pages = (uint32_t) number_of(db, "PRAGMA page_count");
        (void) sqlite3_close(db);
        maker_init(&m);
        add_header(&m, 3, pages);
        add_record(&m, pages, 'a', 0);
        add_record(&m, pages, 'b', 0);
        add_record(&m, pages, 'c', 0);
        struct journal *j = index_of(&m);
        assert_int_equal(journal_record_count(j), 1);
        char copied[8192];
        int fd = open(f.journal, O_WRONLY | O_CREAT | O_EXCL, 0644);
        ssize_t n = pread(m.fd, copied, sizeof(copied), 0);
        assert_int_equal(write(fd, copied, (size_t) n), n);
        (void) close(fd);
        db = fixture_open(&f);
        assert_int_equal(number_of(db, "SELECT count(*) FROM sqlite_schema"), 1);
        (void) sqlite3_close(db);
        fd = open(f.db, O_RDONLY);
        assert_int_equal(pread(fd, bytes, PAGE, (off_t) (pages - 1) * PAGE), PAGE);
        (void) close(fd);
        assert_int_equal(image(j, &m, pages), bytes[0]);
        done(&m, j);
        fixture_remove(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_segment),
                cmocka_unit_test(test_segments),
                cmocka_unit_test(test_no_sync),
                cmocka_unit_test(test_ends),
                cmocka_unit_test(test_invalid_headers),
                cmocka_unit_test(test_page_size_unknown),
                cmocka_unit_test(test_super_journal),
                cmocka_unit_test(test_changed_under_us),
                cmocka_unit_test(test_cancel),
                cmocka_unit_test(test_huge),
                cmocka_unit_test(test_twice_like_sqlite),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
