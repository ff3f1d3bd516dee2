#include "fs/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/entry.h"

enum option_key { KEY_RO, KEY_ALLOW_OTHER, KEY_SKIP, KEY_PRIVACY, KEY_HELP, KEY_VERSION, KEY_FOREGROUND, KEY_DEBUG, KEY_IGNORED };

/* libfuse's FUSE_OPT_KEY, without its implicit conversion. */
#define OPTION(template, key)                                                                                                      \
        {                                                                                                                          \
                (template), (unsigned long) -1U, (key)                                                                             \
        }

static const struct fuse_opt option_spec[] = {
        OPTION("ro", KEY_RO),
        OPTION("allow_other", KEY_ALLOW_OTHER),
        OPTION("skip=", KEY_SKIP),
        OPTION("privacy", KEY_PRIVACY),
        OPTION("-h", KEY_HELP),
        OPTION("--help", KEY_HELP),
        OPTION("-V", KEY_VERSION),
        OPTION("--version", KEY_VERSION),
        OPTION("-f", KEY_FOREGROUND),
        OPTION("-d", KEY_DEBUG),
        OPTION("debug", KEY_DEBUG),
        OPTION("rw", KEY_IGNORED), /* what mount(8) hands on and means nothing here */
        OPTION("auto", KEY_IGNORED),
        OPTION("noauto", KEY_IGNORED),
        OPTION("defaults", KEY_IGNORED),
        OPTION("_netdev", KEY_IGNORED),
        OPTION("nofail", KEY_IGNORED),
        FUSE_OPT_END,
};

static int usage_error(const char *what, const char *wrong)
{
        (void) fprintf(stderr, "chromafs: %s%s; chromafs --help says more\n", what, wrong);
        return -1;
}

static int add_skipped_one(struct options *o, const char *given)
{
        struct skipped *more = reallocarray(o->skip, o->skip_count + 1, sizeof(*more));
        if (more == NULL)
                return -1;
        o->skip = more;
        struct skipped *s = &more[o->skip_count];
        *s = (struct skipped){ .entry = strdup(given), .name.bytes = strdup(given) };
        o->skip_count++;
        if (s->entry == NULL || s->name.bytes == NULL)
                return -1;
        if (!entry_decode(s->name.bytes, &s->name.len) || s->name.len == 0)
                return usage_error("this is no name to skip (write %3A for ':' and %25 for '%'): ", given);
        return 0;
}

static int add_skipped(struct options *o, const char *names)
{
        char *copy = strdup(names), *rest = copy;
        int r = copy != NULL ? 0 : -1;
        for (char *name; r == 0 && (name = strsep(&rest, ":")) != NULL;)
                r = add_skipped_one(o, name);
        free(copy);
        return r;
}

static int take_argument(struct options *o, const char *argument)
{
        char **place = o->persist_dir == NULL ? &o->persist_dir : &o->mountpoint;
        if (*place != NULL)
                return usage_error("one argument too many: ", argument);
        *place = strdup(argument);
        return *place != NULL ? 0 : -1;
}

/* 0: taken; 1: libfuse's own; -1: wrong. */
static int take_option(void *data, const char *argument, int key, struct fuse_args *out)
{
        struct options *o = data;
        (void) out;
        switch (key) {
        case KEY_RO:
                o->read_only = true;
                return 1;
        case KEY_ALLOW_OTHER:
                o->allow_other = true;
                return 1;
        case KEY_SKIP:
                return add_skipped(o, strchr(argument, '=') + 1);
        case KEY_PRIVACY:
                o->privacy = true;
                return 0;
        case KEY_HELP:
                o->help = true;
                return 0;
        case KEY_VERSION:
                o->version = true;
                return 0;
        case KEY_FOREGROUND:
                o->foreground = true;
                return 0;
        case KEY_DEBUG:
                o->debug = o->foreground = true;
                return 1;
        case KEY_IGNORED:
                return 0;
        case FUSE_OPT_KEY_NONOPT:
                return take_argument(o, argument);
        default:
                return argument[0] == '-' ? usage_error("this is no option: ", argument) : 1;
        }
}

int options_parse(int argc, char **argv, struct options *ret)
{
        *ret = (struct options){ .fuse = FUSE_ARGS_INIT(0, NULL) };
        struct fuse_args given = FUSE_ARGS_INIT(argc, argv);
        int r = fuse_opt_parse(&given, ret, option_spec, take_option);
        ret->fuse = given;
        if (r < 0)
                return -EINVAL;
        if (ret->help || ret->version)
                return 0;
        if (ret->persist_dir == NULL)
                return usage_error("a persist directory and a mount point are needed", ""), -EINVAL;
        if (ret->mountpoint == NULL)
                return usage_error("a mount point is needed behind the persist directory", ""), -EINVAL;
        return 0;
}

void options_clear(struct options *options)
{
        for (size_t i = 0; i < options->skip_count; i++) {
                free(options->skip[i].entry);
                free(options->skip[i].name.bytes);
        }
        free(options->skip);
        free(options->persist_dir);
        free(options->mountpoint);
        fuse_opt_free_args(&options->fuse);
}

void options_usage(void)
{
        (void) printf("Usage: chromafs [options] PERSIST_DIR MOUNTPOINT\n"
                      "\n"
                      "Mounts the persist directory of a local Chroma vector database (0.4.0 to 1.5.9) as a\n"
                      "tree of files that say what is in it and how it is doing. Reading changes nothing;\n"
                      "writing to a control runs an operation on it.\n"
                      "\n"
                      "  -o skip=NAME:NAME...   leave collections out (percent-encode ':' and ',' in a name)\n"
                      "  -o privacy             hide names, paths and metadata values, for bug reports\n"
                      "  -o allow_other         let other users in, as far as they may read the directory\n"
                      "  -o ro                  read-only: no control can be written to\n"
                      "  -f                     stay in the foreground\n"
                      "  -d                     the same, with libfuse's debug output\n"
                      "  -h, --help             this text\n"
                      "  -V, --version          versions\n"
                      "\n"
                      "fusermount3 -u MOUNTPOINT ends it. See chromafs(1), and chromafs(5) for the files.\n");
}
