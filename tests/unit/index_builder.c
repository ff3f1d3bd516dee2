#include "tests/unit/index_builder.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const struct index_options index_small = { .count = 20, .m = 4, .dimension = 3, .links = 6, .max_level = 1, .deleted_every = 5 };

static void put_header(struct index_image *image, const struct index_options *o)
{
        struct byte_buffer *b = &image->header;
        uint64_t data_offset = 8 * (uint64_t) o->m + 4;
        double mult = 1 / log((double) o->m);
        uint64_t mult_bits;
        memcpy(&mult_bits, &mult, sizeof(mult_bits));
        image->label_offset = data_offset + 4 * (uint64_t) o->dimension;
        image->record_size = image->label_offset + 8;
        bytes_put_int(b, 1, 4);
        bytes_put_int(b, 0, 8);
        bytes_put_int(b, o->count + 10, 8);
        bytes_put_int(b, o->count, 8);
        bytes_put_int(b, image->record_size, 8);
        bytes_put_int(b, image->label_offset, 8);
        bytes_put_int(b, data_offset, 8);
        bytes_put_int(b, o->count == 0 ? UINT32_MAX : (uint32_t) o->max_level, 4);
        bytes_put_int(b, o->count == 0 ? UINT32_MAX : 0, 4);
        bytes_put_int(b, o->m, 8);
        bytes_put_int(b, 2 * (uint64_t) o->m, 8);
        bytes_put_int(b, o->m, 8);
        bytes_put_int(b, mult_bits, 8);
        bytes_put_int(b, 100 < o->m ? o->m : 100, 8);
}

static void put_float(struct byte_buffer *b, float value)
{
        uint32_t bits;
        memcpy(&bits, &value, sizeof(bits));
        bytes_put_int(b, bits, 4);
}

static void put_record(struct byte_buffer *b, const struct index_options *o, uint32_t id)
{
        bool deleted = o->deleted_every != 0 && id != 0 && id % o->deleted_every == 0;
        bytes_put_int(b, o->links, 2);
        bytes_put_int(b, deleted, 2);
        for (uint32_t i = 1; i <= o->links; i++)
                bytes_put_int(b, (id + i) % o->count, 4);
        bytes_fill(b, 0xee, 4 * (size_t) (2 * o->m - o->links)); /* stale */
        for (uint32_t i = 0; i < o->dimension; i++)
                put_float(b, (float) (id + i));
        bytes_put_int(b, (uint64_t) id + 1, 8);
}

static bool on_level_1(const struct index_options *o, uint32_t id)
{
        return o->max_level >= 1 && id % 4 == 0;
}

static void put_entry(struct byte_buffer *b, const struct index_options *o, uint32_t id)
{
        if (!on_level_1(o, id)) {
                bytes_put_int(b, 0, 4);
                return;
        }
        bytes_put_int(b, 4 * (uint64_t) o->m + 4, 4);
        size_t head = b->len;
        uint32_t links = 0;
        bytes_put_int(b, 0, 4);
        for (uint32_t to = 0; to < o->count && links < o->m; to += 4) {
                if (to == id)
                        continue;
                bytes_put_int(b, to, 4);
                links++;
        }
        bytes_fill(b, 0xee, 4 * (size_t) (o->m - links));
        bytes_set_int(b, head, links, 2);
}

struct index_image index_build(const struct index_options *options)
{
        struct index_image image = { 0 };
        put_header(&image, options);
        for (uint32_t id = 0; id < options->count; id++) {
                put_record(&image.level0, options, id);
                put_float(&image.lengths, 1.0f);
                put_entry(&image.link_lists, options, id);
        }
        return image;
}

void index_files_clear(struct index_image *image)
{
        bytes_clear(&image->header);
        bytes_clear(&image->level0);
        bytes_clear(&image->lengths);
        bytes_clear(&image->link_lists);
}

size_t index_upper_list(const struct index_image *image, const struct index_options *options, uint32_t id)
{
        size_t offset = 0;
        for (uint32_t i = 0; i < id; i++)
                offset += on_level_1(options, i) ? 4 + 4 * (size_t) options->m + 4 : 4;
        return on_level_1(options, id) && offset + 4 < image->link_lists.len ? offset + 4 : 0;
}
