#include "ops/operation/process_name.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ops/cleanup.h"
#include "ops/text.h"

/* A process may call itself anything: only text that is safe in a sentence stays. */
static void make_printable(char *name, size_t len)
{
        bool text = utf8_valid(name, len);
        for (char *p = name; p < name + len; p++)
                if ((unsigned char) *p < 0x20 || *p == 0x7f || (!text && (unsigned char) *p >= 0x80))
                        *p = '?';
}

void process_name(int pid_fd, char name[PROCESS_NAME_SIZE])
{
        CLEANUP(close)
        int fd = openat(pid_fd, "comm", O_RDONLY | O_CLOEXEC);
        ssize_t len = fd < 0 ? -1 : read(fd, name, PROCESS_NAME_SIZE - 1);
        if (len < 0)
                len = 0;
        if (len > 0 && name[len - 1] == '\n')
                len--;
        name[len] = '\0';
        make_printable(name, (size_t) len);
}

const char *process_show(pid_t pid, const char *name, char shown[PROCESS_SHOWN_SIZE])
{
        if (name[0] == '\0')
                (void) snprintf(shown, PROCESS_SHOWN_SIZE, "pid %d", (int) pid);
        else
                (void) snprintf(shown, PROCESS_SHOWN_SIZE, "pid %d (%s)", (int) pid, name);
        return shown;
}
