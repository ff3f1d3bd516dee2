/*
 * What the parts of the meter share (meter.c, meter_verify.c, meter_scan.c); nobody else includes it.
 */
#ifndef OPS_WAL_METER_PARTS_H
#define OPS_WAL_METER_PARTS_H

#include "ops/wal/meter.h"

struct meter {
        struct db *db;
        struct wal_source *source;
        struct wal_index *index;
        struct wal_progress *progress;
        struct error *e;

        uint64_t version; /* the database's data_version at the beginning of the round */
        bool started;     /* that is known */
        bool current;     /* the last transaction saw the same */
        int64_t end_ms;   /* when the transaction has to end */
        int64_t flush_ms; /* when the index has to be flushed */

        bool anchored;          /* `anchor` is known; otherwise the index is empty */
        struct wal_unit anchor; /* the first unit of the row with the greatest seq_id that is known */
        int64_t lowest;         /* seq_id that is known */
        bool shown;             /* the progress was set */

        struct wal_unit *pieces; /* of a large row, until it is whole */
        uint32_t count, room;
};

/* A read transaction. Between two of them the connection holds no lock. */
int meter_begin(struct meter *m);
void meter_end(struct meter *m);
bool meter_is_time_up(const struct meter *m);
void meter_extend(struct meter *m); /* once in a transaction: it may last as long again as it did so far, if that is longer */

/* What there is in a row's place. */
enum meter_row {
        METER_GONE,   /* nothing, or a row of another collection: the seq_id was used again */
        METER_THERE,  /* the row; *ret is it, and the source stands at it */
        METER_FOREIGN /* a row of this collection, with another content: rows don't change */
};

/* Looks up the row that begins with `unit`, inside a transaction. A meter_row, or a negative errno. */
int meter_look_up(struct meter *m, const struct wal_unit *unit, struct wal_row *ret);

/* The unit of one piece of a large row. */
int meter_measure_piece(struct meter *m, const struct wal_row *row, uint64_t key, uint32_t number, struct wal_unit *ret);

/* What the steps return, beside 0 and a negative errno. */
enum {
        METER_ANEW = 1, /* what is known can't be */
        METER_LOST      /* the anchor, or the row that was being read, has left: verify again */
};

/* Step 1 (meter_verify.c): drops what has left, and finds the anchor. */
int meter_verify(struct meter *m);

/* Step 2 (meter_scan.c): appends all rows behind the anchor. */
int meter_scan(struct meter *m);

#endif
