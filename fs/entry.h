/*
 * Names of collections, tenants and databases as names of directory entries.
 *
 * - A collection of the default database of the default tenant has its name as its entry, any other one name@tenant.database.
 * - Percent-encoded are: '/', NUL, control characters, 0x7f, bytes that are no UTF-8, a leading dot, '%', '@', and inside tenant and
 *   database also '.'; so no two collections can have the same entry, whatever their names are.
 * - What is then longer than 255 bytes, or empty, becomes %id-<id>, which no encoding produces.
 */
#ifndef FS_ENTRY_H
#define FS_ENTRY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "ops/catalog.h"
#include "ops/text.h"

#define ENTRY_SIZE (NAME_MAX + 1)

enum entry_part { ENTRY_NAME, ENTRY_SCOPE }; /* ENTRY_SCOPE: a tenant's or a database's name */

/* Encodes into buffer (of `size` bytes, NUL-terminated). False when it does not fit, or when the text is empty. */
bool entry_encode(const struct text *name, enum entry_part part, char *buffer, size_t size);

/* Decodes percent-encoding in place; false when a '%' is not followed by two hexadecimal digits. */
bool entry_decode(char *name, size_t *ret_len);

/* A name for anything that has no id to fall back to: the encoding, or %sum-<32 hexadecimal digits> of its bytes. */
void entry_of_text(const struct text *name, enum entry_part part, char buffer[ENTRY_SIZE]);

/* The fallback %id-<id>. */
void entry_of_id(const struct text *id, char buffer[ENTRY_SIZE]);

/* The entry below collections/. */
void entry_of_collection(const struct collection *collection, char buffer[ENTRY_SIZE]);

#endif
