/*
 * Owner, mode and extended attributes, in this order: chown(2) takes set-id bits away, and setting an ACL changes the group's bits.
 * ACLs are extended attributes too ("system.posix_acl_access"), and are copied as such.
 *
 * Until all is as it should be the file keeps the mode it was made with: a failure leaves nothing open that was closed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ops/cleanup.h"
#include "ops/operation/file_copy.h"

#define NAMES_MAX 65536 /* XATTR_LIST_MAX and XATTR_SIZE_MAX of the kernel */
#define VALUE_MAX 65536

struct attributes {
        int from, to;
        bool strict;
        char names[NAMES_MAX + 1];
        unsigned char value[VALUE_MAX], other[VALUE_MAX];
};

static int read_names(int fd, char names[NAMES_MAX + 1], size_t *ret_len, struct error *e)
{
        ssize_t len = flistxattr(fd, names, NAMES_MAX);
        if (len < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
                len = 0;
        if (len < 0) {
                int err = errno;
                return error_set(e, err, "the extended attributes of a file can't be listed: %s", strerror(err));
        }
        names[len] = '\0';
        *ret_len = (size_t) len;
        return 0;
}

/* What the kernel computes out of a file's content. */
static bool is_computed(const char *name)
{
        return strcmp(name, "security.ima") == 0 || strcmp(name, "security.evm") == 0;
}

/* Attributes that a file gets from where it was made, and that say who may do what, or are the user's. */
static bool is_inherited(const char *name)
{
        return strncmp(name, "system.posix_acl_", 17) == 0 || strncmp(name, "user.", 5) == 0;
}

static int refused(const struct attributes *a, int err, const char *name, struct error *e)
{
        if ((err == EOPNOTSUPP || err == ENOSYS) && !a->strict)
                return 0;
        if (err == EACCES)
                err = EPERM;
        if (err == EPERM && !a->strict && strncmp(name, "security.", 9) == 0)
                return 0; /* labels are the policy's business, which gave the copy one of its place */
        return error_set(e, err, "the copy can't be given the attribute %s: %s", name, strerror(err));
}

static int copy_one(struct attributes *a, const char *name, struct error *e)
{
        if (is_computed(name))
                return 0;
        ssize_t len = fgetxattr(a->from, name, a->value, sizeof(a->value));
        if (len < 0 && errno == ENODATA)
                return 0; /* removed since it was listed */
        if (len < 0) {
                int err = errno;
                return error_set(e, err, "the attribute %s can't be read: %s", name, strerror(err));
        }
        ssize_t now = fgetxattr(a->to, name, a->other, sizeof(a->other));
        if (now == len && memcmp(a->value, a->other, (size_t) len) == 0)
                return 0;
        return fsetxattr(a->to, name, a->value, (size_t) len, 0) < 0 ? refused(a, errno, name, e) : 0;
}

static int copy_extended(struct attributes *a, struct error *e)
{
        size_t len = 0;
        int r = read_names(a->from, a->names, &len, e);
        for (const char *name = a->names; r == 0 && name < a->names + len; name += strlen(name) + 1)
                r = copy_one(a, name, e);
        return r;
}

static int remove_others(struct attributes *a, struct error *e)
{
        size_t len = 0;
        int r = read_names(a->to, a->names, &len, e);
        for (const char *name = a->names; r == 0 && name < a->names + len; name += strlen(name) + 1)
                if (is_inherited(name) && fgetxattr(a->from, name, NULL, 0) < 0 && fremovexattr(a->to, name) < 0 &&
                    errno != ENODATA)
                        r = refused(a, errno, name, e);
        return r;
}

static int copy_owner(const struct stat *from, const struct stat *to, int fd, struct error *e)
{
        if ((from->st_uid == to->st_uid && from->st_gid == to->st_gid) || fchown(fd, from->st_uid, from->st_gid) == 0)
                return 0;
        int err = errno == EINVAL || errno == EACCES ? EPERM : errno; /* EINVAL: an id that this user namespace does not have */
        return error_set(e, err, "the copy can't be given owner %u and group %u: %s", (unsigned) from->st_uid,
                         (unsigned) from->st_gid, strerror(err));
}

/* A set-group-id bit of a group that is not ours is dropped without an error. */
static int copy_mode(const struct stat *from, int fd, struct error *e)
{
        struct stat st;
        unsigned mode = from->st_mode & 07777;
        if (fchmod(fd, mode) < 0 || fstat(fd, &st) < 0) {
                int err = errno;
                return error_set(e, err, "the copy can't be given the mode %04o: %s", mode, strerror(err));
        }
        return (st.st_mode & 07777) == mode ? 0 : error_set(e, EPERM, "the copy can't be given the mode %04o", mode);
}

int file_copy_attributes(int from, int to, bool strict, struct error *e)
{
        struct stat st, now;
        if (fstat(from, &st) < 0 || fstat(to, &now) < 0) {
                int err = errno;
                return error_set(e, err, "a file can't be examined: %s", strerror(err));
        }
        CLEANUP(free)
        struct attributes *a = malloc(sizeof(*a));
        if (a == NULL)
                return error_set(e, ENOMEM, "no memory for the attributes of a file");
        a->from = from;
        a->to = to;
        a->strict = strict;
        int r = copy_owner(&st, &now, to, e);
        if (r == 0)
                r = copy_extended(a, e);
        if (r == 0)
                r = remove_others(a, e);
        return r == 0 ? copy_mode(&st, to, e) : r;
}
