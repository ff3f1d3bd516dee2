/*
 * What an armed process has done to files since the last sync. Between power.c, which writes it, and power_fail.c, which undoes it.
 */
#ifndef TESTS_FAULTS_POWER_LOG_H
#define TESTS_FAULTS_POWER_LOG_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct power_bytes { /* of a file, that were written or cut off */
        ino_t file;
        off_t offset, size; /* size of the file before */
        uint8_t *old;       /* what was there from the offset on */
        size_t old_count;
        size_t written; /* how many were meant to be */
        bool synced;
};

enum power_change { POWER_MADE, POWER_REMOVED, POWER_REMOVED_DIR, POWER_RENAMED, POWER_EXCHANGED };

struct power_name {
        enum power_change change;
        int dir, to_dir; /* descriptors; to_dir of renames, else the same */
        ino_t dir_inode, to_dir_inode;
        char name[NAME_MAX + 1], to_name[NAME_MAX + 1];
        mode_t mode; /* of a directory that was removed */
        ino_t gone;  /* its number */
        bool kept;   /* the file that was removed or replaced is kept/<number of this entry> */
};

struct power_log {
        bool on;
        dev_t device;
        int keep;        /* descriptor of the folder for removed files */
        char root[4096]; /* all that counts is below */
        struct power_bytes *bytes;
        size_t byte_count, byte_size;
        struct power_name *names;
        size_t name_count, name_size, name_synced; /* the first ones are */
};

extern struct power_log power_log;

#endif
