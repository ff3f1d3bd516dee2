/*
 * Where the mount keeps what it may forget: $XDG_CACHE_HOME/chromafs, ~/.cache/chromafs, or /var/cache/chromafs for root without a home.
 */
#ifndef FS_CACHE_H
#define FS_CACHE_H

#include <stdint.h>

#define CACHE_NAME_SIZE 64

/* Opens the directory, made when it is not there (0700). Returns a descriptor that the caller closes, or a negative errno: there is none that is ours
   alone, or it lies in the persist directory. */
int cache_open(const char *persist_path);

/* The name of a persist directory's file in it, and a number that tells persist directories apart. */
void cache_name(const char *persist_path, char ret_name[CACHE_NAME_SIZE], uint64_t *ret_subject);

#endif
