/*
 * index_metadata.pickle, in the two shapes of which every Chroma loads one (FORMAT 6.6): no memo, no frames, opcodes that all readers know.
 *
 *   PICKLE_INSTANCE   PROTO 2, GLOBAL of the class PersistentData, EMPTY_TUPLE, NEWOBJ, the state, BUILD, STOP
 *   PICKLE_DICT       PROTO 3, the state, STOP
 *   state             EMPTY_DICT MARK (key value)* SETITEMS
 *   a dict in it      EMPTY_DICT, then MARK (key value)* SETITEMS for each 1000 pairs, as both writers of Chroma do; none when empty
 *   numbers           BININT up to 2^31 - 1; above that LONG1 in 8 bytes
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "ops/hnsw/save.h"
#include "ops/hnsw/save_file.h"
#include "ops/pickle_machine.h"

#define CHUNK 1000u
#define CLASS "cchromadb.segment.impl.vector.local_persistent_hnsw\nPersistentData\n"

struct writer {
        struct save_file file;
        uint64_t most; /* the largest number that the readers of the shape take */
        int code;      /* the first failure; nothing is written after it */
        struct error *e;
};

static void put(struct writer *w, const void *bytes, size_t len)
{
        if (w->code == 0)
                w->code = save_file_put(&w->file, bytes, len, w->e);
}

static void put_opcode(struct writer *w, char opcode)
{
        put(w, &opcode, 1);
}

static void put_string(struct writer *w, const char *text, size_t len)
{
        if (len > UINT32_MAX) {
                w->code = error_set(w->e, EOVERFLOW, PICKLE_FILE " can't hold an id of %zu bytes", len);
                return;
        }
        uint32_t size = htole32((uint32_t) len);
        put_opcode(w, 'X');
        put(w, &size, sizeof(size));
        put(w, text, len);
}

static void put_number(struct writer *w, uint64_t value, uint64_t most)
{
        uint64_t bytes = htole64(value); /* whose first four are those of a small number */
        if (w->code == 0 && value > most)
                w->code = error_set(w->e, EOVERFLOW, PICKLE_FILE " can't hold the number %llu", (unsigned long long) value);
        if (value <= INT32_MAX) {
                put_opcode(w, 'J');
                put(w, &bytes, 4);
        } else {
                put(w, "\x8a\x08", 2);
                put(w, &bytes, 8);
        }
}

static void put_key(struct writer *w, const char *key)
{
        put_string(w, key, strlen(key));
}

static void put_optional(struct writer *w, const char *key, bool has, uint64_t value)
{
        put_key(w, key);
        if (has)
                put_number(w, value, INT64_MAX);
        else
                put_opcode(w, 'N');
}

/* --- dicts --- */

static void put_label(struct writer *w, const struct index_entry *entry)
{
        put_string(w, entry->id, entry->id_len);
        put_number(w, entry->label, w->most);
}

static void put_id(struct writer *w, const struct index_entry *entry)
{
        put_number(w, entry->label, w->most);
        put_string(w, entry->id, entry->id_len);
}

static void put_seq_id(struct writer *w, const struct index_entry *entry)
{
        put_string(w, entry->id, entry->id_len);
        put_number(w, entry->seq_id, w->most);
}

typedef void put_pair_fn(struct writer *w, const struct index_entry *entry);

static void put_dict(struct writer *w, const char *key, const struct index_metadata *m, put_pair_fn *put_pair)
{
        size_t count = 0;
        put_key(w, key);
        put_opcode(w, '}');
        for (size_t i = 0; i < m->count && w->code == 0; i++) {
                if (put_pair == put_seq_id && m->entries[i].seq_id == 0)
                        continue;
                if (count > 0 && count % CHUNK == 0)
                        put_opcode(w, 'u');
                if (count % CHUNK == 0)
                        put_opcode(w, '(');
                put_pair(w, &m->entries[i]);
                count++;
        }
        if (count > 0)
                put_opcode(w, 'u');
}

/* --- the whole --- */

/* A position that is absent is no key for Python (0.5.6 and later, which keeps it elsewhere), and None for Rust. */
static void put_state(struct writer *w, const struct index_metadata *m, enum pickle_shape shape)
{
        put(w, "}(", 2);
        put_optional(w, "dimensionality", m->has_dimensionality, m->dimensionality);
        put_key(w, "total_elements_added");
        put_number(w, m->total_elements_added, w->most);
        if (m->has_max_seq_id || shape == PICKLE_DICT)
                put_optional(w, "max_seq_id", m->has_max_seq_id, m->max_seq_id);
        put_dict(w, "id_to_label", m, put_label);
        put_dict(w, "label_to_id", m, put_id);
        put_dict(w, "id_to_seq_id", m, put_seq_id);
        put_opcode(w, 'u');
}

static void put_pickle(struct writer *w, const struct index_metadata *m, enum pickle_shape shape)
{
        if (shape == PICKLE_DICT) {
                put(w, "\x80\x03", 2);
                put_state(w, m, shape);
        } else {
                put(w, "\x80\x02" CLASS ")\x81", sizeof("\x80\x02" CLASS ")\x81") - 1);
                put_state(w, m, shape);
                put_opcode(w, 'b');
        }
        put_opcode(w, '.');
}

int index_metadata_write(const struct index_metadata *m, enum pickle_shape shape, int dirfd, db_cancel_fn *cancelled, void *context,
                         struct error *e)
{
        struct writer w = { .most = shape == PICKLE_DICT ? UINT32_MAX : INT64_MAX, .e = e };
        w.code = save_file_open(&w.file, dirfd, PICKLE_FILE, cancelled, context, e);
        put_pickle(&w, m, shape);
        if (w.code == 0 && w.file.offset + w.file.used > UINT32_MAX)
                w.code = error_set(e, EFBIG, PICKLE_FILE " would have more than 4 GiB");
        if (w.code == 0)
                w.code = save_file_finish(&w.file, e);
        save_file_close(&w.file);
        return w.code;
}
