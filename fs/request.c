#include "fs/request.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "ops/clock.h"

#define ENDING_SIGNALS                                                                                                             \
        (1ull << (SIGINT - 1) | 1ull << (SIGTERM - 1) | 1ull << (SIGHUP - 1) | 1ull << (SIGQUIT - 1) | 1ull << (SIGKILL - 1))

/* Whether a signal that ends it is pending for the thread. */
static bool is_ending(pid_t pid)
{
        if (pid <= 0)
                return false; /* of another pid namespace: nobody knows */
        char path[64], line[256];
        unsigned long long pending = 0, set;
        (void) snprintf(path, sizeof(path), "/proc/%d/status", (int) pid);
        FILE *f = fopen(path, "re");
        if (f == NULL)
                return true; /* it has gone already */
        while (fgets(line, sizeof(line), f) != NULL)
                if (sscanf(line, "SigPnd: %llx", &set) == 1 || sscanf(line, "ShdPnd: %llx", &set) == 1)
                        pending |= set;
        (void) fclose(f);
        return (pending & ENDING_SIGNALS) != 0;
}

bool request_cancelled(void *fuse)
{
        return fuse_req_interrupted(fuse) != 0 && is_ending(fuse_req_ctx(fuse)->pid);
}

void request_begin(struct request *request, struct mount *mount, fuse_req_t fuse)
{
        *request = (struct request){
                .mount = mount,
                .stream_wait_ms = REQUEST_STREAM_WAIT_MS,
                .patience = { .until_ms = clock_ms() + REQUEST_PATIENCE_MS, .cancelled = request_cancelled, .context = fuse }
        };
}

int request_need(struct request *request)
{
        if (request->view != NULL)
                return 0;
        if (request->failed)
                return request->error.code;
        struct mount *mount = request->mount;
        int r = observer_view(mount->observer, &request->patience, &request->view, &request->error);
        if (r == 0 && (request->entries = entries_get(mount->entries, request->view)) == NULL) {
                request->view = view_put(request->view);
                r = error_set(&request->error, ENOMEM, "no memory");
        }
        request->failed = r < 0;
        request->error.code = r;
        return r;
}

void request_end(struct request *request)
{
        request->entries = entries_put(request->entries);
        request->view = view_put(request->view);
}
