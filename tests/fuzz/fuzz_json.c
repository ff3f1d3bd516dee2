/*
 * JSON in and out. The first byte chooses: parse the rest and render what comes out, which must be JSON again; or take the rest for a
 * string of any bytes, whose printed form must be JSON too; or for a double, whose form must read back as the same.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ops/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rendered(struct json_object *object)
{
        struct text t;
        struct json_object *again = NULL;
        if (json_render(object, &t) < 0)
                return;
        if (t.len == 0 || t.bytes[t.len - 1] != '\n' || json_parse(t.bytes, t.len, &again, NULL) < 0)
                abort();
        json_object_put(again);
        free(t.bytes);
}

static void try_parse(const char *bytes, size_t size)
{
        struct json_object *object = NULL;
        if (json_parse(bytes, size, &object, NULL) == 0)
                check_rendered(object);
        json_object_put(object);
}

static void try_text(const char *bytes, size_t size)
{
        struct text t;
        if (text_copy(&t, bytes, size) < 0)
                return;
        struct json_object *object = json_text(&t);
        check_rendered(object);
        json_object_put(object);
        free(t.bytes);
}

static void try_double(const char *bytes, size_t size)
{
        double d = 0.0;
        char buffer[32];
        memcpy(&d, bytes, size < sizeof d ? size : sizeof d);
        double back = strtod(json_format_double(d, buffer), NULL);
        uint64_t bits, back_bits; /* -0.0 is not 0.0 */
        memcpy(&bits, &d, sizeof bits);
        memcpy(&back_bits, &back, sizeof back_bits);
        if (bits != back_bits && !isnan(d))
                abort();
        struct json_object *object = json_double(d);
        check_rendered(object);
        json_object_put(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static void (*const tries[])(const char *bytes, size_t size) = { try_parse, try_text, try_double };
        if (size > 0)
                tries[data[0] % 3]((const char *) data + 1, size - 1);
        return 0;
}
