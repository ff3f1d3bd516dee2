#include "ops/memory_available.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops/cleanup.h"

#define KIB 1024u

/* The number behind a name in the text of /proc/meminfo; 0 without one. */
static uint64_t bytes_of(const char *text, const char *name)
{
        const char *at = strstr(text, name);
        return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10) * KIB;
}

uint64_t memory_available(void)
{
        char text[4096];
        CLEANUP(close)
        int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
        ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        text[size < 0 ? 0 : size] = '\0';
        uint64_t available = bytes_of(text, "MemAvailable:");
        return available == 0 ? UINT64_MAX : available + bytes_of(text, "SwapFree:");
}
