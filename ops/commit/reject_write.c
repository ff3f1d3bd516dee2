/*
 * Rows are rendered twice: for their hashes, by which the lines are known that stand in the file already, and for the file. Both times out of short transactions, and both times the
 * same bytes, or it is -ESTALE.
 *
 * What a crash leaves behind the last newline is the beginning of a line that the same commit writes again, since its position has not passed the row: it is cut away when it
 * tells of one of the rows that are written now. All else that has no newline gets one. Zeros of a write that did not arrive go with what that commit wrote behind them (reject_file.h).
 */
#include "ops/commit/reject.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ops/clock.h"
#include "ops/commit/reject_file.h"
#include "ops/commit/reject_list.h"
#include "ops/wal/source.h"

#define TRANSACTION_MS 20

static int no_memory(struct error *e)
{
        return error_set(e, ENOMEM, "no memory for rejected rows");
}

struct line {
        XXH128_hash_t hash;
        bool present; /* in the file */
};

struct writer {
        const struct commit_rejects *rejects;
        struct db *db;
        struct wal_source *source;
        struct reject_file file;
        XXH3_state_t *hash;
        bool appending;
        char *buffer;
        size_t allocated;
        int64_t until_ms; /* of the transaction */
        bool in_transaction;
        struct line *lines;   /* of the rows, in their order */
        struct line **sorted; /* by hash */
        struct error *e;
};

static void rest(struct writer *w)
{
        if (!w->in_transaction)
                return;
        wal_source_rest(w->source);
        db_end(w->db);
        w->in_transaction = false;
}

/* A transaction that has not lasted too long. */
static int begin(struct writer *w)
{
        if (w->in_transaction && clock_ms() < w->until_ms)
                return 0;
        rest(w);
        if (db_is_cancelled(w->db))
                return error_set(w->e, ECANCELED, "cancelled");
        int r = db_begin(w->db, w->e);
        w->in_transaction = r == 0;
        w->until_ms = clock_ms() + TRANSACTION_MS;
        return r;
}

static int reserve(struct writer *w, size_t length)
{
        if (length <= w->allocated)
                return 0;
        char *buffer = realloc(w->buffer, length);
        if (buffer == NULL)
                return no_memory(w->e);
        w->buffer = buffer;
        w->allocated = length;
        return 0;
}

/* What stands in the buffer. */
static int emit(struct writer *w, size_t length)
{
        (void) XXH3_128bits_update(w->hash, w->buffer, length);
        if (!w->appending)
                return 0;
        return reject_file_append(&w->file, w->buffer, length, w->e);
}

static int gone(const struct writer *w, int64_t seq_id)
{
        return error_set(w->e, ESTALE, "row %" PRId64 " of the log was changed or removed meanwhile", seq_id);
}

/* The row, and of a large one its layout. */
static int seek(struct writer *w, int64_t seq_id, struct wal_row *ret)
{
        int r = begin(w);
        if (r == 0)
                r = wal_source_seek(w->source, seq_id, ret, w->e);
        return r < 0 ? r : r > 0 && ret->seq_id == seq_id ? 0 : gone(w, seq_id);
}

static int render_piece(struct writer *w, const struct wal_row *row, const struct wal_piece *piece)
{
        struct wal_input input;
        int r = begin(w);
        if (r == 0)
                r = wal_source_input(w->source, row, piece, &input, w->e);
        if (r < 0)
                return r;
        size_t length = wal_piece_length(row, piece, &input);
        r = reserve(w, length);
        if (r < 0)
                return r;
        wal_piece_render(row, piece, &input, w->buffer);
        return emit(w, length);
}

static int render_large(struct writer *w, const struct wal_row *row)
{
        struct wal_piece piece;
        for (uint32_t i = 0; wal_row_piece(row, i, &piece); i++) {
                int r = render_piece(w, row, &piece);
                if (r < 0)
                        return r == -EILSEQ || r == -ENOENT ? gone(w, row->seq_id) : r;
        }
        return 0;
}

static int render(struct writer *w, int64_t seq_id, XXH128_hash_t *ret)
{
        struct wal_row row = { 0 };
        (void) XXH3_128bits_reset(w->hash);
        int r = seek(w, seq_id, &row);
        if (r < 0)
                return r;
        if (wal_row_is_large(&row)) {
                r = render_large(w, &row);
        } else {
                size_t length = wal_row_length(&row);
                r = reserve(w, length);
                if (r == 0)
                        (void) wal_row_render(&row, w->buffer);
                if (r == 0)
                        r = emit(w, length);
        }
        *ret = XXH3_128bits_digest(w->hash);
        return r;
}

/* What stands in the file. */

static int by_hash(const void *a, const void *b)
{
        const struct line *const *x = a, *const *y = b;
        return XXH128_cmp(&(*x)->hash, &(*y)->hash);
}

static int hash_rows(struct writer *w)
{
        size_t count = w->rejects->count;
        w->lines = calloc(count, sizeof(*w->lines));
        w->sorted = calloc(count, sizeof(*w->sorted));
        if (w->lines == NULL || w->sorted == NULL)
                return no_memory(w->e);
        for (size_t i = 0; i < count; i++) {
                int r = render(w, w->rejects->seq_ids[i], &w->lines[i].hash);
                if (r < 0)
                        return r;
                w->sorted[i] = &w->lines[i];
        }
        rest(w);
        qsort(w->sorted, count, sizeof(*w->sorted), by_hash);
        return 0;
}

static bool mark_present(void *context, XXH128_hash_t hash)
{
        struct writer *w = context;
        struct line key = { .hash = hash }, *pointer = &key;
        struct line **found = bsearch(&pointer, w->sorted, w->rejects->count, sizeof(*w->sorted), by_hash);
        if (found != NULL)
                (*found)->present = true;
        return found != NULL;
}

/* What was torn is taken away first: the lines in it are written again. */
static int find_present(struct writer *w)
{
        int r = reject_file_scan(&w->file, w->db, mark_present, w, w->e);
        if (r < 0 || w->file.torn == w->file.size)
                return r;
        for (size_t i = 0; i < w->rejects->count; i++)
                w->lines[i].present = false;
        r = reject_file_cut(&w->file, w->file.torn, w->e);
        return r < 0 ? r : reject_file_scan(&w->file, w->db, mark_present, w, w->e);
}

static bool is_written_now(const struct writer *w, int64_t seq_id)
{
        for (size_t i = 0; i < w->rejects->count; i++)
                if (w->rejects->seq_ids[i] == seq_id)
                        return !w->lines[i].present;
        return false;
}

/* Whether that is how a line begins of a row that is written now. */
static bool is_torn_line(const struct writer *w, const char *tail)
{
        static const char start[] = "{\"seq_id\": ";
        size_t len = strlen(tail), most = len < sizeof start - 1 ? len : sizeof start - 1;
        if (len == 0 || memcmp(tail, start, most) != 0)
                return false;
        const char *number = tail + most;
        char *end = NULL;
        if (*number == '\0')
                return true;
        if (*number != '-' && (*number < '0' || *number > '9'))
                return false;
        int64_t seq_id = strtoll(number, &end, 10);
        return *end == '\0' || (*end == ',' && is_written_now(w, seq_id));
}

/* Makes the end of the file one of a line. */
static int end_tail(struct writer *w)
{
        char tail[REJECT_TAIL_MAX];
        if (w->file.tail == w->file.size)
                return 0;
        int r = reject_file_tail(&w->file, tail, w->e);
        if (r < 0)
                return r;
        return is_torn_line(w, tail) ? reject_file_cut(&w->file, w->file.tail, w->e) : reject_file_append(&w->file, "\n", 1, w->e);
}

static int append_missing(struct writer *w, size_t *ret_written)
{
        size_t written = 0;
        w->appending = true;
        for (size_t i = 0; i < w->rejects->count; i++) {
                XXH128_hash_t hash;
                if (w->lines[i].present)
                        continue;
                int r = render(w, w->rejects->seq_ids[i], &hash);
                if (r == 0 && !XXH128_isEqual(hash, w->lines[i].hash))
                        r = gone(w, w->rejects->seq_ids[i]);
                if (r < 0)
                        return r;
                written++;
        }
        rest(w);
        *ret_written = written;
        return reject_file_sync(&w->file, w->e); /* what stood there, too: who wrote it may not have got so far */
}

static int write_all(struct writer *w, struct state_dir *state, size_t *ret_written)
{
        size_t written = 0;
        int r = hash_rows(w);
        if (r == 0)
                r = reject_file_open(state, &w->file, w->e);
        if (r == 0)
                r = find_present(w);
        if (r < 0)
                return r;
        r = end_tail(w);
        if (r == 0)
                r = append_missing(w, &written);
        if (r < 0)
                return reject_file_undo(&w->file, r, w->e);
        *ret_written = written;
        return 0;
}

int commit_rejects_write(const struct commit_rejects *rejects, struct db *db, struct state_dir *state, size_t *ret_written,
                         struct error *e)
{
        struct writer w = { .rejects = rejects, .db = db, .file = { .fd = -1 }, .e = e };
        if (rejects->count == 0) {
                *ret_written = 0;
                return 0;
        }
        w.hash = XXH3_createState();
        int r = w.hash == NULL ? no_memory(e) : wal_source_new(db, &w.source, e);
        if (r == 0)
                r = write_all(&w, state, ret_written);
        if (w.source != NULL)
                rest(&w);
        reject_file_close(&w.file);
        (void) wal_source_free(w.source);
        (void) XXH3_freeState(w.hash);
        free(w.buffer);
        free(w.lines);
        free(w.sorted);
        return r;
}
