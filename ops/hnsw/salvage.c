/*
 * The file is read front to back once, in pieces of whole records, of which only the mark and the label are looked at. A vector is read when it is asked for.
 */
#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops/hnsw/salvage_parts.h"

#define PIECE_BYTES ((size_t) 1 << 20)
#define NORM_SLACK 1e-3f /* of a vector that was normalised in floats */
#define NORM_ADDED 1e-30f

bool salvage_is_damage(int code)
{
        return code == -ENOENT || code == -ENOTDIR || code == -ENXIO || code == -EILSEQ || code == -EFBIG;
}

/* --- records --- */

struct reading {
        struct salvage *s;
        unsigned char *piece;
        float *norms; /* of the piece's records, NAN where length.bin has none */
        size_t next;  /* the entry that probably has the next record's label */
        float *one, *other;
        struct error *e;
};

static int read_stored(const struct salvage *s, uint64_t record, float *ret, struct error *e)
{
        return file_pread_exact(s->level0_fd, ret, 4 * (size_t) s->start.dimension, record * s->record_size + s->data_offset,
                                "data_level0.bin", e);
}

/* A label that an earlier record has. */
static int take_double(struct reading *r, size_t entry, uint64_t record)
{
        struct salvage *s = r->s;
        int code = read_stored(s, s->record_of[entry], r->one, r->e);
        if (code == 0)
                code = read_stored(s, record, r->other, r->e);
        if (code < 0)
                return code;
        s->doubled++;
        if (memcmp(r->one, r->other, 4 * (size_t) s->start.dimension) == 0 || (s->marks[entry] & SALVAGE_DOUBTFUL) != 0)
                return 0;
        s->doubtful++;
        s->marks[entry] |= SALVAGE_DOUBTFUL;
        return 0;
}

static float norm_of(const float *vector, uint32_t dimension)
{
        double sum = 0;
        for (uint32_t i = 0; i < dimension; i++)
                sum += (double) vector[i] * (double) vector[i];
        return (float) sqrt(sum);
}

static bool is_zero(float length)
{
        return length <= 0 && length >= 0;
}

/* What normalising makes of a vector of that norm. */
static float normalised_norm(float length)
{
        return isfinite(length) && length > 0 ? length / (length + NORM_ADDED) : 1;
}

static bool is_near(float a, float b)
{
        return fabsf(a - b) <= NORM_SLACK;
}

/* Of cosine: whether it is normalised, and so can be a vector of this index. What has no norm, a number that is none in it, say, was put in by someone; and what normalising makes of a vector that is
   all but nothing is shorter (FORMAT 6.3). length.bin may be torn. */
static bool is_possible(struct reading *r, const unsigned char *bytes, uint64_t record, float length, float *ret_norm)
{
        const struct salvage *s = r->s;
        if (s->start.space != SPACE_COSINE)
                return true;
        memcpy(r->one, bytes + s->data_offset, 4 * (size_t) s->start.dimension);
        *ret_norm = norm_of(r->one, s->start.dimension);
        bool is_any = is_zero(length) && record < s->counted;
        return is_any || !isfinite(*ret_norm) || !(*ret_norm > 0) || is_near(*ret_norm, 1) ||
               is_near(*ret_norm, normalised_norm(length));
}

/* Whether length.bin can be right: the norm of zeros is 0, and that of what is too little to be squared, of which normalising makes something of any length. */
static bool norm_fits(const struct salvage *s, float stored_norm, float length)
{
        bool has_norm = isfinite(stored_norm) && stored_norm > 0;
        if (s->start.space != SPACE_COSINE)
                return true;
        if (is_zero(length))
                return !(stored_norm > 0) || !is_near(stored_norm, 1);
        return isfinite(length) && length > 0 && (!has_norm || is_near(stored_norm, normalised_norm(length)));
}

static int take_listed(struct reading *r, const unsigned char *bytes, uint64_t record, float length, size_t entry)
{
        struct salvage *s = r->s;
        float norm = 0;
        r->next = entry + 1;
        if (!is_possible(r, bytes, record, length, &norm)) {
                s->bad++;
                return 0;
        }
        if (s->record_of[entry] != SALVAGE_NO_RECORD)
                return take_double(r, entry, record);
        s->record_of[entry] = (uint32_t) record;
        s->live++;
        if (record >= s->counted) {
                s->uncounted++;
                s->marks[entry] |= SALVAGE_UNCOUNTED;
        }
        bool norm_is_lost = !norm_fits(s, norm, length);
        if (norm_is_lost) {
                s->normless++;
                s->marks[entry] |= SALVAGE_NORMLESS;
        }
        s->scaled += !norm_is_lost && isfinite(length) && !is_near(length, 1);
        return 0;
}

static uint64_t label_at(const unsigned char *record, size_t record_size)
{
        uint64_t label;
        memcpy(&label, record + record_size - sizeof(label), sizeof(label));
        return le64toh(label);
}

static int take_record(struct reading *r, const unsigned char *bytes, uint64_t record, float length)
{
        struct salvage *s = r->s;
        const struct index_metadata *m = s->metadata;
        uint64_t label = label_at(bytes, s->record_size);
        if (label == 0)
                return 0;
        if ((bytes[SALVAGE_MARK_OFFSET] & SALVAGE_DELETED) != 0) {
                s->deleted++;
                return 0;
        }
        const struct index_entry *entry = m != NULL && r->next < m->count ? &m->entries[r->next] : NULL;
        if (m != NULL && (entry == NULL || entry->label != label))
                entry = index_metadata_by_label(m, label);
        if (entry == NULL) {
                s->unlisted++;
                return 0;
        }
        return take_listed(r, bytes, record, length, (size_t) (entry - m->entries));
}

/* The first record that is not wholly in a hole, from this one on. */
static uint64_t skip_hole(const struct salvage *s, uint64_t record)
{
        off_t data = lseek(s->level0_fd, (off_t) (record * s->record_size), SEEK_DATA);
        if (data < 0)
                return errno == ENXIO ? s->records : record;
        uint64_t at = (uint64_t) data / s->record_size;
        return at > record ? at : record;
}

/* What length.bin can't give stays NAN. */
static int read_norms(const struct salvage *s, uint64_t first, uint64_t count, float *ret, struct error *e)
{
        for (uint64_t i = 0; i < count; i++)
                ret[i] = NAN;
        if (s->length_fd < 0)
                return 0;
        ssize_t len = file_pread(s->length_fd, ret, (size_t) count * sizeof(*ret), first * sizeof(*ret));
        if (len >= 0 && len % (ssize_t) sizeof(*ret) != 0)
                ret[len / (ssize_t) sizeof(*ret)] = NAN;
        return len < 0 ? error_set(e, (int) -len, "length.bin can't be read: %s", strerror((int) -len)) : 0;
}

static int read_piece(struct reading *r, uint64_t first, uint64_t count)
{
        struct salvage *s = r->s;
        if (s->start.cancelled != NULL && s->start.cancelled(s->start.context))
                return error_set(r->e, EINTR, "cancelled");
        int code = file_pread_exact(s->level0_fd, r->piece, (size_t) count * s->record_size, first * s->record_size,
                                    "data_level0.bin", r->e);
        if (code == 0)
                code = read_norms(s, first, count, r->norms, r->e);
        for (uint64_t i = 0; code == 0 && i < count; i++)
                code = take_record(r, r->piece + i * s->record_size, first + i, r->norms[i]);
        return code;
}

static int make_room(struct reading *r, uint64_t at_once)
{
        const struct salvage *s = r->s;
        r->piece = malloc((size_t) at_once * s->record_size);
        r->norms = calloc((size_t) at_once, sizeof(*r->norms));
        r->one = calloc(s->start.dimension, sizeof(*r->one));
        r->other = calloc(s->start.dimension, sizeof(*r->other));
        return r->piece == NULL || r->norms == NULL || r->one == NULL || r->other == NULL
                       ? error_set(r->e, ENOMEM, "no memory to read an index")
                       : 0;
}

static int read_records(struct reading *r)
{
        struct salvage *s = r->s;
        uint64_t at_once = PIECE_BYTES / s->record_size;
        at_once = at_once == 0 ? 1 : at_once;
        s->records = s->size / s->record_size;
        if (s->records > SALVAGE_NO_RECORD)
                s->records = SALVAGE_NO_RECORD;
        int code = make_room(r, at_once);
        for (uint64_t at = skip_hole(s, 0); code == 0 && at < s->records; at = skip_hole(s, at)) {
                uint64_t count = s->records - at < at_once ? s->records - at : at_once;
                code = read_piece(r, at, count);
                at += count;
        }
        free(r->piece);
        free(r->norms);
        free(r->one);
        free(r->other);
        return code;
}

static int look_at_records(struct salvage *s, int segment_fd, struct error *e)
{
        struct file_stamp stamp = { 0 };
        s->level0_fd = file_open_regular(segment_fd, index_file_names[INDEX_LEVEL0], &stamp, &s->records_error);
        if (s->level0_fd < 0)
                return salvage_is_damage(s->level0_fd) ? 0 : error_set(e, -s->level0_fd, "%s", s->records_error.text);
        s->size = stamp.size;
        int code = salvage_find_layout(s, segment_fd, e);
        if (code < 0)
                return code;
        if (s->layout == SALVAGE_NO_LAYOUT) {
                (void) error_set(&s->records_error, EILSEQ, "nothing says how long the records of data_level0.bin are");
                return 0;
        }
        struct reading r = { .s = s, .e = e };
        return read_records(&r);
}

/* --- the pickle and the norms --- */

static int look_at_pickle(struct salvage *s, int segment_fd, struct error *e)
{
        CLEANUP(close)
        int fd = file_open_regular(segment_fd, index_file_names[INDEX_PICKLE], NULL, &s->pickle_error);
        int code =
                fd < 0 ? fd : index_metadata_read_agreed(fd, s->start.cancelled, s->start.context, &s->metadata, &s->pickle_error);
        if (code == -ENOENT)
                s->pickle_error = (struct error){ 0 };
        if (code < 0)
                return salvage_is_damage(code) ? 0 : error_set(e, -code, "%s", s->pickle_error.text);
        size_t count = s->metadata->count;
        if (s->metadata->disagreeing > 0)
                (void) error_set(&s->pickle_error, EILSEQ,
                                 "index_metadata.pickle: labels of %zu ids have been given to others since",
                                 s->metadata->disagreeing);
        s->record_of = reallocarray(NULL, count + 1, sizeof(*s->record_of));
        s->marks = calloc(count + 1, sizeof(*s->marks));
        if (s->record_of == NULL || s->marks == NULL)
                return error_set(e, ENOMEM, "no memory for %zu ids", count);
        memset(s->record_of, 0xff, count * sizeof(*s->record_of));
        return 0;
}

static int look_at_norms(struct salvage *s, int segment_fd, struct error *e)
{
        struct error found = { 0 };
        if (s->start.space != SPACE_COSINE)
                return 0;
        s->length_fd = file_open_regular(segment_fd, index_file_names[INDEX_LENGTH], NULL, &found);
        return s->length_fd < 0 && !salvage_is_damage(s->length_fd) ? error_set(e, -s->length_fd, "%s", found.text) : 0;
}

/* --- all of it --- */

static int look(struct salvage *s, struct error *e)
{
        CLEANUP(close)
        int segment_fd = file_open_dir(s->start.persist_fd, s->start.segment_id, &s->records_error);
        if (segment_fd < 0)
                return salvage_is_damage(segment_fd) ? 0 : error_set(e, -segment_fd, "%s", s->records_error.text);
        int r = look_at_pickle(s, segment_fd, e);
        if (r == 0)
                r = look_at_norms(s, segment_fd, e);
        return r < 0 ? r : look_at_records(s, segment_fd, e);
}

int salvage_read(const struct salvage_start *start, struct salvage **ret, struct error *e)
{
        CLEANUP(salvage_free)
        struct salvage *s = calloc(1, sizeof(*s));
        if (s == NULL)
                return error_set(e, ENOMEM, "no memory to read an index");
        s->start = *start;
        s->level0_fd = s->length_fd = -1;
        s->stamps = index_stamps_read(start->persist_fd, start->segment_id);
        int r = look(s, e);
        struct index_stamps now = index_stamps_read(start->persist_fd, start->segment_id);
        if (r < 0 && (r == -EINTR || index_stamps_equal(&now, &s->stamps)))
                return r;
        if (!index_stamps_equal(&now, &s->stamps))
                return error_set(e, EAGAIN, "the index of segment %s changed while it was read", start->segment_id);
        *ret = TAKE(s);
        return 0;
}

struct salvage *salvage_free(struct salvage *s)
{
        if (s == NULL)
                return NULL;
        (void) index_metadata_free(s->metadata);
        free(s->record_of);
        free(s->marks);
        close_cleanup(&s->level0_fd);
        close_cleanup(&s->length_fd);
        free(s);
        return NULL;
}

/* --- vectors --- */

int salvage_vector(const struct salvage *s, size_t entry, float *vector, float *ret_length, struct error *e)
{
        uint64_t record = s->record_of[entry];
        uint32_t bits;
        int r = read_stored(s, record, vector, e);
        *ret_length = 1;
        if (r < 0 || s->start.space != SPACE_COSINE || (s->marks[entry] & SALVAGE_NORMLESS) != 0)
                return r;
        r = file_pread_exact(s->length_fd, &bits, sizeof(bits), record * sizeof(bits), "length.bin", e);
        bits = le32toh(bits);
        if (r == 0)
                memcpy(ret_length, &bits, sizeof(*ret_length));
        return r;
}
