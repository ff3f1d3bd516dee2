/*
 * A collection's stored configuration: config_json_str, schema_str and the vector segment's metadata. The first byte chooses the version;
 * the rest is three parts with a 0xff between them; the third is lines of "key=value", the value a number or a string.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ops/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define VALUES_MAX 16

/* Cuts the part before the next `mark` off; a NUL takes the mark's place. */
static struct text cut(char **rest, char *end, int mark)
{
        char *begin = *rest, *found = memchr(begin, mark, (size_t) (end - begin));
        char *stop = found != NULL ? found : end;
        *stop = '\0';
        *rest = found != NULL ? found + 1 : end;
        return (struct text){ begin, (size_t) (stop - begin) };
}

static struct metadata_value parse_value(struct text line)
{
        char *rest = line.bytes, *end = line.bytes + line.len, *tail = NULL;
        struct metadata_value value = { .key = cut(&rest, end, '=') };
        value.string = (struct text){ rest, (size_t) (end - rest) };
        value.integer = strtoll(rest, &tail, 10);
        value.real = strtod(rest, NULL);
        if (rest == end)
                value.type = VALUE_NULL;
        else if (*tail == '\0')
                value.type = VALUE_INT;
        else
                value.type = *tail == '.' ? VALUE_FLOAT : *tail == 'b' ? VALUE_BOOL : VALUE_STRING;
        return value;
}

static void check(const struct hnsw_config *config)
{
        if (config->source == CONFIG_UNSUPPORTED)
                return;
        if (config->space > SPACE_IP || config->m < 0 || config->ef_construction < 0 || config->ef_search < 0 ||
            config->num_threads < 0 || config->batch_size < 2 || config->sync_threshold < 2 || !isfinite(config->resize_factor))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const int versions[][3] = { { 3, 1, 1 }, { 4, 3, 1 }, { 9, 4, 2 }, { 9, 5, 2 }, { 10, 5, 2 }, { 10, 6, 2 } };
        struct metadata_value values[VALUES_MAX];
        struct collection_detail detail = { .segment_metadata = values };
        struct chroma_version version;
        struct hnsw_config config;
        struct error e = { 0 };
        char *bytes = size > 0 ? malloc(size) : NULL;
        if (bytes == NULL)
                return 0;
        memcpy(bytes, data + 1, size - 1);
        char *rest = bytes, *end = bytes + size - 1;
        *end = '\0';
        const int *numbers = versions[data[0] % 6];
        chroma_version_of(numbers[0], numbers[1], numbers[2], &version);
        detail.config_json = cut(&rest, end, 0xff);
        detail.schema_json = cut(&rest, end, 0xff);
        if (detail.config_json.len == 0)
                detail.config_json.bytes = NULL;
        while (rest < end && detail.segment_metadata_count < VALUES_MAX)
                values[detail.segment_metadata_count++] = parse_value(cut(&rest, end, '\n'));
        if (hnsw_config_effective(&version, &detail, &config, &e) == 0)
                check(&config);
        else if (e.code >= 0 || e.text[0] == '\0' || !utf8_valid(e.text, strlen(e.text)))
                abort();
        free(bytes);
        return 0;
}
