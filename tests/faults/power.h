/*
 * A machine that dies: what was not synced is gone, or there in part.
 *
 * - The bytes and the size of a file last from its next sync on; writes between two syncs are lost one by one, in any combination.
 * - Names (created, renamed, removed) last from the next sync of their directory on. They are lost from the last one backwards, as file
 *   systems with a journal of their metadata lose them: what was synced keeps all that came before it.
 * - A sync of a file does not make its name last. Modes, owners and times last at once: a simplification.
 * - The log is kept in memory from power_begin(true) on, and undone by power_fail() in the process that is about to die. What was removed or
 *   replaced is kept by a hard link in the directory that power_set_keep() names, on the same file system.
 */
#ifndef TESTS_FAULTS_POWER_H
#define TESTS_FAULTS_POWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Where removed files are kept: an empty directory. The caller keeps the path. */
void power_set_keep(const char *path);
void power_begin(bool on);

/* Told before the call is made. */
void power_writes(int fd, off_t offset, size_t n); /* offset -1: where the file is, or at its end */
void power_cuts(int fd, off_t size);
void power_syncs(int fd);
void power_syncs_all(void);
void power_opens(int dirfd, const char *path, int flags);
void power_makes(int dirfd, const char *path);
void power_removes(int dirfd, const char *path, int flags);
void power_renames(int from, const char *old, int to, const char *new, unsigned flags);

/* The machine dies. `some`: what was not synced may be there in part, as `seed` chooses; else nothing of it is. */
void power_fail(bool some, uint32_t seed);

#endif
