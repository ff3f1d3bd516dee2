#include "ops/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int text_copy(struct text *ret, const void *bytes, size_t len)
{
        char *copy = malloc(len + 1);
        if (copy == NULL)
                return -ENOMEM;
        if (len > 0)
                memcpy(copy, bytes, len);
        copy[len] = '\0';
        ret->bytes = copy;
        ret->len = len;
        return 0;
}

bool text_equal(const struct text *a, const struct text *b)
{
        return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

bool text_is(const struct text *a, const char *literal)
{
        return a->len == strlen(literal) && memcmp(a->bytes, literal, a->len) == 0;
}

int text_compare(const struct text *a, const struct text *b)
{
        size_t common = a->len < b->len ? a->len : b->len;
        int order = memcmp(a->bytes, b->bytes, common);
        return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static bool continuation(const unsigned char *bytes, size_t from, size_t to)
{
        for (size_t i = from; i < to; i++)
                if ((bytes[i] & 0xc0) != 0x80)
                        return false;
        return true;
}

size_t utf8_sequence(const unsigned char *bytes, size_t len)
{
        if (len == 0)
                return 0;
        unsigned char lead = bytes[0];
        if (lead < 0x80)
                return 1;
        size_t need = lead >= 0xc2 && lead <= 0xdf ? 2 : lead >= 0xe0 && lead <= 0xef ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
        if (need == 0 || need > len || !continuation(bytes, 1, need))
                return 0;
        if ((lead == 0xe0 && bytes[1] < 0xa0) || (lead == 0xed && bytes[1] > 0x9f) || (lead == 0xf0 && bytes[1] < 0x90) ||
            (lead == 0xf4 && bytes[1] > 0x8f))
                return 0;
        return need;
}

bool utf8_valid(const void *bytes, size_t len)
{
        const unsigned char *p = bytes;
        while (len > 0) {
                size_t n = utf8_sequence(p, len);
                if (n == 0)
                        return false;
                p += n;
                len -= n;
        }
        return true;
}

bool uuid_valid(const char *text)
{
        for (size_t i = 0; i < 36; i++) {
                bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
                bool hex = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
                if (hyphen ? text[i] != '-' : !hex)
                        return false;
        }
        return text[36] == '\0';
}
