#include "fs/written.h"

#include <errno.h>
#include <stdlib.h>

static bool ends_line(const struct text *bytes)
{
        return bytes->len > 0 && bytes->bytes[bytes->len - 1] == '\n';
}

static bool is_again(const struct written *w, const struct text *bytes, off_t offset)
{
        return w->code < 0 && w->offset == offset && text_equal(&w->bytes, bytes);
}

static int judge_rest(const struct written *w, struct error *e)
{
        if (w->code < 0)
                return w->code;
        return error_set(e, EINVAL,
                         "this came behind a write without a newline, which has been run as a command: write a line at once, with "
                         "its newline");
}

enum written_verdict written_judge(const struct written *written, const struct text *bytes, off_t offset, int64_t now_ms,
                                   int *ret_code, struct error *e)
{
        bool at_once = now_ms - written->at_ms <= WRITTEN_AT_ONCE_MS;
        bool newline = bytes->len == 1 && ends_line(bytes);
        *ret_code = written->code;
        if (at_once && is_again(written, bytes, offset))
                return WRITTEN_AGAIN;
        if (written->open_line && newline)
                return WRITTEN_REST;
        if (written->open_line && at_once) {
                *ret_code = judge_rest(written, e);
                return WRITTEN_REST;
        }
        if (bytes->len % WRITTEN_BLOCK != 0 || ends_line(bytes))
                return WRITTEN_COMMAND;
        *ret_code = error_set(
                e, EINVAL,
                "after %zu bytes there is no newline, as in a line that was cut at the end of a buffer: write it at once, "
                "through dd of=FILE bs=64k iflag=fullblock for example",
                bytes->len);
        return WRITTEN_REST;
}

void written_note(struct written *written, int code, const struct text *bytes, off_t offset, int64_t now_ms)
{
        written_clear(written);
        written->code = code;
        written->offset = offset;
        written->open_line = !ends_line(bytes);
        written->at_ms = now_ms;
        if (code < 0 && text_copy(&written->bytes, bytes->bytes, bytes->len) < 0)
                written->offset = -1; /* no write comes there */
}

void written_clear(struct written *written)
{
        free(written->bytes.bytes);
        *written = (struct written){ 0 };
}
