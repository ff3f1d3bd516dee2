/*
 * The state in an index_metadata.pickle, whichever of the two shapes it came in:
 *
 *   dimensionality         int or None; may be absent
 *   total_elements_added   int: labels handed out so far
 *   max_seq_id             int or None; may be absent (0.5.6 and later keep it in SQLite)
 *   id_to_label            {str: int}   every live id; labels are >= 1
 *   label_to_id            {int: str}   its inverse
 *   id_to_seq_id           {str: int}   Python's, complete; Rust's is empty, or what Python once left, live ids or not
 *
 * Other keys are of no interest, whatever they hold. A key that repeats is an error, in the state and in each of the three dicts: no
 * writer makes one, and readers would differ in which of the two counts.
 *
 * Everything is compared by sorting, never by a look-up in a hash table: the time is bounded by the sizes alone. Labels sort as numbers;
 * once both id_to_label and label_to_id are in the order of labels, the one is the other's inverse if and only if they agree line by
 * line. Ids are sorted by pickle_ids.c.
 */
#include "ops/pickle.h"

#include <errno.h>
#include <string.h>

#include "ops/file.h"
#include "ops/key_sort.h"
#include "ops/pickle_ids.h"
#include "ops/pickle_machine.h"

#define PIECE_SIZE ((size_t) 4 << 20)

#define NO_ENTRY UINT64_MAX

struct decoder {
        const char *bytes;
        const struct pickle_tree *tree;
        const struct pickle_dict *id_to_label, *label_to_id, *id_to_seq_id;
        struct index_metadata *result;
        struct key_index *order, *scratch; /* room for the largest of the three dicts */
        uint64_t *rank; /* number of a pair of id_to_label -> number of its entry in the result, NO_ENTRY: it has none */
        bool agreed_only;
        const struct pickle_watch *watch;
        struct error *e;
};

static int bad_at(const struct decoder *d, const struct pickle_value *v, const char *what)
{
        return error_set(d->e, EILSEQ, PICKLE_FILE ": byte %u: %s", v->at, what);
}

static int no_memory(const struct decoder *d)
{
        return error_set(d->e, ENOMEM, "no memory for " PICKLE_FILE);
}

/* ---- the state's keys ---- */

/* The value of a key, or NULL when it is absent. -EILSEQ when it is there twice. */
static int find_key(const struct decoder *d, const struct pickle_dict *state, const char *name, const struct pickle_value **ret)
{
        const struct pickle_value *found = NULL;
        size_t len = strlen(name);
        for (size_t i = 0; i < state->count; i++) {
                const struct pickle_value *key = &state->pairs[i].key;
                if (key->kind != PICKLE_STRING || key->string.len != len || memcmp(d->bytes + key->at, name, len) != 0)
                        continue;
                if (found != NULL)
                        return error_set(d->e, EILSEQ, PICKLE_FILE ": byte %u: a second %s", key->at, name);
                found = &state->pairs[i].value;
        }
        *ret = found;
        return 0;
}

static int find_count(const struct decoder *d, const struct pickle_dict *state, const char *name, bool *ret_has, uint64_t *ret)
{
        const struct pickle_value *v;
        int r = find_key(d, state, name, &v);
        if (r < 0)
                return r;
        *ret_has = v != NULL && v->kind != PICKLE_NONE;
        if (!*ret_has)
                return 0;
        if (v->kind != PICKLE_INTEGER)
                return error_set(d->e, EILSEQ, PICKLE_FILE ": byte %u: %s is %s", v->at, name, pickle_kind_name(v->kind));
        *ret = v->integer;
        return 0;
}

static int find_dict(const struct decoder *d, const struct pickle_dict *state, const char *name, const struct pickle_dict **ret)
{
        const struct pickle_value *v;
        int r = find_key(d, state, name, &v);
        if (r < 0)
                return r;
        if (v == NULL)
                return error_set(d->e, EILSEQ, PICKLE_FILE ": byte 0: no %s in the state", name);
        if (v->kind != PICKLE_DICTIONARY)
                return error_set(d->e, EILSEQ, PICKLE_FILE ": byte %u: %s is %s", v->at, name, pickle_kind_name(v->kind));
        *ret = pickle_tree_dict(d->tree, v);
        return 0;
}

static int read_state(struct decoder *d)
{
        bool instance, has_total;
        const struct pickle_dict *state = pickle_tree_state(d->tree, &instance);
        struct index_metadata *m = d->result;
        m->shape = instance ? PICKLE_INSTANCE : PICKLE_DICT;
        int r = find_count(d, state, "dimensionality", &m->has_dimensionality, &m->dimensionality);
        if (r == 0)
                r = find_count(d, state, "total_elements_added", &has_total, &m->total_elements_added);
        if (r == 0 && !has_total)
                r = error_set(d->e, EILSEQ, PICKLE_FILE ": byte 0: no total_elements_added in the state");
        if (r == 0)
                r = find_count(d, state, "max_seq_id", &m->has_max_seq_id, &m->max_seq_id);
        if (r == 0)
                r = find_dict(d, state, "id_to_label", &d->id_to_label);
        if (r == 0)
                r = find_dict(d, state, "label_to_id", &d->label_to_id);
        if (r == 0)
                r = find_dict(d, state, "id_to_seq_id", &d->id_to_seq_id);
        return r;
}

/* Every key and every value of a dict has to be of one kind. */
static int check_kinds(const struct decoder *d, const struct pickle_dict *dict, const char *name, uint32_t key, uint32_t value)
{
        for (size_t i = 0; i < dict->count; i++) {
                const struct pickle_pair *pair = &dict->pairs[i];
                const struct pickle_value *wrong = pair->key.kind != key       ? &pair->key
                                                   : pair->value.kind != value ? &pair->value
                                                                               : NULL;
                if (wrong != NULL)
                        return error_set(d->e, EILSEQ, PICKLE_FILE ": byte %u: %s has %s where %s belongs", wrong->at, name,
                                         pickle_kind_name(wrong->kind), pickle_kind_name(wrong == &pair->key ? key : value));
        }
        return 0;
}

/* ---- labels ---- */

/* `order` becomes the numbers of the pairs in the order of their labels, which are keys or values and >= 1. */
static int order_labels(const struct decoder *d, const struct pickle_dict *dict, bool label_is_key, struct key_index *order,
                        struct key_index *scratch)
{
        for (size_t i = 0; i < dict->count; i++) {
                const struct pickle_value *label = label_is_key ? &dict->pairs[i].key : &dict->pairs[i].value;
                if (label->integer == 0)
                        return bad_at(d, label, "label 0, where labels begin at 1");
                order[i] = (struct key_index){ .key = label->integer, .index = i };
        }
        key_sort(order, scratch, dict->count);
        return 0;
}

/* The same to d->order, and labels differ. */
static int sort_labels(const struct decoder *d, const struct pickle_dict *dict, bool label_is_key)
{
        const struct key_index *order = d->order;
        int r = order_labels(d, dict, label_is_key, d->order, d->scratch);
        if (r < 0)
                return r;
        for (size_t i = 1; i < dict->count; i++)
                if (order[i].key == order[i - 1].key)
                        return error_set(d->e, EILSEQ, PICKLE_FILE ": byte %u: label %llu is given twice",
                                         label_is_key ? dict->pairs[order[i].index].key.at : dict->pairs[order[i].index].value.at,
                                         (unsigned long long) order[i].key);
        return 0;
}

static int make_entries(struct decoder *d)
{
        const struct pickle_dict *dict = d->id_to_label;
        const struct key_index *order = d->order;
        d->result->entries = calloc(dict->count + 1, sizeof(*d->result->entries));
        if (d->result->entries == NULL)
                return no_memory(d);
        int r = sort_labels(d, dict, false);
        if (r < 0)
                return r;
        for (size_t i = 0; i < dict->count; i++) {
                const struct pickle_value *id = &dict->pairs[order[i].index].key;
                d->result->entries[i] =
                        (struct index_entry){ .label = order[i].key, .id = d->bytes + id->at, .id_len = id->string.len };
                d->rank[order[i].index] = i;
        }
        d->result->count = dict->count;
        return 0;
}

/* One string is used in both dicts as a rule, so its place decides, and its bytes are looked at only when places differ. */
static bool entry_has_id(const struct decoder *d, const struct index_entry *entry, const struct pickle_value *id)
{
        const char *bytes = d->bytes + id->at;
        return entry->id_len == id->string.len && (entry->id == bytes || memcmp(entry->id, bytes, entry->id_len) == 0);
}

static int check_inverse(const struct decoder *d)
{
        const struct pickle_dict *dict = d->label_to_id;
        if (dict->count != d->result->count)
                return error_set(d->e, EILSEQ, PICKLE_FILE ": byte 0: id_to_label has %zu ids, label_to_id %zu", d->result->count,
                                 dict->count);
        const struct key_index *order = d->order;
        int r = sort_labels(d, dict, true);
        for (size_t i = 0; r == 0 && i < dict->count; i++) {
                const struct pickle_pair *pair = &dict->pairs[order[i].index];
                const struct index_entry *entry = &d->result->entries[i];
                if (entry->label != order[i].key || !entry_has_id(d, entry, &pair->value))
                        r = error_set(d->e, EILSEQ,
                                      PICKLE_FILE ": byte %u: label %llu of label_to_id has another id in id_to_label",
                                      pair->value.at, (unsigned long long) order[i].key);
        }
        return r;
}

/* ---- labels that the two dicts do not agree on ---- */

static bool is_owner(const struct decoder *d, const struct pickle_value *id, const struct key_index *owners, size_t count,
                     size_t at, uint64_t label)
{
        if (at >= count || owners[at].key != label || (at + 1 < count && owners[at + 1].key == label))
                return false;
        const struct pickle_value *owner = &d->label_to_id->pairs[owners[at].index].value;
        return owner->string.len == id->string.len &&
               (owner->at == id->at || memcmp(d->bytes + owner->at, d->bytes + id->at, id->string.len) == 0);
}

/* Where labels were handed out a second time, several ids have one: it is that of the id that label_to_id has, which was given it last. Ids differ, so at most one is. */
static int take_agreed(struct decoder *d)
{
        const struct pickle_dict *ids = d->id_to_label, *labels = d->label_to_id;
        struct index_metadata *m = d->result;
        CLEANUP(free)
        struct key_index *owners = reallocarray(NULL, labels->count + 1, 2 * sizeof(*owners));
        m->entries = calloc(ids->count + 1, sizeof(*m->entries));
        if (owners == NULL || m->entries == NULL)
                return no_memory(d);
        int r = order_labels(d, ids, false, d->order, d->scratch);
        if (r == 0)
                r = order_labels(d, labels, true, owners, owners + labels->count);
        for (size_t i = 0, j = 0; r == 0 && i < ids->count; i++) {
                const struct pickle_value *id = &ids->pairs[d->order[i].index].key;
                uint64_t label = d->order[i].key;
                while (j < labels->count && owners[j].key < label)
                        j++;
                bool agreed = is_owner(d, id, owners, labels->count, j, label);
                d->rank[d->order[i].index] = agreed ? m->count : NO_ENTRY;
                if (agreed)
                        m->entries[m->count++] =
                                (struct index_entry){ .label = label, .id = d->bytes + id->at, .id_len = id->string.len };
        }
        m->disagreeing = ids->count - m->count;
        return r;
}

/* ---- seq_ids ---- */

static void join(const struct decoder *d, size_t pair, uint64_t seq_id)
{
        if (d->rank[pair] != NO_ENTRY)
                d->result->entries[d->rank[pair]].seq_id = seq_id;
}

/* Python adds an id to both dicts at once, and writes it once: the two have the same strings in the same order, and nothing to search. */
static bool join_same_order(const struct decoder *d)
{
        const struct pickle_dict *ids = d->id_to_label, *seq_ids = d->id_to_seq_id;
        if (ids->count != seq_ids->count)
                return false;
        for (size_t i = 0; i < ids->count; i++)
                if (ids->pairs[i].key.at != seq_ids->pairs[i].key.at)
                        return false;
        for (size_t i = 0; i < ids->count; i++)
                join(d, i, seq_ids->pairs[i].value.integer);
        d->result->seq_ids_complete = true;
        return true;
}

/* Gives each entry its seq_id. Ids without an entry are left over from deletions by 1.x, which does not keep this dict. */
static int join_seq_ids(const struct decoder *d, const struct pickle_id *live)
{
        if (join_same_order(d))
                return 0;
        const struct pickle_dict *dict = d->id_to_seq_id;
        CLEANUP(free)
        struct pickle_id *ids = NULL;
        int r = pickle_ids_sort(d->bytes, dict, d->order, d->scratch, &ids, d->e);
        if (r < 0)
                return r;
        size_t i = 0, j = 0, joined = 0;
        while (i < d->id_to_label->count && j < dict->count) {
                int order = pickle_id_compare(&live[i], &ids[j]);
                if (order == 0) {
                        join(d, live[i].pair, dict->pairs[ids[j].pair].value.integer);
                        joined++;
                }
                i += order <= 0;
                j += order >= 0;
        }
        d->result->seq_ids_complete = joined == d->id_to_label->count;
        return 0;
}

/* ---- the whole ---- */

static int check_all_kinds(const struct decoder *d)
{
        int r = check_kinds(d, d->id_to_label, "id_to_label", PICKLE_STRING, PICKLE_INTEGER);
        if (r == 0)
                r = check_kinds(d, d->label_to_id, "label_to_id", PICKLE_INTEGER, PICKLE_STRING);
        if (r == 0)
                r = check_kinds(d, d->id_to_seq_id, "id_to_seq_id", PICKLE_STRING, PICKLE_INTEGER);
        return r;
}

/* Ids are known to differ before they are compared with label_to_id: what bounds the bytes that are compared there. */
static int join_dicts(struct decoder *d)
{
        CLEANUP(free)
        struct pickle_id *live = NULL;
        int r = d->agreed_only ? 0 : make_entries(d);
        if (r == 0)
                r = pickle_watch_ask(d->watch, d->e);
        if (r == 0)
                r = pickle_ids_sort(d->bytes, d->id_to_label, d->order, d->scratch, &live, d->e);
        if (r == 0 && d->agreed_only)
                r = take_agreed(d); /* once no id is there twice, which it would compare with each other */
        if (r == 0)
                r = pickle_watch_ask(d->watch, d->e);
        if (r == 0 && !d->agreed_only)
                r = check_inverse(d);
        if (r == 0)
                r = pickle_watch_ask(d->watch, d->e);
        if (r == 0)
                r = join_seq_ids(d, live);
        return r;
}

static int decode_state(struct decoder *d)
{
        int r = read_state(d);
        if (r == 0)
                r = check_all_kinds(d);
        if (r < 0)
                return r;
        if (d->id_to_label == NULL || d->label_to_id == NULL || d->id_to_seq_id == NULL)
                return error_set(d->e, EILSEQ, "a map is missing"); /* read_state() has said so before */
        size_t most = d->id_to_label->count;
        most = d->label_to_id->count > most ? d->label_to_id->count : most;
        most = d->id_to_seq_id->count > most ? d->id_to_seq_id->count : most;
        CLEANUP(free)
        struct key_index *pairs = reallocarray(NULL, most + 1, 2 * sizeof(*pairs));
        CLEANUP(free)
        uint64_t *rank = calloc(d->id_to_label->count + 1, sizeof(*rank));
        if (pairs == NULL || rank == NULL)
                return no_memory(d);
        d->order = pairs;
        d->scratch = pairs + most;
        d->rank = rank;
        return join_dicts(d);
}

static int decode(char *bytes, size_t len, bool agreed_only, const struct pickle_watch *watch, struct index_metadata **ret,
                  struct error *e)
{
        CLEANUP(index_metadata_free)
        struct index_metadata *m = calloc(1, sizeof(*m));
        if (m == NULL) {
                free(bytes);
                return error_set(e, ENOMEM, "no memory for " PICKLE_FILE);
        }
        m->bytes = bytes;
        CLEANUP(pickle_tree_free)
        struct pickle_tree *tree = NULL;
        int r = pickle_tree_build(bytes, len, watch, &tree, e);
        if (r < 0)
                return r;
        struct decoder d = { .bytes = bytes, .tree = tree, .result = m, .watch = watch, .agreed_only = agreed_only, .e = e };
        r = decode_state(&d);
        if (r < 0)
                return r;
        *ret = TAKE(m);
        return 0;
}

int index_metadata_decode(char *bytes, size_t len, struct index_metadata **ret, struct error *e)
{
        return decode(bytes, len, false, &(struct pickle_watch){ NULL, NULL }, ret, e);
}

/* The two ends of a file: what is no pickle, a hole of gigabytes for one, is refused before memory is taken for it. */
static int check_ends(int fd, uint64_t size, struct error *e)
{
        char first = 0, last = 0;
        int r = file_pread_exact(fd, &first, 1, 0, PICKLE_FILE, e);
        if (r == 0)
                r = file_pread_exact(fd, &last, 1, size - 1, PICKLE_FILE, e);
        if (r == 0 && (first != '\x80' || last != '.'))
                r = error_set(e, EILSEQ, PICKLE_FILE ": byte 0: no pickle, or one that was cut");
        return r;
}

static int read_bytes(int fd, char *bytes, size_t size, const struct pickle_watch *watch, struct error *e)
{
        int r = 0;
        for (size_t done = 0; r == 0 && done < size; done += PIECE_SIZE) {
                size_t piece = size - done < PIECE_SIZE ? size - done : PIECE_SIZE;
                r = pickle_watch_ask(watch, e);
                if (r == 0)
                        r = file_pread_exact(fd, bytes + done, piece, done, PICKLE_FILE, e);
        }
        return r;
}

static int read_open(int fd, bool agreed_only, const struct pickle_watch *watch, struct index_metadata **ret, struct error *e)
{
        struct stat st;
        if (fstat(fd, &st) < 0) {
                int err = errno;
                return error_set(e, err, PICKLE_FILE " can't be examined: %s", strerror(err));
        }
        if (st.st_size > UINT32_MAX)
                return error_set(e, EFBIG, PICKLE_FILE " has %lld bytes, more than 4 GiB", (long long) st.st_size);
        size_t size = (size_t) st.st_size;
        if (size == 0)
                return error_set(e, EILSEQ, PICKLE_FILE ": byte 0: the file is empty");
        int r = check_ends(fd, size, e);
        if (r < 0)
                return r;
        CLEANUP(free)
        char *bytes = malloc(size);
        if (bytes == NULL)
                return error_set(e, ENOMEM, "no memory for " PICKLE_FILE ", %zu bytes", size);
        r = read_bytes(fd, bytes, size, watch, e);
        return r < 0 ? r : decode(TAKE(bytes), size, agreed_only, watch, ret, e);
}

int index_metadata_read(int fd, db_cancel_fn *cancelled, void *context, struct index_metadata **ret, struct error *e)
{
        return read_open(fd, false, &(struct pickle_watch){ cancelled, context }, ret, e);
}

int index_metadata_read_agreed(int fd, db_cancel_fn *cancelled, void *context, struct index_metadata **ret, struct error *e)
{
        return read_open(fd, true, &(struct pickle_watch){ cancelled, context }, ret, e);
}

const struct index_entry *index_metadata_by_label(const struct index_metadata *m, uint64_t label)
{
        /* Without deletions the entry of label n is the nth; with them it stands before that. */
        size_t low = 0, high = label < m->count ? (size_t) label : m->count;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (m->entries[middle].label < label)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < m->count && m->entries[low].label == label ? &m->entries[low] : NULL;
}

struct index_metadata *index_metadata_free(struct index_metadata *m)
{
        if (m != NULL) {
                free(m->entries);
                free(m->bytes);
        }
        free(m);
        return NULL;
}
