/*
 * Any bytes as a hot journal: indexed, and every page that it claims to have is read.
 * The first byte chooses the page size that the database is said to have, for journals that don't say their own.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ops/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_pages(const struct journal *j, int fd)
{
        static unsigned char page[65536];
        size_t found = 0;
        uint32_t page_size = journal_page_size(j);
        for (uint32_t i = 0; i < 300; i++) {
                int rc = journal_read(j, fd, i, page, 0, page_size, NULL);
                if (rc < 0)
                        abort(); /* nobody changes it */
                found += rc > 0;
                if (rc > 0 && (i == 0 || i > journal_page_count(j)))
                        abort();
        }
        if (found > journal_record_count(j) || (!journal_valid(j) && journal_record_count(j) > 0))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size == 0)
                return 0;
        CLEANUP(close)
        int fd = memfd_create("journal", MFD_CLOEXEC);
        CLEANUP(journal_free)
        struct journal *j = NULL;
        if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t) (size - 1))
                return 0;
        uint32_t page_size = data[0] % 9 == 8 ? 0 : 512u << data[0] % 9;
        if (journal_index(fd, page_size, NULL, NULL, &j, NULL) == 0)
                read_pages(j, fd);
        return 0;
}
