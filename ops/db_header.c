/*
 * https://www.sqlite.org/fileformat2.html section 1.3, big-endian:
 *
 *     0   16  "SQLite format 3", NUL
 *     16  2   page size: a power of two from 512 to 32768, or 1 for 65536
 *     18  1   version for writing, 19 1 for reading: 1 roll-back journal, 2 WAL
 *     24  4   change counter
 *     28  4   size in pages, true only if it isn't 0 and
 *     92  4   equals the change counter (SQLite before 3.7.0 left 28 and 92 alone)
 *
 * The size is compared under the SHARED lock only: a writer that grows the file holds EXCLUSIVE, so that there the header and the length belong
 * together, and a database that is shorter than its header says was cut off. (A file that is longer is in order.)
 */
#include "ops/db_header.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

static uint32_t get32(const unsigned char *bytes)
{
        uint32_t value;
        memcpy(&value, bytes, sizeof(value));
        return be32toh(value);
}

static uint32_t page_size_of(const unsigned char *header)
{
        uint32_t size = (uint32_t) header[16] << 8 | header[17];
        if (size == 1)
                return 65536;
        return size >= 512 && (size & (size - 1)) == 0 ? size : 0;
}

int db_header_check(const unsigned char *header, size_t len, uint64_t file_size, struct error *e)
{
        static const char magic[16] = "SQLite format 3";
        if (file_size == 0)
                return error_set(e, EILSEQ, "chroma.sqlite3 is empty");
        if (memcmp(header, magic, len < sizeof(magic) ? len : sizeof(magic)) != 0)
                return error_set(e, EILSEQ, "chroma.sqlite3 is no SQLite database");
        if (len < DB_HEADER_SIZE)
                return error_set(e, EILSEQ, "chroma.sqlite3 is cut off within its header, after %llu bytes",
                                 (unsigned long long) file_size);
        uint32_t page_size = page_size_of(header), pages = get32(header + 28);
        if (page_size == 0)
                return error_set(e, EILSEQ, "chroma.sqlite3 is damaged: its header has no valid page size");
        if (header[18] == 2 || header[19] == 2)
                return error_set(e, EILSEQ,
                                 "chroma.sqlite3 is in WAL mode, which no Chroma sets; close every program that uses it and run: "
                                 "sqlite3 …/chroma.sqlite3 'PRAGMA journal_mode=delete'");
        bool pages_known = pages != 0 && get32(header + 24) == get32(header + 92);
        if (pages_known && file_size < (uint64_t) pages * page_size)
                return error_set(e, EILSEQ, "chroma.sqlite3 is cut off: it has %llu bytes, and its header says %llu",
                                 (unsigned long long) file_size, (unsigned long long) pages * page_size);
        return 0;
}
