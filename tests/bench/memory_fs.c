/*
 * What FUSE itself costs: a file system of one file, as many bytes as one says, that are there already.
 *
 * usage: memory_fs SIZE direct|cached MOUNTPOINT
 *
 * It stays in the foreground. The file is called `file`; with `cached` its bytes go through the kernel's page cache, which is emptied at every
 * open. Requests are answered by several threads, straight out of the one buffer, without a copy.
 */
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_NODE 2
#define BLOCK_SIZE (1 << 20) /* what `cat` reads at a time: the most that one request of FUSE can be */

struct memory {
        char *bytes;
        size_t size;
        bool direct;
};

static struct stat attributes(const struct memory *m, fuse_ino_t node)
{
        struct stat st = { .st_ino = node, .st_mode = S_IFDIR | 0755, .st_nlink = 2 };
        if (node == FILE_NODE)
                st = (struct stat){ .st_ino = node, .st_mode = S_IFREG | 0444, .st_nlink = 1, .st_blksize = BLOCK_SIZE };
        if (node == FILE_NODE)
                st.st_size = (off_t) m->size;
        return st;
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
        const struct memory *m = fuse_req_userdata(req);
        if (parent != FUSE_ROOT_ID || strcmp(name, "file") != 0) {
                (void) fuse_reply_err(req, ENOENT);
                return;
        }
        struct fuse_entry_param entry = { .ino = FILE_NODE, .attr = attributes(m, FILE_NODE), .attr_timeout = 1 };
        (void) fuse_reply_entry(req, &entry);
}

static void do_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
        (void) fi;
        struct stat st = attributes(fuse_req_userdata(req), node);
        (void) fuse_reply_attr(req, &st, 1);
}

static void do_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
        const struct memory *m = fuse_req_userdata(req);
        (void) node;
        fi->direct_io = m->direct;
        (void) fuse_reply_open(req, fi);
}

static void do_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *fi)
{
        const struct memory *m = fuse_req_userdata(req);
        (void) node, (void) fi;
        size_t from = offset >= 0 && (size_t) offset < m->size ? (size_t) offset : m->size;
        (void) fuse_reply_buf(req, m->bytes + from, size < m->size - from ? size : m->size - from);
}

static const struct fuse_lowlevel_ops operations = {
        .lookup = do_lookup,
        .getattr = do_getattr,
        .open = do_open,
        .read = do_read,
};

static int serve(struct fuse_session *session, const char *mountpoint)
{
        struct fuse_loop_config *config = fuse_loop_cfg_create();
        int r = config == NULL ? -1 : fuse_set_signal_handlers(session);
        if (r == 0) {
                r = fuse_session_mount(session, mountpoint);
                if (r == 0) {
                        r = fuse_session_loop_mt(session, config);
                        fuse_session_unmount(session);
                }
                fuse_remove_signal_handlers(session);
        }
        fuse_loop_cfg_destroy(config);
        return r;
}

int main(int argc, char **argv)
{
        if (argc != 4)
                return 2;
        struct memory m = { .size = (size_t) strtoull(argv[1], NULL, 10), .direct = strcmp(argv[2], "direct") == 0 };
        m.bytes = malloc(m.size + 1);
        if (m.bytes == NULL)
                return EXIT_FAILURE;
        memset(m.bytes, 'x', m.size);
        char *fuse_argv[] = { argv[0], NULL };
        struct fuse_args args = FUSE_ARGS_INIT(1, fuse_argv);
        struct fuse_session *session = fuse_session_new(&args, &operations, sizeof(operations), &m);
        int r = session != NULL ? serve(session, argv[3]) : -1;
        if (session != NULL)
                fuse_session_destroy(session);
        fuse_opt_free_args(&args);
        free(m.bytes);
        return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
