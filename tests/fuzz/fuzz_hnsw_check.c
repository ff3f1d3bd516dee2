/*
 * Any bytes as the five files of a vector segment, checked as a whole. The input is four lengths, little-endian u32, and the bytes: of header.bin, of data_level0.bin, of
 * length.bin, of link_lists.bin; the rest is index_metadata.pickle, and there is none of that when nothing is left. A length beyond what is left takes all that is left.
 *
 * What a check that stops at the first fault says of the same files must fit what was found: ops/index_audit.h.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/hnsw/check.h"
#include "ops/index_audit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ID "00000000-0000-4000-8000-000000000001"

static void require(int condition)
{
        if (!condition)
                abort();
}

static void write_file(int dirfd, const char *name, const uint8_t *data, size_t size)
{
        struct timespec old[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
        int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        require(fd >= 0 && write(fd, data, size) == (ssize_t) size && futimens(fd, old) == 0 && close(fd) == 0);
}

static void write_files(int dirfd, const uint8_t *data, size_t size)
{
        const uint8_t *rest = data + 16;
        size_t left = size - 16;
        for (int i = 0; i < INDEX_PICKLE; i++) {
                uint32_t want;
                memcpy(&want, data + 4 * i, sizeof(want));
                size_t len = le32toh(want) < left ? le32toh(want) : left;
                write_file(dirfd, index_file_names[i], rest, len);
                rest += len;
                left -= len;
        }
        if (left > 0)
                write_file(dirfd, index_file_names[INDEX_PICKLE], rest, left);
        struct timespec old[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
        require(futimens(dirfd, old) == 0);
}

static uint64_t check_findings(const struct hnsw_check *c)
{
        uint64_t damage = 0;
        for (int i = 0; i < HNSW_FINDING_KINDS; i++) {
                require((c->findings[i].count > 0) == (c->findings[i].first.text[0] != '\0'));
                if (i != HNSW_VECTOR && i != HNSW_UNREACHABLE)
                        damage += c->findings[i].count;
        }
        require(c->is_fatal == (damage > 0));
        require(damage > 0 || c->complete);
        require(!c->has_elements || c->live + c->deleted == c->elements);
        return damage;
}

static void check_files(int persist_fd)
{
        struct hnsw_check c;
        struct index_audit audit;
        struct error e = { 0 };
        require(hnsw_check(persist_fd, ID, NULL, NULL, &c, &e) == 0);
        uint64_t damage = check_findings(&c);
        require(index_audit_read(persist_fd, ID, NULL, NULL, &audit, &e) == 0);
        bool bad = audit.damage.code != 0 || (audit.has_labels && audit.labels.orphan_count + audit.labels.missing_count > 0);
        require(!bad || damage > 0);
        index_audit_clear(&audit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char path[] = "/tmp/fuzz-hnsw-check-XXXXXX";
        if (size < 16)
                return 0;
        require(mkdtemp(path) != NULL);
        int persist_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        require(persist_fd >= 0 && mkdirat(persist_fd, ID, 0700) == 0);
        int dirfd = openat(persist_fd, ID, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        require(dirfd >= 0);
        write_files(dirfd, data, size);
        check_files(persist_fd);
        for (int i = 0; i < INDEX_FILE_COUNT; i++)
                (void) unlinkat(dirfd, index_file_names[i], 0);
        require(close(dirfd) == 0 && unlinkat(persist_fd, ID, AT_REMOVEDIR) == 0 && close(persist_fd) == 0 && rmdir(path) == 0);
        return 0;
}
