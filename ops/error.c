#include "ops/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *e, int err, const char *format, ...)
{
        if (e != NULL) {
                va_list args;
                va_start(args, format);
                e->code = -err;
                (void) vsnprintf(e->text, sizeof(e->text), format, args);
                va_end(args);
        }
        return -err;
}

int error_prefix(struct error *e, int code, const char *format, ...)
{
        if (e == NULL)
                return code;
        char whole[2 * sizeof(e->text)];
        va_list args;
        va_start(args, format);
        int n = vsnprintf(whole, sizeof(e->text), format, args);
        va_end(args);
        size_t used = n < 0 ? 0 : (size_t) n < sizeof(e->text) ? (size_t) n : sizeof(e->text) - 1;
        (void) snprintf(whole + used, sizeof(whole) - used, ": %s", e->text);
        memcpy(e->text, whole, sizeof(e->text) - 1);
        e->text[sizeof(e->text) - 1] = '\0';
        return e->code;
}
