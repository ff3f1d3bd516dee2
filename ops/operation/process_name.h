/*
 * How a sentence names a process: `pid 4800 (python3)`, the same wherever someone is told who is in the way.
 */
#ifndef OPS_OPERATION_PROCESS_NAME_H
#define OPS_OPERATION_PROCESS_NAME_H

#include <sys/types.h>

#define PROCESS_NAME_SIZE 64
#define PROCESS_SHOWN_SIZE (PROCESS_NAME_SIZE + 24)

/* The name that the process whose directory of /proc is pid_fd has given itself: its comm, without what can't be shown; "" when it is not to be had. */
void process_name(int pid_fd, char name[PROCESS_NAME_SIZE]);

/* Writes the words, without the name where that is "". Returns `shown`. */
const char *process_show(pid_t pid, const char *name, char shown[PROCESS_SHOWN_SIZE]);

#endif
