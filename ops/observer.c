#include "ops/observer_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <uthash.h>

#include "ops/clock.h"

struct summary_entry {
        UT_hash_handle hh;
        char id[37];
        struct index_summary summary;
};

static int open_directory(const char *path, struct error *e)
{
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0)
                return fd;
        int err = errno;
        if (err == ENOTDIR)
                return error_set(e, err, "%s is not a directory; a Chroma persist directory is the folder that holds %s", path,
                                 DB_FILE);
        return error_set(e, err, "%s can't be opened: %s", path, strerror(err));
}

int observer_probe(const char *path, int *ret_dirfd, bool *ret_newer, struct error *e)
{
        CLEANUP(close)
        int fd = open_directory(path, e);
        if (fd < 0)
                return fd;
        CLEANUP(db_close)
        struct db *db = NULL;
        int r = db_open(fd, &db, e);
        if (r < 0)
                return error_prefix(e, r, "%s is no Chroma persist directory that can be read", path);
        struct chroma_version version = { 0 };
        r = chroma_version_read(db, &version, e);
        if (r < 0 && r != -EBUSY)
                return error_prefix(e, r, "%s is no Chroma persist directory that can be read", path);
        *ret_newer = version.newer;
        *ret_dirfd = fd;
        fd = -1;
        return 0;
}

int observer_new(int dirfd, struct observer **ret, struct error *e)
{
        struct observer *o = calloc(1, sizeof(*o));
        if (o == NULL)
                return error_set(e, ENOMEM, "no memory");
        (void) pthread_mutex_init(&o->mutex, NULL);
        (void) pthread_mutex_init(&o->summaries_mutex, NULL);
        o->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
        int r = o->dirfd < 0 ? error_set(e, errno, "a descriptor can't be had: %s", strerror(errno))
                             : background_new(&o->background, e);
        if (r < 0) {
                (void) observer_free(o);
                return r;
        }
        *ret = o;
        return 0;
}

static void detail_destroy(struct result *shared)
{
        struct detail_result *d = (struct detail_result *) shared;
        collection_detail_clear(&d->detail);
        free(d);
}

static void forget_detail(struct observer *o)
{
        if (o->detail != NULL)
                (void) result_put(&o->detail->shared);
        o->detail = NULL;
}

struct observer *observer_free(struct observer *o)
{
        if (o == NULL)
                return NULL;
        o->background = background_free(o->background);
        o->measuring_db = db_close(o->measuring_db);
        forget_detail(o);
        o->view = view_put(o->view);
        o->db = db_close(o->db);
        struct summary_entry *s, *next;
        HASH_ITER(hh, o->summaries, s, next)
        {
                HASH_DEL(o->summaries, s);
                free(s);
        }
        if (o->dirfd >= 0)
                (void) close(o->dirfd);
        (void) pthread_mutex_destroy(&o->mutex);
        (void) pthread_mutex_destroy(&o->summaries_mutex);
        free(o);
        return NULL;
}

int observer_dirfd(const struct observer *o)
{
        return o->dirfd;
}

static void view_destroy(struct result *shared)
{
        struct view *view = (struct view *) shared;
        (void) catalog_free(view->catalog);
        free(view);
}

struct view *view_get(struct view *view)
{
        (void) result_get(&view->shared);
        return view;
}

struct view *view_put(struct view *view)
{
        if (view != NULL)
                (void) result_put(&view->shared);
        return NULL;
}

/* Forgets the summaries of segments that are gone, so that the memory is bounded by what there is. */
static void prune_summaries(struct observer *o, const struct catalog *catalog)
{
        (void) pthread_mutex_lock(&o->summaries_mutex);
        struct summary_entry *s, *next;
        HASH_ITER(hh, o->summaries, s, next)
        {
                if (catalog_segment(catalog, s->id) == NULL) {
                        HASH_DEL(o->summaries, s);
                        free(s);
                }
        }
        (void) pthread_mutex_unlock(&o->summaries_mutex);
}

static int see_hot_journal(struct db *db, bool *ret, struct error *e)
{
        int r = db_begin(db, e);
        if (r < 0)
                return r;
        *ret = db_is_hot(db);
        db_end(db);
        return 0;
}

/* The data_version is asked before the catalog is read: a commit in between makes the next caller read again, never the reverse. */
static int read_view(struct observer *o, uint64_t data_version, struct error *e)
{
        struct view *view = calloc(1, sizeof(*view));
        if (view == NULL)
                return error_set(e, ENOMEM, "no memory");
        result_init(&view->shared, view_destroy);
        view->database = db_stamp(o->db);
        view->journal = file_stamp_at(o->dirfd, DB_FILE "-journal").present;
        view->data_version = data_version;
        int r = see_hot_journal(o->db, &view->hot_journal, e);
        if (r == 0)
                r = catalog_read(o->db, &view->catalog, e);
        if (r < 0) {
                (void) view_put(view);
                return r;
        }
        view->generation = ++o->generations;
        o->view = view_put(o->view);
        o->view = view;
        prune_summaries(o, view->catalog);
        return 0;
}

static void disconnect(struct observer *o)
{
        forget_detail(o);
        o->db = db_close(o->db);
        o->view = view_put(o->view);
}

/* SQLite tells by a counter in the file that somebody has committed. A file that has moved without it was written by other means (a
   backup copied over it), or a transaction was begun in it, rolled back, or left half-done: then SQLite's cache is not believed. */
static bool moved_unseen(struct observer *o)
{
        struct file_stamp now = db_stamp(o->db);
        bool journal = file_stamp_at(o->dirfd, DB_FILE "-journal").present;
        return !file_stamp_equal(&now, &o->view->database) || journal != o->view->journal;
}

static int read_anew(struct observer *o, struct error *e)
{
        uint64_t data_version = 0;
        int r = o->db == NULL ? db_open(o->dirfd, &o->db, e) : 0;
        if (r == 0)
                r = db_data_version(o->db, &data_version, e);
        return r < 0 ? r : read_view(o, data_version, e);
}

static int refresh(struct observer *o, struct error *e)
{
        if (o->db != NULL && db_replaced(o->db))
                disconnect(o);
        if (o->view == NULL)
                return read_anew(o, e);
        uint64_t data_version = 0;
        int r = db_data_version(o->db, &data_version, e);
        if (r < 0)
                return r;
        if (o->view->data_version != data_version)
                return read_view(o, data_version, e);
        if (!moved_unseen(o))
                return 0;
        disconnect(o);
        return read_anew(o, e);
}

/* What may be of the connection, and not of the file, does not outlive it. */
static int refresh_or_disconnect(struct observer *o, struct error *e)
{
        int r = refresh(o, e);
        if (r < 0 && r != -EBUSY && r != -EINTR)
                disconnect(o);
        return r;
}

static int refresh_remembering(struct observer *o, const struct patience *patience, int64_t asked_ms, struct error *e)
{
        if (o->failure.code < 0 && o->failure_began_ms > asked_ms) {
                if (e != NULL)
                        *e = o->failure;
                return o->failure.code;
        }
        o->failure_began_ms = clock_ms();
        o->failure = (struct error){ 0 };
        if (o->db != NULL)
                db_set_cancel(o->db, patience->cancelled, patience->context);
        int r = refresh_or_disconnect(o, &o->failure);
        if (o->db != NULL)
                db_set_cancel(o->db, NULL, NULL);
        if (r == -EINTR) /* of this caller alone */
                o->failure.code = 0;
        if (r < 0 && e != NULL) {
                *e = o->failure;
                e->code = r;
        }
        return r;
}

int observer_view(struct observer *o, const struct patience *patience, struct view **ret, struct error *e)
{
        int64_t asked_ms = clock_ms();
        (void) pthread_mutex_lock(&o->mutex);
        int r = refresh_remembering(o, patience, asked_ms, e);
        if (r == 0)
                *ret = view_get(o->view);
        (void) pthread_mutex_unlock(&o->mutex);
        return r;
}

/* In one transaction with the look whether the view is still the one of this moment. */
static int read_detail(struct observer *o, const struct view *view, const struct collection *collection,
                       struct collection_detail *ret, struct error *e)
{
        uint64_t data_version;
        int r = db_begin(o->db, e);
        if (r < 0)
                return r;
        r = db_data_version(o->db, &data_version, e);
        if (r == 0 && data_version != view->data_version)
                r = error_set(e, ESTALE, "the database has changed meanwhile");
        if (r == 0)
                r = collection_detail_read(o->db, collection, ret, e);
        db_end(o->db);
        return r;
}

static int remember_detail(struct observer *o, const struct view *view, const struct collection *collection, struct error *e)
{
        struct detail_result *d = calloc(1, sizeof(*d));
        if (d == NULL)
                return error_set(e, ENOMEM, "no memory");
        result_init(&d->shared, detail_destroy);
        int r = read_detail(o, view, collection, &d->detail, e);
        if (r < 0) {
                free(d);
                return r;
        }
        d->config_failure.code = hnsw_config_effective(&view->catalog->version, &d->detail, &d->config, &d->config_failure);
        d->generation = view->generation;
        d->collection = collection;
        forget_detail(o);
        o->detail = d;
        return 0;
}

static int current_detail(struct observer *o, const struct view *view, const struct collection *collection,
                          const struct patience *patience, struct error *e)
{
        if (o->db == NULL || o->view == NULL || o->view->generation != view->generation)
                return error_set(e, ESTALE, "the database has changed meanwhile");
        if (o->detail != NULL && o->detail->generation == view->generation && o->detail->collection == collection)
                return 0;
        db_set_cancel(o->db, patience->cancelled, patience->context);
        int r = remember_detail(o, view, collection, e);
        db_set_cancel(o->db, NULL, NULL);
        return r;
}

int observer_detail(struct observer *o, const struct view *view, const struct collection *collection,
                    const struct patience *patience, struct detail_result **ret, struct error *e)
{
        (void) pthread_mutex_lock(&o->mutex);
        int r = current_detail(o, view, collection, patience, e);
        if (r == 0)
                *ret = (struct detail_result *) result_get(&o->detail->shared);
        (void) pthread_mutex_unlock(&o->mutex);
        return r;
}

static bool passing(int code)
{
        return code == -EAGAIN || code == -ENOMEM || code == -EMFILE || code == -ENFILE;
}

#define TICK_NS 50000000 /* of any file system's clock, with room */

/* Whether another write could still leave the same stamps: one in the same tick of the file system's clock (kernels before 6.13). */
static bool just_written(const struct index_stamps *stamps)
{
        struct timespec now;
        (void) clock_gettime(CLOCK_REALTIME, &now);
        int64_t now_ns = (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
        for (int i = 0; i < INDEX_FILE_COUNT; i++) {
                int64_t age_ns = now_ns - stamps->files[i].ctime_ns;
                if (stamps->files[i].present && age_ns >= 0 && age_ns < TICK_NS)
                        return true;
        }
        return false;
}

static bool recall_summary(struct observer *o, const char *id, struct index_summary *ret)
{
        struct index_stamps stamps = index_stamps_read(o->dirfd, id);
        struct summary_entry *s;
        (void) pthread_mutex_lock(&o->summaries_mutex);
        HASH_FIND_STR(o->summaries, id, s);
        bool found = s != NULL && !passing(s->summary.damage.code) && !just_written(&stamps) &&
                     index_stamps_equal(&s->summary.stamps, &stamps);
        if (found)
                *ret = s->summary;
        (void) pthread_mutex_unlock(&o->summaries_mutex);
        return found;
}

static void remember_summary(struct observer *o, const char *id, const struct index_summary *summary)
{
        struct summary_entry *s;
        (void) pthread_mutex_lock(&o->summaries_mutex);
        HASH_FIND_STR(o->summaries, id, s);
        if (s == NULL && (s = calloc(1, sizeof(*s))) != NULL) {
                memcpy(s->id, id, sizeof(s->id));
                HASH_ADD_STR(o->summaries, id, s);
        }
        if (s != NULL)
                s->summary = *summary;
        (void) pthread_mutex_unlock(&o->summaries_mutex);
}

void observer_index(struct observer *o, const struct segment *segment, struct index_summary *ret)
{
        const char *id = segment->id.bytes;
        if (recall_summary(o, id, ret))
                return;
        index_summary_read(o->dirfd, id, ret);
        remember_summary(o, id, ret);
}

bool observer_vector_position(struct observer *o, const struct collection *collection, uint64_t *ret)
{
        const struct segment *segment = collection->vector;
        if (segment == NULL)
                return false;
        if (segment->has_position || !segment->id_is_uuid) {
                *ret = segment->position;
                return segment->has_position;
        }
        struct index_summary summary;
        observer_index(o, segment, &summary);
        return vector_position(segment, &summary, ret);
}

struct tally_positions observer_positions(struct observer *o, const struct collection *collection)
{
        const struct segment *metadata = collection->metadata;
        struct tally_positions p = { 0 };
        p.has_vector = observer_vector_position(o, collection, &p.vector);
        p.has_metadata = metadata != NULL && metadata->has_position;
        p.metadata = p.has_metadata ? metadata->position : 0;
        return p;
}

bool observer_is_still(struct observer *o, const struct view *view)
{
        struct file_stamp now = file_stamp_at(o->dirfd, DB_FILE);
        return file_stamp_equal(&now, &view->database);
}
