/*
 * The 100-byte header of a SQLite database file, and what is wrong with a file that chromafs won't read, in words for a person.
 */
#ifndef OPS_DB_HEADER_H
#define OPS_DB_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "ops/error.h"

#define DB_HEADER_SIZE 100

/* `header` is the first `len` bytes (100, or fewer when the file ends before), `file_size` the file's size at the same moment, under the SHARED
   lock. 0, or -EILSEQ: empty, no SQLite database, cut off, in WAL mode. */
int db_header_check(const unsigned char *header, size_t len, uint64_t file_size, struct error *e);

#endif
