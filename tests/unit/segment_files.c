#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/index_builder.h"
#include "tests/unit/index_dir.h"
#include "tests/unit/pickle_builder.h"
#include "tests/unit/segment_files.h"

#define ID SEGMENT_FILES_ID

uint64_t segment_get(const struct byte_buffer *b, size_t offset, size_t width)
{
        uint64_t value = 0;
        assert_true(offset + width <= b->len);
        for (size_t i = 0; i < width; i++)
                value |= (uint64_t) b->data[offset + i] << (8 * i);
        return value;
}

static void note_shape(struct segment_files *s)
{
        s->count = segment_get(&s->files[INDEX_HEADER], HEADER_COUNT, 8);
        s->record = segment_get(&s->files[INDEX_HEADER], HEADER_RECORD_SIZE, 8);
        s->label_offset = segment_get(&s->files[INDEX_HEADER], HEADER_LABEL_OFFSET, 8);
        s->m = segment_get(&s->files[INDEX_HEADER], HEADER_M, 8);
}

static struct byte_buffer read_file(int dirfd, const char *directory, const char *name)
{
        char path[256];
        struct byte_buffer b = { 0 };
        struct stat st;
        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        bytes_fill(&b, 0, (size_t) st.st_size);
        assert_int_equal(read(fd, b.data, b.len), st.st_size);
        assert_int_equal(close(fd), 0);
        return b;
}

struct segment_files segment_read(int dirfd, const char *directory)
{
        struct segment_files s = { 0 };
        for (int i = 0; i < INDEX_FILE_COUNT; i++)
                s.files[i] = read_file(dirfd, directory, index_file_names[i]);
        note_shape(&s);
        return s;
}

struct segment_files segment_small(void)
{
        struct index_image image = index_build(&index_small);
        struct segment_files s = { .files = { image.header, image.level0, image.lengths, image.link_lists } };
        int32_t labels[20];
        size_t live = 0;
        for (int32_t i = 0; i < 20; i++)
                if (i == 0 || i % 5 != 0)
                        labels[live++] = i + 1;
        s.files[INDEX_PICKLE] = pickle_build(STYLE_RUST, labels, live, 30);
        note_shape(&s);
        return s;
}

struct segment_files segment_copy(const struct segment_files *s)
{
        struct segment_files copy = *s;
        for (int i = 0; i < INDEX_FILE_COUNT; i++)
                copy.files[i] = bytes_copy(&s->files[i]);
        return copy;
}

void segment_clear(struct segment_files *s)
{
        for (int i = 0; i < INDEX_FILE_COUNT; i++)
                bytes_clear(&s->files[i]);
}

void segment_write(int dirfd, const struct segment_files *s)
{
        (void) mkdirat(dirfd, ID, 0755);
        for (int i = 0; i < INDEX_FILE_COUNT; i++) {
                char path[128];
                (void) snprintf(path, sizeof(path), ID "/%s", index_file_names[i]);
                (void) unlinkat(dirfd, path, 0); /* a file that is emptied and written again is waited for by some file systems */
                index_dir_write(dirfd, ID, index_file_names[i], s->files[i].data, s->files[i].len);
        }
        index_dir_age(dirfd, ID, 3600);
}

static size_t record_at(const struct segment_files *s, uint64_t id)
{
        return (size_t) (id * s->record);
}

/* ---- one damage of each kind ---- */

static uint64_t first_with(const struct segment_files *s, bool deleted)
{
        for (uint64_t id = 0; id < s->count; id++)
                if ((segment_get(&s->files[INDEX_LEVEL0], record_at(s, id) + 2, 1) != 0) == deleted)
                        return id;
        fail_msg("there is no such element");
        return 0;
}

/* Where the first list of a level above 0 is that has a link; *ret_id has it. */
static size_t upper_list(const struct segment_files *s, uint64_t *ret_id)
{
        const struct byte_buffer *b = &s->files[INDEX_LINK_LISTS];
        size_t offset = 0;
        for (uint64_t id = 0; id < s->count; id++) {
                size_t bytes = (size_t) segment_get(b, offset, 4);
                if (bytes > 0 && segment_get(b, offset + 4, 2) > 0) {
                        *ret_id = id;
                        return offset + 4;
                }
                offset += 4 + bytes;
        }
        fail_msg("there are no upper links");
        return 0;
}

static uint64_t level_0_element(const struct segment_files *s)
{
        const struct byte_buffer *b = &s->files[INDEX_LINK_LISTS];
        size_t offset = 0;
        for (uint64_t id = 0; id < s->count; id++) {
                if (segment_get(b, offset, 4) == 0)
                        return id;
                offset += 4 + (size_t) segment_get(b, offset, 4);
        }
        fail_msg("all are above level 0");
        return 0;
}

void segment_poke(struct segment_files *s, uint64_t id, uint64_t offset, uint64_t value, size_t width)
{
        bytes_set_int(&s->files[INDEX_LEVEL0], record_at(s, id) + (size_t) offset, value, width);
}

void segment_damage_header(struct segment_files *s)
{
        bytes_set_int(&s->files[INDEX_HEADER], HEADER_VERSION, 2, 4);
}

static void damage_lengths(struct segment_files *s)
{
        s->files[INDEX_LENGTH].len = 4 * s->count - 1;
}

void segment_damage_links_end(struct segment_files *s)
{
        bytes_put_int(&s->files[INDEX_LINK_LISTS], 0, 4);
}

static void damage_level(struct segment_files *s)
{
        bytes_set_int(&s->files[INDEX_HEADER], HEADER_MAX_LEVEL, segment_get(&s->files[INDEX_HEADER], HEADER_MAX_LEVEL, 4) + 1, 4);
}

static void damage_entry_point(struct segment_files *s)
{
        bytes_set_int(&s->files[INDEX_HEADER], HEADER_ENTRY_POINT, level_0_element(s), 4);
}

void segment_damage_list(struct segment_files *s)
{
        segment_poke(s, 1, 3, 1, 1);
}

static void damage_upper_list(struct segment_files *s)
{
        uint64_t id;
        bytes_set_int(&s->files[INDEX_LINK_LISTS], upper_list(s, &id), s->m + 1, 4);
}

static void damage_link_range(struct segment_files *s)
{
        segment_poke(s, 1, 4, s->count, 4);
}

static void damage_link_self(struct segment_files *s)
{
        segment_poke(s, 1, 4, 1, 4);
}

static void damage_link_twice(struct segment_files *s)
{
        assert_true(segment_get(&s->files[INDEX_LEVEL0], record_at(s, 1), 2) >= 2);
        segment_poke(s, 1, 4, segment_get(&s->files[INDEX_LEVEL0], record_at(s, 1) + 8, 4), 4);
}

static void damage_link_level(struct segment_files *s)
{
        uint64_t id;
        bytes_set_int(&s->files[INDEX_LINK_LISTS], upper_list(s, &id) + 4, level_0_element(s), 4);
}

static void damage_label_twice(struct segment_files *s)
{
        uint64_t live = first_with(s, false), deleted = first_with(s, true);
        segment_poke(s, deleted, s->label_offset, segment_get(&s->files[INDEX_LEVEL0], record_at(s, live) + s->label_offset, 8), 8);
}

static void damage_label_zero(struct segment_files *s)
{
        segment_poke(s, first_with(s, true), s->label_offset, 0, 8);
}

static void damage_label_range(struct segment_files *s)
{
        segment_poke(s, first_with(s, true), s->label_offset, 1ull << 40, 8);
}

static void damage_label_orphan(struct segment_files *s)
{
        segment_poke(s, first_with(s, true), 2, 0, 1);
}

static void damage_label_missing(struct segment_files *s)
{
        segment_poke(s, first_with(s, false), 2, 1, 1);
}

static void damage_pickle(struct segment_files *s)
{
        s->files[INDEX_PICKLE].len /= 2;
}

static void damage_vector(struct segment_files *s)
{
        segment_poke(s, first_with(s, false), s->label_offset - 4, 0x7fc00000, 4);
}

static void damage_deleted_vector(struct segment_files *s)
{
        segment_poke(s, first_with(s, true), 8 * s->m + 4, 0x7f800000, 4);
}

/* No list of any level has a link to it any more. */
static void unlink_element(struct byte_buffer *b, size_t list, uint64_t id)
{
        uint64_t count = segment_get(b, list, 2), kept = 0;
        for (uint64_t i = 0; i < count; i++) {
                uint64_t link = segment_get(b, list + 4 + 4 * i, 4);
                if (link != id)
                        bytes_set_int(b, list + 4 + 4 * kept++, link, 4);
        }
        bytes_set_int(b, list, kept, 2);
}

static void damage_reach(struct segment_files *s)
{
        struct byte_buffer *upper = &s->files[INDEX_LINK_LISTS];
        uint64_t lost = first_with(s, false);
        if (lost == segment_get(&s->files[INDEX_HEADER], HEADER_ENTRY_POINT, 4))
                lost++;
        size_t offset = 0, list_size = 4 * (size_t) s->m + 4;
        for (uint64_t id = 0; id < s->count; id++) {
                unlink_element(&s->files[INDEX_LEVEL0], record_at(s, id), lost);
                size_t end = offset + 4 + (size_t) segment_get(upper, offset, 4);
                for (offset += 4; offset < end; offset += list_size)
                        unlink_element(upper, offset, lost);
        }
}

const struct segment_damage segment_damages[] = {
        { "header", segment_damage_header, KIND(HNSW_HEADER), false, false },
        { "lengths", damage_lengths, KIND(HNSW_SIZE), false, false },
        { "links' end", segment_damage_links_end, KIND(HNSW_SIZE), true, false },
        { "level", damage_level, KIND(HNSW_LEVEL), true, false },
        { "entry point", damage_entry_point, KIND(HNSW_LEVEL), true, true },
        { "list", segment_damage_list, KIND(HNSW_LIST), true, false },
        { "upper list", damage_upper_list, KIND(HNSW_LIST), true, false },
        { "link range", damage_link_range, KIND(HNSW_LINK_RANGE), true, true },
        { "link self", damage_link_self, KIND(HNSW_LINK_SELF), true, true },
        { "link twice", damage_link_twice, KIND(HNSW_LINK_TWICE), true, true },
        { "link level", damage_link_level, KIND(HNSW_LINK_LEVEL), true, true },
        { "label twice", damage_label_twice, KIND(HNSW_LABEL_TWICE), true, false },
        { "label zero", damage_label_zero, KIND(HNSW_LABEL_RANGE), true, false },
        { "label range", damage_label_range, KIND(HNSW_LABEL_RANGE), true, false },
        { "label orphan", damage_label_orphan, KIND(HNSW_LABEL_ORPHAN), true, false },
        { "label missing", damage_label_missing, KIND(HNSW_LABEL_MISSING), true, false },
        { "pickle", damage_pickle, KIND(HNSW_PICKLE), false, false },
        { "vector", damage_vector, KIND(HNSW_VECTOR), true, false },
        { "vector of a deleted one", damage_deleted_vector, 0, true, false },
        { "reach", damage_reach, KIND(HNSW_UNREACHABLE), true, false },
};

const size_t segment_damage_count = sizeof(segment_damages) / sizeof(*segment_damages);
