/* A request is a list of texts: operation, line, the line as it was written, collection, user, groups, and the collections to leave out. */
#include "fs/worker_wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELD_OPERATION, FIELD_LINE, FIELD_WRITTEN, FIELD_COLLECTION, FIELD_USER, FIELD_GROUPS, FIELD_SKIP };

struct numbers { /* of a user */
        uid_t uid;
        gid_t gid;
};

static void put(FILE *f, const void *bytes, size_t size)
{
        uint64_t len = size;
        (void) fwrite(&len, sizeof(len), 1, f);
        if (size > 0)
                (void) fwrite(bytes, 1, size, f);
        (void) fputc('\0', f); /* so that each text is a string, too */
}

static void put_string(FILE *f, const char *string)
{
        put(f, string, string != NULL ? strlen(string) : 0);
}

static void put_user(FILE *f, const struct worker_user *user)
{
        if (user == NULL) {
                put(f, NULL, 0);
                put(f, NULL, 0);
                return;
        }
        struct numbers numbers = { .uid = user->uid, .gid = user->gid };
        put(f, &numbers, sizeof(numbers));
        put(f, user->groups, user->group_count * sizeof(*user->groups));
}

static void put_request(FILE *f, const struct worker_request *request)
{
        put_string(f, request->operation);
        put(f, request->line.bytes, request->line.len);
        put(f, request->written.bytes, request->written.len);
        put_string(f, request->collection_id);
        put_user(f, request->user);
        for (size_t i = 0; i < request->skip_count; i++)
                put(f, request->skip[i].bytes, request->skip[i].len);
}

int worker_pack(const struct worker_request *request, struct text *ret)
{
        char *bytes = NULL;
        size_t size = 0;
        uint64_t total = 0;
        FILE *f = open_memstream(&bytes, &size);
        if (f == NULL)
                return -ENOMEM;
        (void) fwrite(&total, sizeof(total), 1, f);
        put_request(f, request);
        bool failed = ferror(f) != 0;
        failed = fclose(f) != 0 || failed;
        if (failed) {
                free(bytes);
                return -ENOMEM;
        }
        total = size - sizeof(total);
        memcpy(bytes, &total, sizeof(total));
        *ret = (struct text){ .bytes = bytes, .len = size };
        return 0;
}

/* The next text, or false when there is none any more, or none that fits. */
static bool take(struct text *rest, struct text *ret)
{
        uint64_t len;
        if (rest->len < sizeof(len) + 1)
                return false;
        memcpy(&len, rest->bytes, sizeof(len));
        if (len > rest->len - sizeof(len) - 1)
                return false;
        *ret = (struct text){ .bytes = rest->bytes + sizeof(len), .len = (size_t) len };
        if (ret->bytes[ret->len] != '\0')
                return false;
        rest->bytes += sizeof(len) + ret->len + 1;
        rest->len -= sizeof(len) + ret->len + 1;
        return true;
}

static int unpack_user(const struct text *user, const struct text *groups, struct worker_unpacked *ret)
{
        struct numbers numbers;
        if (user->len == 0)
                return 0;
        if (user->len != sizeof(numbers) || groups->len % sizeof(gid_t) != 0)
                return -EINVAL;
        memcpy(&numbers, user->bytes, sizeof(numbers));
        ret->user = (struct worker_user){ .uid = numbers.uid, .gid = numbers.gid, .group_count = groups->len / sizeof(gid_t) };
        ret->user.groups = malloc(groups->len + 1);
        if (ret->user.groups == NULL)
                return -ENOMEM;
        memcpy(ret->user.groups, groups->bytes, groups->len);
        ret->request.user = &ret->user;
        return 0;
}

static int unpack_skip(struct text *rest, struct worker_request *ret)
{
        struct text id;
        while (take(rest, &id)) {
                struct text *more = reallocarray(ret->skip, ret->skip_count + 1, sizeof(*more));
                if (more == NULL)
                        return -ENOMEM;
                ret->skip = more;
                more[ret->skip_count++] = id;
        }
        return rest->len == 0 ? 0 : -EINVAL;
}

int worker_unpack(const struct text *packed, struct worker_unpacked *ret)
{
        struct text rest = *packed, fields[FIELD_SKIP];
        *ret = (struct worker_unpacked){ 0 };
        for (int i = 0; i < FIELD_SKIP; i++)
                if (!take(&rest, &fields[i]))
                        return -EINVAL;
        ret->request.operation = fields[FIELD_OPERATION].bytes;
        ret->request.line = fields[FIELD_LINE];
        ret->request.written = fields[FIELD_WRITTEN];
        ret->request.collection_id = fields[FIELD_COLLECTION].len > 0 ? fields[FIELD_COLLECTION].bytes : NULL;
        int r = unpack_user(&fields[FIELD_USER], &fields[FIELD_GROUPS], ret);
        if (r == 0)
                r = unpack_skip(&rest, &ret->request);
        if (r < 0)
                worker_unpacked_clear(ret);
        return r;
}

void worker_unpacked_clear(struct worker_unpacked *unpacked)
{
        free(unpacked->user.groups);
        free(unpacked->request.skip);
        *unpacked = (struct worker_unpacked){ 0 };
}
