/*
 * Directory trees: copied, removed, told apart. Whatever fails here ends the program: the harness itself must work.
 */
#ifndef TESTS_FAULTS_TREE_H
#define TESTS_FAULTS_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define TREE_PATH 4096

/* Prints what it was about, and exits. */
void give_up(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* "a/b"; ret has TREE_PATH bytes. Returns ret. */
char *tree_path(char *ret, const char *dir, const char *name);

void tree_copy(const char *from, const char *to);      /* with modes and times; `to` must not be there */
void tree_copy_file(const char *from, const char *to); /* with mode and times */
void tree_remove_all(const char *path);                /* it may be missing */
void tree_write(const char *path, const void *bytes, size_t size);

/* The bytes of a file, the caller's; false when there is none. */
bool tree_read(const char *path, uint8_t **ret, size_t *ret_size);

bool tree_is_empty(int dirfd);

/* A key of everything in it: names, modes, owners, sizes, bytes. Digits below .chromafs count as equal: they are times. */
uint64_t tree_key(const char *path);

/* The same of what `leave_out` (may be NULL) does not say of the entries of the top. */
uint64_t tree_key_without(const char *path, int (*leave_out)(const char *name));

/* A line "KIND PATH MODE OWNER:GROUP SIZE HASH" for each entry, sorted by path. `leave_out` (may be NULL) says which entries of the top don't
   count. */
void tree_list(FILE *out, const char *path, int (*leave_out)(const char *name));

#endif
