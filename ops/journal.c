/*
 * SQLite's rollback journal, read the way SQLite's hot roll-back reads it (https://www.sqlite.org/fileformat2.html, section 3).
 *
 * All integers are big-endian. A journal is a row of segments. Each begins at a multiple of the sector size:
 *
 *     0   8   magic d9 d5 05 f9 20 a1 63 d7
 *     8   4   records in this segment; 0xffffffff: as many as fit into the file (synchronous=off, no further segment)
 *     12  4   checksum seed, random
 *     16  4   pages of the database before the transaction
 *     20  4   sector size: the header takes up that much
 *     24  4   page size; 0 in journals of SQLite before 3.5.8
 *
 * and goes on with its records: page number, the page's bytes, checksum (seed + every 200th byte, counted from the end).
 *
 * What counts, since a roll-back through this index has to be the one that SQLite would make:
 * - Sector size, page size and page count are those of the first header; later ones only give the number of records and the seed.
 * - A file shorter than 512 bytes, a wrong magic or sizes that are no powers of two in range: nothing is rolled back at all. A header that is valid
 *   restores the database's size even with no record behind it.
 * - A record of page 0 or of the page that holds the lock bytes, a wrong checksum, or the end of the file ends everything, later segments included.
 *   The records before it count: the database was only written after they were synced.
 * - A record of a page beyond the first header's page count is passed over, its checksum unseen.
 * - Records = 0: the header was not synced yet, so no page of that segment was written to the database. The next header is looked for right behind it.
 * - SQLite writes a page once only. Where a file has it twice its roll-back ends with the later record, and so do we.
 *
 * Nothing is believed: each step moves forward by at least 32 bytes, so that the time is bounded by the file's size, and holes of a sparse file
 * (zeroes: no magic, page 0) end it at once.
 */
#include "ops/journal.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "ops/file.h"

#define HEADER_BYTES 28
#define SIZE_MIN 512u /* SQLite's own sector size while it looks for the first header */
#define PAGE_MIN 512u
#define PAGE_MAX 65536u
#define SECTOR_MIN 32u
#define SECTOR_MAX 65536u
#define LOCK_BYTE 0x40000000u
#define SUPER_NAME_MAX 4096u
#define CANCEL_EVERY 256u /* records or headers between two looks at the cancel function: about a megabyte */

static const unsigned char journal_magic[8] = { 0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7 };

/* 12 bytes: the journal's offset in two halves, so that no padding comes in. */
struct record {
        uint32_t page;
        uint32_t high, low;
};

struct journal {
        unsigned char header[HEADER_BYTES];
        bool valid;
        uint32_t page_size, sector_size, page_count;
        struct record *records; /* sorted by page, each page once */
        size_t count, capacity;
};

/* One pass over a journal. */
struct scan {
        struct journal *journal;
        int fd;
        uint64_t size, offset;
        uint32_t seed, fallback_page_size;
        unsigned char *buffer; /* one record of the largest page */
        journal_cancel_fn *cancelled;
        void *context;
        unsigned steps;
        struct error *e;
};

static uint32_t get32(const unsigned char *bytes)
{
        uint32_t value;
        memcpy(&value, bytes, sizeof(value));
        return be32toh(value);
}

static uint64_t record_offset(const struct record *r)
{
        return (uint64_t) r->high << 32 | r->low;
}

static bool power_of_two_within(uint32_t value, uint32_t min, uint32_t max)
{
        return value >= min && value <= max && (value & (value - 1)) == 0;
}

static int scan_cancelled(struct scan *s)
{
        if (s->cancelled == NULL || ++s->steps % CANCEL_EVERY != 0 || !s->cancelled(s->context))
                return 0;
        return error_set(s->e, EINTR, "cancelled while reading the hot journal");
}

/* The end of the file may hold: lock page, name, its length, the sum of its bytes as signed numbers, the magic. A sum that doesn't match means
   that the name never reached the disk, and to SQLite that there is none. 1 there is a name, 0 none. */
static int has_super_journal(struct scan *s)
{
        unsigned char tail[16];
        char name[SUPER_NAME_MAX];
        if (s->size < sizeof(tail))
                return 0;
        int rc = file_pread_exact(s->fd, tail, sizeof(tail), s->size - sizeof(tail), "the hot journal", s->e);
        if (rc < 0)
                return rc;
        uint32_t len = get32(tail), sum = get32(tail + 4);
        if (memcmp(tail + 8, journal_magic, sizeof(journal_magic)) != 0 || len == 0 || len > sizeof(name) ||
            len > s->size - sizeof(tail))
                return 0;
        rc = file_pread_exact(s->fd, name, len, s->size - sizeof(tail) - len, "the hot journal", s->e);
        if (rc < 0)
                return rc;
        for (uint32_t i = 0; i < len; i++) {
                int byte = (signed char) name[i];
                sum -= (uint32_t) byte;
        }
        return sum == 0 && name[0] != '\0';
}

/* Takes the sizes of the first header. 1, 0 when they make no journal, -EILSEQ. */
static int first_header(struct scan *s, const unsigned char *header)
{
        struct journal *j = s->journal;
        uint32_t sector = get32(header + 20), page = get32(header + 24);
        if (page == 0 && s->fallback_page_size == 0)
                return error_set(s->e, EILSEQ, "the hot journal doesn't tell its page size, and neither does the database");
        if (page == 0)
                page = s->fallback_page_size;
        if (!power_of_two_within(page, PAGE_MIN, PAGE_MAX) || !power_of_two_within(sector, SECTOR_MIN, SECTOR_MAX))
                return 0;
        j->valid = true;
        j->page_size = page;
        j->sector_size = sector;
        j->page_count = get32(header + 16);
        return 1;
}

/* Moves to the next header and behind it. 1 with the number of records, 0 when there is none, negative errno. */
static int next_header(struct scan *s, uint32_t *ret_records)
{
        struct journal *j = s->journal;
        unsigned char header[HEADER_BYTES];
        uint32_t sector = j->valid ? j->sector_size : SIZE_MIN;
        uint64_t at = (s->offset + sector - 1) / sector * sector;
        if (at > s->size || s->size - at < sector)
                return 0;
        int rc = file_pread_exact(s->fd, header, sizeof(header), at, "the hot journal", s->e);
        if (rc < 0)
                return rc;
        if (memcmp(header, journal_magic, sizeof(journal_magic)) != 0)
                return 0;
        if (at == 0) {
                memcpy(j->header, header, sizeof(header));
                rc = first_header(s, header);
                if (rc <= 0)
                        return rc;
        }
        s->seed = get32(header + 12);
        s->offset = at + j->sector_size;
        *ret_records = get32(header + 8);
        return 1;
}

static uint32_t page_checksum(uint32_t seed, const unsigned char *page, uint32_t page_size)
{
        for (uint32_t i = page_size - 200; i > 0 && i < page_size; i -= 200)
                seed += page[i];
        return seed;
}

static int record_add(struct scan *s, uint32_t page, uint64_t offset)
{
        struct journal *j = s->journal;
        if (j->count == j->capacity) {
                size_t capacity = j->capacity == 0 ? 64 : j->capacity * 2;
                struct record *grown = reallocarray(j->records, capacity, sizeof(*grown));
                if (grown == NULL)
                        return error_set(s->e, ENOMEM, "no memory for the index of a hot journal of %llu bytes",
                                         (unsigned long long) s->size);
                j->records = grown;
                j->capacity = capacity;
        }
        j->records[j->count++] = (struct record){ page, (uint32_t) (offset >> 32), (uint32_t) offset };
        return 1;
}

/* One record. 1 go on, 0 nothing behind this point counts, negative errno. */
static int next_record(struct scan *s)
{
        struct journal *j = s->journal;
        size_t whole = (size_t) j->page_size + 8;
        uint64_t at = s->offset;
        ssize_t n = file_pread(s->fd, s->buffer, whole, at);
        if (n < 0)
                return error_set(s->e, (int) -n, "the hot journal can't be read: %s", strerror((int) -n));
        if ((size_t) n < whole - 4)
                return 0;
        uint32_t page = get32(s->buffer);
        if (page == 0 || page == LOCK_BYTE / j->page_size + 1)
                return 0;
        s->offset += whole;
        if (page > j->page_count)
                return 1;
        const unsigned char *data = s->buffer + 4;
        if ((size_t) n < whole || page_checksum(s->seed, data, j->page_size) != get32(data + j->page_size))
                return 0;
        return record_add(s, page, at);
}

static int scan_segments(struct scan *s)
{
        uint32_t records = 0;
        int rc;
        while ((rc = next_header(s, &records)) > 0) {
                const struct journal *j = s->journal;
                if (records == UINT32_MAX && s->size >= j->sector_size)
                        records = (uint32_t) ((s->size - j->sector_size) / ((uint64_t) j->page_size + 8));
                rc = scan_cancelled(s);
                for (uint32_t i = 0; rc == 0 && i < records; i++) {
                        rc = next_record(s);
                        if (rc <= 0)
                                return rc;
                        rc = scan_cancelled(s);
                }
                if (rc < 0)
                        return rc;
        }
        return rc;
}

static int record_compare(const void *a, const void *b)
{
        const struct record *x = a, *y = b;
        uint64_t x_offset = record_offset(x), y_offset = record_offset(y);
        if (x->page != y->page)
                return x->page < y->page ? -1 : 1;
        return x_offset < y_offset ? -1 : x_offset > y_offset;
}

/* Sorts, and keeps the last record of each page. */
static void records_sort(struct journal *j)
{
        size_t kept = 0;
        if (j->count == 0)
                return;
        qsort(j->records, j->count, sizeof(*j->records), record_compare);
        for (size_t i = 0; i < j->count; i++)
                if (i + 1 == j->count || j->records[i].page != j->records[i + 1].page)
                        j->records[kept++] = j->records[i];
        j->count = kept;
        struct record *shrunk = reallocarray(j->records, kept, sizeof(*shrunk));
        if (shrunk != NULL)
                j->records = shrunk;
}

static int scan_all(struct scan *s)
{
        struct stat st;
        if (fstat(s->fd, &st) < 0)
                return error_set(s->e, errno, "the hot journal can't be examined: %s", strerror(errno));
        s->size = (uint64_t) st.st_size;
        int rc = has_super_journal(s);
        if (rc < 0)
                return rc;
        if (rc > 0)
                return error_set(
                        s->e, EILSEQ,
                        "the hot journal is part of a transaction over several databases, so that only SQLite itself can tell "
                        "whether it counts: open chroma.sqlite3 once with the sqlite3 program");
        rc = scan_segments(s);
        if (rc == 0)
                records_sort(s->journal);
        return rc;
}

int journal_index(int fd, uint32_t page_size, journal_cancel_fn *cancelled, void *context, struct journal **ret, struct error *e)
{
        CLEANUP(journal_free)
        struct journal *j = calloc(1, sizeof(*j));
        CLEANUP(free)
        unsigned char *buffer = malloc(PAGE_MAX + 8);
        if (j == NULL || buffer == NULL)
                return error_set(e, ENOMEM, "no memory for the index of a hot journal");
        struct scan s = {
                .journal = j,
                .fd = fd,
                .fallback_page_size = page_size,
                .buffer = buffer,
                .cancelled = cancelled,
                .context = context,
                .e = e,
        };
        int rc = scan_all(&s);
        if (rc < 0)
                return rc;
        *ret = TAKE(j);
        return 0;
}

bool journal_valid(const struct journal *journal)
{
        return journal->valid;
}

uint32_t journal_page_size(const struct journal *journal)
{
        return journal->page_size;
}

uint32_t journal_page_count(const struct journal *journal)
{
        return journal->page_count;
}

size_t journal_record_count(const struct journal *journal)
{
        return journal->count;
}

bool journal_same_header(const struct journal *journal, int fd)
{
        unsigned char header[HEADER_BYTES];
        ssize_t n = file_pread(fd, header, sizeof(header), 0);
        return n == (ssize_t) sizeof(header) && memcmp(header, journal->header, sizeof(header)) == 0;
}

static int record_find(const void *key, const void *element)
{
        uint32_t page = *(const uint32_t *) key;
        const struct record *r = element;
        return page < r->page ? -1 : page > r->page;
}

int journal_read(const struct journal *journal, int fd, uint32_t page, void *buffer, size_t offset, size_t len, struct error *e)
{
        unsigned char number[4];
        if (journal->count == 0)
                return 0;
        const struct record *r = bsearch(&page, journal->records, journal->count, sizeof(*r), record_find);
        if (r == NULL)
                return 0;
        if (offset > journal->page_size || len > journal->page_size - offset)
                return error_set(e, EIO, "a read beyond a page of the hot journal");
        uint64_t at = record_offset(r);
        int rc = file_pread_exact(fd, number, sizeof(number), at, "the hot journal", e);
        if (rc < 0)
                return rc;
        if (get32(number) != page)
                return error_set(e, EIO, "the hot journal changed while it was read");
        rc = file_pread_exact(fd, buffer, len, at + sizeof(number) + offset, "the hot journal", e);
        return rc < 0 ? rc : 1;
}

struct journal *journal_free(struct journal *journal)
{
        if (journal != NULL) {
                free(journal->records);
                free(journal);
        }
        return NULL;
}
