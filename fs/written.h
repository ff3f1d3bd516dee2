/*
 * What came through an open control before, which tells a command from what is none.
 *
 * - A write that failed and comes again at once, at the same offset with the same bytes (Python's second try, at close), fails again.
 * - What comes behind a write without a newline is the rest of its line, and no command: programs that do not buffer write the newline by itself, and an
 *   empty line would run the operation with its defaults. The newline alone gets what the line got, however late; anything else is refused if it comes at once.
 * - A line that stdio, or dd, has cut at the end of its buffer is refused: `skip=a,b` may be what is left of `skip=a,b,c`.
 * - Not thread-safe: the kernel holds the inode's lock during a write.
 */
#ifndef FS_WRITTEN_H
#define FS_WRITTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ops/error.h"
#include "ops/text.h"

#define WRITTEN_AT_ONCE_MS 1000
#define WRITTEN_BLOCK 512 /* what sizes of buffers are multiples of */

struct written {  /* zeroed: nothing */
        int code; /* what the last write got */
        off_t offset;
        struct text bytes; /* of the last write that failed */
        bool open_line;    /* it had no newline at its end */
        int64_t at_ms;
};

enum written_verdict {
        WRITTEN_COMMAND, /* it is to be run */
        WRITTEN_REST,    /* it gets *ret_code; where *e has a sentence, that is new */
        WRITTEN_AGAIN,   /* it gets *ret_code, and nothing is noted of it */
};

enum written_verdict written_judge(const struct written *written, const struct text *bytes, off_t offset, int64_t now_ms,
                                   int *ret_code, struct error *e);

/* What a write got. */
void written_note(struct written *written, int code, const struct text *bytes, off_t offset, int64_t now_ms);
void written_clear(struct written *written);

#endif
