/*
 * Whether another process has a persist directory open for writing.
 *
 * - A read lease (F_SETLEASE) on chroma.sqlite3 and on the files of the vector segments sees every writer on this kernel, other users' and
 *   containers' too. It can be had by the files' owner and root, on file systems that have leases. FORMAT 10: an idle Chroma holds no lock, but keeps the
 *   files open for writing.
 * - /proc/<pid>/fd and fdinfo name writers, where they may be read.
 * - Only descriptors that are open for writing count; our own readers never do.
 * - Call it before this process opens the database for writing, and while it has no connection to it: the descriptors that it opens and closes
 *   would drop SQLite's locks.
 * - A lease counts this process's own descriptors too: have none open for writing. In /proc they don't count.
 * - Not seen: a segment's file that is reached through a symbolic link. Chroma keeps chroma.sqlite3 open as well.
 * - Hosts that share the directory over NFS stay invisible.
 */
#ifndef OPS_OPERATION_GUARD_H
#define OPS_OPERATION_GUARD_H

#include <stdbool.h>
#include <sys/types.h>

#include "ops/error.h"
#include "ops/operation/process_name.h"

struct guard_finding {
        bool writer;                     /* someone has it open for writing */
        bool blind;                      /* no writer was found, but neither detector could tell for every file */
        pid_t pid;                       /* 0: unknown */
        char command[PROCESS_NAME_SIZE]; /* its comm, "" when unknown */
        char file[64];                   /* which file: "chroma.sqlite3", or "<uuid>/header.bin" */
};

/* Looks at chroma.sqlite3, its journal, and the index files of every directory with a UUID's name. 0, or a failure of looking at all. Takes some microseconds a file. */
int guard_look(int persist_fd, struct guard_finding *ret, struct error *e);

/* As an operation needs it: 0 when nobody writes; -EBUSY with the sentence when someone does, or when nobody can tell (which then says that force=1 goes on). */
int guard_check(int persist_fd, struct error *e);

#endif
