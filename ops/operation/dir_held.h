/*
 * Whether someone has a file of an index open for writing.
 */
#ifndef OPS_OPERATION_DIR_HELD_H
#define OPS_OPERATION_DIR_HELD_H

enum dir_held { DIR_HELD_NO, DIR_HELD_YES, DIR_HELD_UNKNOWN };

/* The five files of the index in the directory `name` of persist_fd; a directory that is not there is held by nobody. UNKNOWN: the kernel does not tell (no lease is granted on another
   user's file, nor by every file system), or it can't be opened. */
enum dir_held dir_held(int persist_fd, const char *name);

#endif
