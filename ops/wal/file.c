/*
 * While a span is rendered for a reader that reads on, reads that will find their bytes in it wait for it and do not render the same again.
 */
#include "ops/wal/file.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ops/clock.h"

#define SPAN_SIZE (1u << 20)          /* rendered at a time for a reader that reads on */
#define AHEAD 2                       /* spans that are rendered for it at the same time */
#define DISTANCE (2 * SPAN_SIZE)      /* bytes that are to be ready for it */
#define BEHIND (2 * SPAN_SIZE)        /* bytes that are kept of what it has read */
#define COMING_MARGIN (SPAN_SIZE / 4) /* rows are not longer, by all appearances */
#define POLL_MS 20

struct wal_file {
        struct result shared;
        struct wal *wal;
        struct wal_stream *stream;
        pthread_mutex_t mutex; /* of all that follows */
        pthread_cond_t rendered;
        struct coming {
                bool active;
                uint64_t offset;
        } coming[AHEAD];   /* spans that are being rendered ahead */
        uint64_t expected; /* where a reader that reads on reads next */
        bool sequential;
        bool deep; /* the last span was longer than was asked for: such ones (of large values, see ops/wal/reader.c) come one at a time */
};

static void put_span(struct wal_span *span)
{
        if (span != NULL)
                (void) result_put(&span->shared);
}

static void destroy(struct result *shared)
{
        struct wal_file *f = (struct wal_file *) shared;
        (void) wal_stream_put(f->stream);
        wal_spans_drop(wal_spans_of(f->wal), (uintptr_t) f);
        wal_count_file(f->wal, -1);
        (void) pthread_cond_destroy(&f->rendered);
        (void) pthread_mutex_destroy(&f->mutex);
        free(f);
}

int wal_file_open(struct wal *wal, struct wal_stream *stream, struct wal_file **ret, struct error *e)
{
        struct wal_file *f = calloc(1, sizeof(*f));
        if (f == NULL)
                return error_set(e, ENOMEM, "no memory");
        result_init(&f->shared, destroy);
        f->wal = wal;
        f->stream = wal_stream_get(stream);
        wal_count_file(wal, 1);
        (void) pthread_mutex_init(&f->mutex, NULL);
        pthread_condattr_t monotonic;
        (void) pthread_condattr_init(&monotonic);
        (void) pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&f->rendered, &monotonic);
        (void) pthread_condattr_destroy(&monotonic);
        *ret = f;
        return 0;
}

struct wal_file *wal_file_get(struct wal_file *file)
{
        (void) result_get(&file->shared);
        return file;
}

struct wal_file *wal_file_put(struct wal_file *file)
{
        if (file != NULL)
                (void) result_put(&file->shared);
        return NULL;
}

static struct wal_span *find(struct wal_file *f, uint64_t offset)
{
        return wal_spans_find(wal_spans_of(f->wal), (uintptr_t) f, offset);
}

static bool is_kept(struct wal_file *f, uint64_t offset)
{
        struct wal_span *span = find(f, offset);
        put_span(span);
        return span != NULL;
}

static void keep(struct wal_file *f, struct wal_span *span)
{
        wal_spans_keep(wal_spans_of(f->wal), (uintptr_t) f, span);
}

/* Rendering, outside of the lock. */

static int render_with(struct wal_file *f, bool fresh, uint64_t offset, size_t most, db_cancel_fn *cancelled, void *context,
                       struct wal_span **ret, bool *ret_foreign, struct error *e)
{
        struct wal_pool *pool = wal_pool_of(f->wal);
        struct wal_connection *c = NULL;
        int r = wal_pool_take(pool, fresh, cancelled, context, &c, e);
        if (r == 0)
                r = wal_render(c->db, c->source, f->stream, offset, 1, most, ret, ret_foreign, e);
        wal_pool_give(pool, c);
        return r;
}

/* A row that is another one than was measured, or that can't be read, is looked at once more through a connection that remembers nothing of the file. */
static int render(struct wal_file *f, uint64_t offset, size_t most, db_cancel_fn *cancelled, void *context, struct wal_span **ret,
                  struct error *e)
{
        bool foreign = false;
        int r = render_with(f, false, offset, most, cancelled, context, ret, &foreign, e);
        if (r == -ESTALE || r == -EILSEQ || r == -EIO)
                r = render_with(f, true, offset, most, cancelled, context, ret, &foreign, e);
        if (r == -ESTALE && foreign)
                wal_refute(f->wal, wal_stream_index(f->stream));
        return r;
}

/* Where a span that is being rendered ahead will end, by all appearances, if it will hold the offset; 0 when there is none. It begins with the row of the byte that
   was asked for: a little before, where the span before it ends. */
static uint64_t coming_until(const struct wal_file *f, uint64_t offset)
{
        for (int i = 0; i < AHEAD; i++) {
                const struct coming *c = &f->coming[i];
                if (c->active && offset + COMING_MARGIN >= c->offset && offset < c->offset + SPAN_SIZE)
                        return c->offset + SPAN_SIZE;
        }
        return 0;
}

static int await(struct wal_file *f, uint64_t offset, db_cancel_fn *cancelled, void *context, struct error *e)
{
        while (!is_kept(f, offset) && coming_until(f, offset) != 0) {
                int64_t to = clock_ms() + POLL_MS;
                struct timespec t = { .tv_sec = (time_t) (to / 1000), .tv_nsec = (long) (to % 1000) * 1000000 };
                (void) pthread_cond_timedwait(&f->rendered, &f->mutex, &t);
                if (cancelled != NULL && cancelled(context))
                        return error_set(e, EINTR, "interrupted");
        }
        return 0;
}

/* The span that holds the offset: kept, coming, or rendered now. *ret is a reference, NULL at the end. */
static int span_at(struct wal_file *f, uint64_t offset, size_t wanted, db_cancel_fn *cancelled, void *context,
                   struct wal_span **ret, struct error *e)
{
        (void) pthread_mutex_lock(&f->mutex);
        int r = await(f, offset, cancelled, context, e);
        struct wal_span *span = r == 0 ? find(f, offset) : NULL;
        size_t most = f->sequential ? SPAN_SIZE : wanted;
        (void) pthread_mutex_unlock(&f->mutex);
        if (r == 0 && span == NULL) {
                r = render(f, offset, most > wanted ? most : wanted, cancelled, context, &span, e);
                if (r == 0 && span != NULL)
                        keep(f, span);
        }
        *ret = span;
        return r;
}

static void note_reader(struct wal_file *f, uint64_t offset, size_t size)
{
        (void) pthread_mutex_lock(&f->mutex);
        f->sequential = offset == f->expected;
        f->expected = offset + size;
        (void) pthread_mutex_unlock(&f->mutex);
}

static void add(struct wal_read *read, struct wal_span *span, uint64_t offset, size_t size)
{
        size_t skip = (size_t) (offset - span->offset), left = span->len - skip;
        read->spans[read->count] = span;
        read->pieces[read->count] = (struct iovec){ .iov_base = span->bytes + skip, .iov_len = left < size ? left : size };
        read->len += read->pieces[read->count].iov_len;
        read->count++;
}

/* At its end a stream that is not kept up to date any more does not say that there is no more to come. */
static int at_end(struct wal_file *f, struct error *e)
{
        if (wal_is_present(f->wal, wal_stream_index(f->stream)))
                return 0;
        return error_set(e, ESTALE, "the log was changed by other means than Chroma's since the file was opened: open it again");
}

int wal_file_read(struct wal_file *file, uint64_t offset, size_t size, db_cancel_fn *cancelled, void *context, struct wal_read *ret,
                  struct error *e)
{
        *ret = (struct wal_read){ 0 };
        note_reader(file, offset, size);
        int r = 0;
        while (r == 0 && ret->len < size && ret->count < WAL_READ_SPANS) {
                struct wal_span *span = NULL;
                r = span_at(file, offset + ret->len, size - ret->len, cancelled, context, &span, e);
                if (r == 0 && span == NULL)
                        break;
                if (r == 0)
                        add(ret, span, offset + ret->len, size - ret->len);
        }
        if (ret->count > 0)
                return 0;
        return r < 0 || size == 0 ? r : at_end(file, e);
}

bool wal_file_is_latest(const struct wal_file *file)
{
        return wal_is_present(file->wal, wal_stream_index(file->stream)) && wal_stream_is_latest(file->stream);
}

void wal_file_refute(struct wal_file *file)
{
        wal_refute(file->wal, wal_stream_index(file->stream));
}

void wal_read_clear(struct wal_read *read)
{
        for (int i = 0; i < read->count; i++)
                put_span(read->spans[i]);
        *read = (struct wal_read){ 0 };
}

/* Where the bytes end that are kept or coming, from where the reader is. */
static uint64_t ready_until(struct wal_file *f)
{
        uint64_t end = f->expected, next = end;
        do {
                end = next;
                struct wal_span *span = find(f, end);
                next = span != NULL ? span->offset + span->len : coming_until(f, end);
                put_span(span);
        } while (next > end);
        return end;
}

static struct coming *idle(struct wal_file *f)
{
        struct coming *ret = NULL;
        for (int i = 0; i < AHEAD; i++) {
                if (!f->coming[i].active)
                        ret = &f->coming[i];
                else if (f->deep)
                        return NULL;
        }
        return ret;
}

/* Whether it is time to render more: the reader reads on, and not enough is ready. Marks it as coming then. */
static struct coming *begin_ahead(struct wal_file *f)
{
        struct coming *coming = idle(f);
        uint64_t end = ready_until(f);
        if (!f->sequential || coming == NULL || end - f->expected >= DISTANCE || end >= wal_stream_stat(f->stream).size)
                return NULL;
        *coming = (struct coming){ .active = true, .offset = end };
        return coming;
}

/* With the lock, which it leaves meanwhile. */
static int render_ahead(struct wal_file *f, struct coming *coming)
{
        struct wal_span *span = NULL;
        uint64_t offset = coming->offset;
        (void) pthread_mutex_unlock(&f->mutex);
        int r = render(f, offset, SPAN_SIZE, NULL, NULL, &span, NULL);
        (void) pthread_mutex_lock(&f->mutex);
        if (r == 0 && span != NULL) {
                f->deep = span->len > 2 * SPAN_SIZE;
                if (f->sequential && f->expected > BEHIND)
                        wal_spans_pass(wal_spans_of(f->wal), (uintptr_t) f, f->expected - BEHIND);
                keep(f, span);
        }
        coming->active = false;
        (void) pthread_cond_broadcast(&f->rendered);
        put_span(span);
        return r;
}

/* No more often than the reader can need it at once: others may have what is kept forgotten before it is read. */
void wal_file_ahead(struct wal_file *file)
{
        (void) pthread_mutex_lock(&file->mutex);
        for (unsigned i = 0; i < DISTANCE / SPAN_SIZE; i++) {
                struct coming *coming = begin_ahead(file);
                if (coming == NULL || render_ahead(file, coming) < 0)
                        break;
        }
        (void) pthread_mutex_unlock(&file->mutex);
}
