/* What ops/observer.c and ops/measure.c share. */
#ifndef OPS_OBSERVER_INTERNAL_H
#define OPS_OBSERVER_INTERNAL_H

#include <pthread.h>

#include "ops/observer.h"

struct summary_entry;

struct observer {
        int dirfd;
        pthread_mutex_t mutex; /* of db, view, detail and failure */
        struct db *db;
        struct view *view;
        struct detail_result *detail; /* the last one, or NULL */
        uint64_t generations;
        int64_t failure_began_ms; /* when the last attempt that failed began: who asked before that shares its failure */
        struct error failure;
        pthread_mutex_t summaries_mutex;
        struct summary_entry *summaries; /* uthash by segment id */
        struct background *background;
        struct db *measuring_db;      /* of the background thread alone, like the next */
        uint64_t measured_generation; /* of the view that it was opened for */
};

/* Differs whenever the files do. */
uint64_t stamps_state(const struct index_stamps *stamps);

#endif
