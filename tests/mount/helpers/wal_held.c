/*
 * Reads an open wal.jsonl, row by row, when some of its rows have left the table.
 *
 * usage: wal_held LINES GONE <FILE
 *
 * LINES has the bytes of the whole generation: those that were there when FILE was opened, and those of the rows that were appended
 * since. GONE has the lines of the rows that have left. A byte of these must give ESTALE, every other one must be what it is in LINES,
 * and a read that begins before a row that has left must end there.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LONG_READ 300000u

struct row {
        size_t begin, end;
        const char *text;
        long long seq_id;
        bool gone;
};

static struct {
        char *bytes;
        size_t size;
        struct row *rows;
        size_t count;
} file;

static void fail(const char *what, const struct row *row)
{
        (void) fprintf(stderr, "wal_held: %s: row %lld at %zu\n", what, row != NULL ? row->seq_id : 0,
                       row != NULL ? row->begin : 0);
        exit(EXIT_FAILURE);
}

static void fail_errno(const char *what)
{
        (void) fprintf(stderr, "wal_held: %s: %s\n", what, strerror(errno));
        exit(EXIT_FAILURE);
}

static void load_lines(const char *path)
{
        struct stat st;
        FILE *f = fopen(path, "re");
        if (f == NULL || fstat(fileno(f), &st) != 0)
                fail_errno(path);
        file.size = (size_t) st.st_size;
        file.bytes = malloc(file.size + 1);
        if (file.bytes == NULL || fread(file.bytes, 1, file.size, f) != file.size)
                fail_errno(path);
        file.bytes[file.size] = '\0';
        (void) fclose(f);
}

static void split(void)
{
        for (size_t at = 0; at < file.size;) {
                const char *newline = memchr(file.bytes + at, '\n', file.size - at);
                struct row row = { .begin = at, .text = file.bytes + at };
                if (newline == NULL || sscanf(file.bytes + at, "{\"seq_id\": %lld", &row.seq_id) != 1)
                        fail("no line", &row);
                row.end = (size_t) (newline - file.bytes) + 1;
                file.rows = reallocarray(file.rows, file.count + 1, sizeof(*file.rows));
                if (file.rows == NULL)
                        fail_errno("no memory");
                file.rows[file.count++] = row;
                at = row.end;
        }
}

/* Of two lines, each with its newline. */
static int by_text(const void *a, const void *b)
{
        const struct row *const *x = a, *const *y = b;
        size_t x_len = (*x)->end - (*x)->begin, y_len = (*y)->end - (*y)->begin;
        int order = memcmp((*x)->text, (*y)->text, x_len < y_len ? x_len : y_len);
        return order != 0 ? order : (x_len > y_len) - (x_len < y_len);
}

/* Every line in the list must be one of the file. */
static void mark_gone(const char *path)
{
        struct row **sorted = calloc(file.count + 1, sizeof(*sorted));
        FILE *f = fopen(path, "re");
        char *line = NULL;
        size_t room = 0;
        if (f == NULL || sorted == NULL)
                fail_errno(path);
        for (size_t i = 0; i < file.count; i++)
                sorted[i] = &file.rows[i];
        qsort(sorted, file.count, sizeof(struct row *), by_text);
        for (ssize_t len; (len = getline(&line, &room, f)) > 0;) {
                const struct row key = { .end = (size_t) len, .text = line }, *key_pointer = &key;
                struct row **found = bsearch(&key_pointer, sorted, file.count, sizeof(struct row *), by_text);
                if (found == NULL)
                        fail("the list has a line that the file has not", &key);
                (*found)->gone = true;
        }
        free(line);
        free(sorted);
        (void) fclose(f);
}

/* Up to `len` bytes from there: only those before the first row that has left may come, and at least one. */
static void read_at(const struct row *row, size_t offset, size_t len)
{
        static char buffer[LONG_READ];
        size_t limit = row->end;
        for (const struct row *next = row + 1; next < file.rows + file.count && !next->gone; next++)
                limit = next->end;
        ssize_t n = pread(STDIN_FILENO, buffer, len < LONG_READ ? len : LONG_READ, (off_t) offset);
        if (row->gone && n >= 0)
                fail("a row that has left can be read", row);
        if (row->gone && errno != ESTALE)
                fail_errno("a row that has left");
        if (row->gone)
                return;
        if (n < 0)
                fail_errno("a row that is there");
        if (n == 0)
                fail("nothing is read from a row that is there", row);
        if ((size_t) n > limit - offset)
                fail("bytes of a row that has left", row);
        if (memcmp(buffer, file.bytes + offset, (size_t) n) != 0)
                fail("other bytes", row);
}

/* The rows are visited backwards, so that no reading ahead helps. */
int main(int argc, char **argv)
{
        struct stat st;
        if (argc != 3)
                return 2;
        load_lines(argv[1]);
        split();
        mark_gone(argv[2]);
        for (size_t i = file.count; i-- > 0;) {
                const struct row *row = &file.rows[i];
                read_at(row, row->begin, row->end - row->begin);
                read_at(row, row->end - 1, 1);
                read_at(row, row->begin + (row->end - row->begin) / 2, LONG_READ);
                read_at(row, row->begin, LONG_READ);
        }
        if (fstat(STDIN_FILENO, &st) != 0)
                fail_errno("fstat");
        if ((size_t) st.st_size != file.size) {
                (void) fprintf(stderr, "wal_held: the size is %lld, expected %zu\n", (long long) st.st_size, file.size);
                return EXIT_FAILURE;
        }
        free(file.rows);
        free(file.bytes);
        return EXIT_SUCCESS;
}
