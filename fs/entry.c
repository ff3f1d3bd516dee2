#include "fs/entry.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

static bool needs_encoding(const unsigned char *bytes, size_t i, enum entry_part part)
{
        unsigned char c = bytes[i];
        if (c < 0x20 || c == 0x7f || c == '/' || c == '%' || c == '@')
                return true;
        return c == '.' && (i == 0 || part == ENTRY_SCOPE);
}

bool entry_encode(const struct text *name, enum entry_part part, char *buffer, size_t size)
{
        const unsigned char *bytes = (const unsigned char *) name->bytes;
        size_t used = 0;
        for (size_t i = 0; i < name->len;) {
                size_t sequence = utf8_sequence(bytes + i, name->len - i);
                bool encode = sequence == 0 || needs_encoding(bytes, i, part);
                size_t step = sequence == 0 ? 1 : sequence;
                if (used + (encode ? 3 : step) >= size)
                        return false;
                if (encode)
                        (void) snprintf(buffer + used, 4, "%%%02X", bytes[i]);
                else
                        memcpy(buffer + used, bytes + i, step);
                used += encode ? 3 : step;
                i += step;
        }
        buffer[used] = '\0';
        return used > 0;
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool entry_decode(char *name, size_t *ret_len)
{
        size_t len = strlen(name), out = 0;
        for (size_t i = 0; i < len; i++, out++) {
                if (name[i] != '%') {
                        name[out] = name[i];
                        continue;
                }
                int high = hex_digit(name[i + 1]), low = high < 0 ? -1 : hex_digit(name[i + 2]);
                if (low < 0)
                        return false;
                name[out] = (char) (high << 4 | low);
                i += 2;
        }
        name[out] = '\0';
        *ret_len = out;
        return true;
}

void entry_of_text(const struct text *name, enum entry_part part, char buffer[ENTRY_SIZE])
{
        if (entry_encode(name, part, buffer, ENTRY_SIZE))
                return;
        XXH128_hash_t sum = XXH3_128bits(name->bytes, name->len);
        (void) snprintf(buffer, ENTRY_SIZE, "%%sum-%016llx%016llx", (unsigned long long) sum.high64,
                        (unsigned long long) sum.low64);
}

void entry_of_id(const struct text *id, char buffer[ENTRY_SIZE])
{
        char encoded[ENTRY_SIZE - 4];
        if (!entry_encode(id, ENTRY_NAME, encoded, sizeof(encoded))) {
                XXH128_hash_t sum = XXH3_128bits(id->bytes, id->len);
                (void) snprintf(encoded, sizeof(encoded), "%%sum-%016llx%016llx", (unsigned long long) sum.high64,
                                (unsigned long long) sum.low64);
        }
        (void) snprintf(buffer, ENTRY_SIZE, "%%id-%s", encoded);
}

static bool in_default_database(const struct collection *c)
{
        return text_is(&c->tenant, CATALOG_DEFAULT_TENANT) && text_is(&c->database, CATALOG_DEFAULT_DATABASE);
}

void entry_of_collection(const struct collection *c, char buffer[ENTRY_SIZE])
{
        char name[ENTRY_SIZE], tenant[ENTRY_SIZE], database[ENTRY_SIZE];
        bool fits = entry_encode(&c->name, ENTRY_NAME, name, sizeof(name));
        if (fits && in_default_database(c)) {
                memcpy(buffer, name, strlen(name) + 1);
                return;
        }
        fits = fits && entry_encode(&c->tenant, ENTRY_SCOPE, tenant, sizeof(tenant)) &&
               entry_encode(&c->database, ENTRY_SCOPE, database, sizeof(database));
        int n = fits ? snprintf(buffer, ENTRY_SIZE, "%s@%s.%s", name, tenant, database) : -1;
        if (n < 0 || n >= ENTRY_SIZE)
                entry_of_id(&c->id, buffer);
}
