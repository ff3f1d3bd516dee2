#include "fs/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/control_line.h"
#include "fs/operations.h"
#include "fs/request.h"
#include "fs/tree.h"
#include "fs/worker.h"
#include "fs/written.h"
#include "ops/clock.h"
#include "ops/operation/operation.h"
#include "ops/operation/operation_outcome.h"
#include "ops/operation/tidy.h"

struct control_file {
        struct node node;
        struct written written;
};

struct control_file *control_open(const struct node *node)
{
        struct control_file *file = calloc(1, sizeof(*file));
        if (file != NULL)
                file->node = *node;
        return file;
}

struct control_file *control_close(struct control_file *file)
{
        if (file != NULL)
                written_clear(&file->written);
        free(file);
        return NULL;
}

/* --- where it is ----------------------------------------------------------- */

static bool find_path(const struct node_type *directory, const struct node_type *type, char *path, size_t size)
{
        const struct node_type *const *entries = directory->entries;
        for (; entries != NULL && *entries != NULL; entries++) {
                int n = snprintf(path, size, "%s%s", (*entries)->name, (*entries)->entries != NULL ? "/" : "");
                if (*entries == type || (n > 0 && (size_t) n < size && find_path(*entries, type, path + n, size - (size_t) n)))
                        return true;
        }
        return false;
}

void control_path(const struct node *node, char ret[CONTROL_PATH_SIZE])
{
        bool whole = node->a[0] == '\0';
        int n = snprintf(ret, CONTROL_PATH_SIZE, "%s%s%s", whole ? "" : "collections/", node->a, whole ? "" : "/");
        if (n < 0 || !find_path(whole ? &tree_root : &tree_collection, node->type, ret + n, CONTROL_PATH_SIZE - (size_t) n))
                (void) snprintf(ret, CONTROL_PATH_SIZE, "%s", node->type->name);
}

static void remember(struct mount *mount, const struct node *node, const struct error *error)
{
        char path[CONTROL_PATH_SIZE];
        control_path(node, path);
        operations_refuse(mount->operations, path, error);
}

void control_refuse(struct mount *mount, const struct node *node, int code)
{
        struct error error;
        if (node->type->refusal == NULL)
                return;
        (void) error_set(&error, -code, "this file can't be written to: %s", node->type->refusal);
        remember(mount, node, &error);
}

/* --- running --------------------------------------------------------------- */

struct watched {
        struct mount *mount;
        fuse_req_t req; /* NULL: nobody waits */
};

static void note_progress(void *context, const char *phase, uint64_t done, uint64_t total)
{
        const struct watched *watched = context;
        operations_progress(watched->mount->operations, phase, done, total);
}

/* Whether nobody waits for it any more. */
static bool is_given_up(void *context)
{
        const struct watched *watched = context;
        return fuse_session_exited(watched->mount->session) != 0 || (watched->req != NULL && request_cancelled(watched->req));
}

static bool is_cancelled(void *context)
{
        const struct watched *watched = context;
        return is_given_up(context) || operations_is_cancelled(watched->mount->operations);
}

/* Of a process that died: what is known of it, in place of what it would have said. NULL without memory. */
static struct json_object *outcome_of_death(const struct worker_request *asked, const struct outcome_times *times, int code,
                                            const struct error *e)
{
        CLEANUP(command_free)
        struct command *command = NULL;
        struct json_object *outcome = NULL;
        const struct operation_request request = { .type = operation_find(asked->operation),
                                                   .line = asked->line.bytes,
                                                   .line_len = asked->line.len,
                                                   .written = asked->written.len > 0 ? &asked->written : NULL,
                                                   .collection_id = asked->collection_id };
        if (request.type == NULL)
                return NULL;
        bool dry = command_parse(request.type->options, request.line, request.line_len, &command, NULL) == 0 && command->dry_run;
        (void) operation_outcome(&request, dry, times, code, e, NULL, &outcome);
        return outcome;
}

static int run(struct mount *mount, fuse_req_t req, const struct operation_start *start, const struct worker_request *request,
               struct error *e)
{
        struct watched watched = { .mount = mount, .req = req };
        const struct worker_watch watch = { .context = &watched, .progress = note_progress, .cancelled = is_cancelled };
        struct json_object *outcome = NULL;
        int r = operations_begin(mount->operations, start, is_given_up, &watched, e);
        if (r < 0)
                return r;
        const struct outcome_times times = { .started = time(NULL), .started_ms = clock_ms() };
        r = worker_run(observer_dirfd(mount->observer), request, &watch, &outcome, e);
        if (r < 0 && outcome == NULL && !start->hidden)
                outcome = outcome_of_death(request, &times, r, e);
        operations_end(mount->operations, start->hidden ? NULL : outcome);
        (void) json_object_put(outcome);
        return r;
}

/* Whom the worker has to become: *ret->groups is the caller's. NULL in *ret_user when it is him already. */
static int writer(fuse_req_t req, struct worker_user *ret, const struct worker_user **ret_user, struct error *e)
{
        const struct fuse_ctx *context = fuse_req_ctx(req);
        if (context->uid == geteuid())
                return 0;
        int n = fuse_req_getgroups(req, 0, NULL);
        gid_t *groups = n < 0 ? NULL : calloc((size_t) n + 1, sizeof(*groups));
        if (groups == NULL || fuse_req_getgroups(req, n, groups) != n) {
                free(groups);
                return error_set(e, EACCES, "can't find out which groups process %d, which asks for this, is in",
                                 (int) context->pid);
        }
        *ret = (struct worker_user){ .uid = context->uid, .gid = context->gid, .groups = groups, .group_count = (size_t) n };
        *ret_user = ret;
        return 0;
}

/* The view is let go first: it would be held as long as the operation takes. */
static int run_for(struct control_write *write, struct worker_request *request, struct error *e)
{
        struct mount *mount = write->request->mount;
        const struct operation_start start = { .operation = request->operation, .entry = write->node->a, .line = request->written };
        struct worker_user user = { 0 };
        int r = write->node->type->as_writer ? writer(write->req, &user, &request->user, e) : 0;
        request_end(write->request);
        if (r == 0)
                r = run(mount, write->req, &start, request, e);
        request->user = NULL;
        free(user.groups);
        return r;
}

/* The id of the collection whose entry is the node's key; for nodes of the whole directory nothing. *ret is the caller's. */
static int find_collection(const struct control_write *write, char **ret, struct error *e)
{
        if (write->node->a[0] == '\0')
                return 0;
        int r = request_need(write->request);
        if (r < 0) {
                *e = write->request->error;
                return r;
        }
        const struct collection *collection = node_collection(write->request, write->node);
        if (collection == NULL)
                return error_set(e, ENOENT, "the collection is gone");
        *ret = strdup(collection->id.bytes);
        return *ret != NULL ? 0 : error_set(e, ENOMEM, "no memory");
}

/* What the line says, for the control's operation. */
static int store_line(struct control_write *write, const struct text *bytes, struct error *e)
{
        CLEANUP(free)
        char *id = NULL;
        struct control_line line;
        int r = control_line_read(write->request, write->node->type, bytes, &line, e);
        if (r < 0)
                return r;
        r = find_collection(write, &id, e);
        struct worker_request request = { .operation = write->node->type->operation,
                                          .line = line.rest,
                                          .written = *bytes,
                                          .collection_id = id,
                                          .skip = line.skip,
                                          .skip_count = line.skip_count };
        if (r == 0)
                r = run_for(write, &request, e);
        control_line_clear(&line);
        return r;
}

int store_operation(struct control_write *write, struct error *e)
{
        return store_line(write, &write->line, e);
}

/* Blanks around a value mean nothing. */
static struct text trimmed(const struct text *line)
{
        struct text text = *line;
        while (text.len > 0 && strchr(" \t\n", text.bytes[text.len - 1]) != NULL && text.bytes[text.len - 1] != '\0')
                text.len--;
        while (text.len > 0 && (text.bytes[0] == ' ' || text.bytes[0] == '\t')) {
                text.bytes++;
                text.len--;
        }
        return text;
}

static bool is_so_already(const struct control_write *write, const struct text *value)
{
        struct text shown = { 0 };
        if (request_need(write->request) < 0 || write->node->type->show(write->request, write->node, &shown) < 0)
                return false;
        struct text now = trimmed(&shown);
        bool same = text_equal(&now, value);
        free(shown.bytes);
        return same;
}

int store_setting(struct control_write *write, struct error *e)
{
        struct text value = trimmed(&write->line), line;
        const char *name = write->node->type->name;
        if (is_so_already(write, &value))
                return 0;
        CLEANUP(free)
        char *bytes = malloc(strlen(name) + value.len + 2);
        if (bytes == NULL)
                return error_set(e, ENOMEM, "no memory");
        line = (struct text){ .bytes = bytes, .len = (size_t) sprintf(bytes, "%s=", name) };
        memcpy(bytes + line.len, value.bytes, value.len);
        line.len += value.len;
        bytes[line.len] = '\0';
        return store_line(write, &line, e);
}

int store_cancel(struct control_write *write, struct error *e)
{
        CLEANUP(command_free)
        struct command *command = NULL;
        int r = command_parse(NULL, write->line.bytes, write->line.len, &command, e);
        if (r < 0 || command->dry_run)
                return r;
        r = operations_cancel(write->request->mount->operations, request_cancelled, write->req);
        return r < 0 ? error_set(e, -r, "stopped while it waited for the end of what runs, which was told to stop") : 0;
}

void control_tidy(struct mount *mount)
{
        struct watched watched = { .mount = mount };
        const struct operation_start start = { .operation = operation_tidy.name, .entry = "", .hidden = true };
        const struct worker_request request = { .operation = operation_tidy.name };
        struct error error = { 0 };
        if (!tidy_is_needed(observer_dirfd(mount->observer)))
                return;
        int r = run(watched.mount, NULL, &start, &request, &error);
        if (r < 0 && r != -EBUSY && r != -ECANCELED)
                operations_refuse(mount->operations, "tidying at the beginning", &error);
}

/* --- writing --------------------------------------------------------------- */

static int may_write(fuse_req_t req, const struct mount *mount, struct error *e)
{
        if (mount->newer)
                return error_set(e, EROFS, "the directory was written by a Chroma newer than all known: nothing in it is changed");
        if (mount->options->read_only)
                return error_set(e, EROFS, "mounted with -o ro");
        struct file_stamp stamp = file_stamp_at(observer_dirfd(mount->observer), DB_FILE);
        uid_t uid = fuse_req_ctx(req)->uid;
        if (uid == 0 || (stamp.present && stamp.uid == uid))
                return 0;
        return error_set(e, EACCES, "only the owner of " DB_FILE " and root may do this");
}

static int store(fuse_req_t req, struct mount *mount, const struct node *node, const struct text *line, struct error *e)
{
        struct request request;
        struct control_write write = { .req = req, .request = &request, .node = node, .line = *line };
        int r = may_write(req, mount, e);
        if (r == 0 && line->len > COMMAND_MAX)
                r = error_set(e, EINVAL, "%zu bytes are no command: at most %d", line->len, COMMAND_MAX);
        if (r < 0)
                return r;
        request_begin(&request, mount, req);
        r = node->type->store(&write, e);
        request_end(&request);
        return r;
}

static int write_once(fuse_req_t req, struct control_file *file, const struct text *bytes, off_t offset)
{
        struct mount *mount = fuse_req_userdata(req);
        struct error error = { 0 };
        int r = 0;
        enum written_verdict verdict = written_judge(&file->written, bytes, offset, clock_ms(), &r, &error);
        if (verdict == WRITTEN_AGAIN)
                return r;
        if (verdict == WRITTEN_COMMAND)
                r = store(req, mount, &file->node, bytes, &error);
        written_note(&file->written, r, bytes, offset, clock_ms());
        error.code = r;
        if (r < 0 && (verdict == WRITTEN_COMMAND || error.text[0] != '\0'))
                remember(mount, &file->node, &error);
        return r;
}

void control_reply_write(fuse_req_t req, struct control_file *file, const char *bytes, size_t size, off_t offset)
{
        struct text text = { 0 };
        int r = text_copy(&text, bytes, size);
        if (r == 0)
                r = write_once(req, file, &text, offset);
        free(text.bytes);
        if (r < 0)
                (void) fuse_reply_err(req, r == -ESTALE ? EAGAIN : -r);
        else
                (void) fuse_reply_write(req, size);
}
