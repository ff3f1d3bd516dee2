/*
 * The command line: chromafs [options] PERSIST_DIR MOUNTPOINT, with -o options as every FUSE program has them.
 */
#ifndef FS_OPTIONS_H
#define FS_OPTIONS_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <stdbool.h>

#include "ops/text.h"

struct options {
        char *persist_dir; /* as given; the caller resolves it */
        char *mountpoint;
        struct skipped {
                char *entry;      /* as given */
                struct text name; /* percent-decoded */
        } * skip;                 /* collections to leave out: those with the entry, and those with the name */
        size_t skip_count;
        bool privacy, read_only, allow_other;
        bool foreground, debug, help, version;
        struct fuse_args fuse; /* what is libfuse's own */
};

/* Parses. 0, or -EINVAL after one line on stderr. The caller clears *ret in every case. */
int options_parse(int argc, char **argv, struct options *ret);
void options_clear(struct options *options);

/* --help, on stdout. */
void options_usage(void);

#endif
