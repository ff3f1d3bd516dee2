/*
 * What switch.c and switch_tidy.c share: the note, and what SQLite says of it.
 */
#ifndef OPS_COMMIT_SWITCH_PARTS_H
#define OPS_COMMIT_SWITCH_PARTS_H

#include "ops/operation/state_dir.h"

#define SEGMENT_ID_SIZE 37
#define NOTE_SUFFIX ".json"
#define NOTE_NAME_SIZE (SEGMENT_ID_SIZE + sizeof(NOTE_SUFFIX) - 1)

struct switch_note {
        char id[SEGMENT_ID_SIZE];  /* the new one */
        char old[SEGMENT_ID_SIZE]; /* the one that it replaces */
};

void switch_note_name(const struct switch_note *note, char ret[NOTE_NAME_SIZE]);

/* Makes stage/<new id>.json, synced. A failure leaves none. */
int switch_note_write(struct state_dir *state, const struct switch_note *note, struct error *e);

/* Reads it. 1, 0 when it is none of ours (torn, for one), or a negative errno. */
int switch_note_read(const struct state_dir *state, const char *name, struct switch_note *ret, struct error *e);

/* Removes it, synced. */
int switch_note_remove(struct state_dir *state, const struct switch_note *note, struct error *e);

/* Whether the file is the one that was made in the new directory, as far as that can be told. -EPERM when it is another one. */
int switch_check_made(int dirfd, int fd, const char *name, struct error *e);

/* Whether the new file may have the attributes of this one. -EPERM when it may not. */
int switch_check_model(int fd, const char *name, struct error *e);

struct switch_ids { /* which of the two table `segments` has */
        bool has_new, has_old;
};

/* Reads the database anew, as whoever opens it next will find it. Not while this process has it open for writing. */
int switch_ids_read(int persist_fd, const struct switch_note *note, struct switch_ids *ret, struct error *e);

/* Before the directory that a COMMIT made useless is moved: a journal that is gone, but whose going is not on the disk, would come back with the power, and bring the old id with it. */
int switch_sync(int persist_fd, struct error *e);

/* Whether the directory is there: 1, 0, or a failure, after which nobody may take it for gone. */
int switch_dir_present(int persist_fd, const char *id, struct error *e);

#endif
