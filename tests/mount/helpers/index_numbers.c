/*
 * What the files of vector indexes say, read with nothing but fread: the tests hold what the mount shows against it.
 *
 * usage: index_numbers <LIST
 *
 * LIST has a directory a line. Prints a JSON object a line for each of them that has a header.bin which is not empty: its `id` (the
 * directory's name), the numbers of the header, how many records are `deleted`, and the labels of the others (`live`).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_SIZE 100
#define RECORD_MAX (1u << 20)

/* Offsets in header.bin. */
enum { AT_CAPACITY = 12, AT_ELEMENTS = 20, AT_RECORD_SIZE = 28, AT_LABEL = 36, AT_VECTOR = 44, AT_M = 76, AT_EF_CONSTRUCTION = 92 };

static void fail(const char *directory, const char *file, const char *what)
{
        (void) fprintf(stderr, "index_numbers: %s/%s: %s\n", directory, file, what);
        exit(EXIT_FAILURE);
}

static FILE *open_file(const char *directory, const char *file)
{
        char path[4096];
        (void) snprintf(path, sizeof(path), "%s/%s", directory, file);
        return fopen(path, "rbe");
}

static uint64_t number_at(const unsigned char *bytes)
{
        uint64_t number = 0;
        for (int i = 7; i >= 0; i--)
                number = number << 8 | bytes[i];
        return number;
}

/* False when there is no header, or an empty one. */
static bool read_header(const char *directory, unsigned char header[HEADER_SIZE])
{
        FILE *f = open_file(directory, "header.bin");
        if (f == NULL) {
                if (errno != ENOENT)
                        fail(directory, "header.bin", strerror(errno));
                return false;
        }
        size_t size = fread(header, 1, HEADER_SIZE, f);
        (void) fclose(f);
        if (size != 0 && size != HEADER_SIZE)
                fail(directory, "header.bin", "too short");
        return size != 0;
}

/* Prints the labels of the records that are not deleted; returns how many are. Bit 0 of byte 2 of a record says so. */
static uint64_t print_live(const char *directory, uint64_t elements, uint64_t record_size, uint64_t label_at)
{
        if (record_size > RECORD_MAX || record_size < 8 || label_at > record_size - 8)
                fail(directory, "header.bin", "no such record can be");
        unsigned char *record = malloc(record_size);
        FILE *f = open_file(directory, "data_level0.bin");
        if (record == NULL || (f == NULL && elements > 0))
                fail(directory, "data_level0.bin", strerror(errno));
        uint64_t deleted = 0;
        const char *separator = "";
        for (uint64_t i = 0; i < elements; i++) {
                if (fread(record, record_size, 1, f) != 1)
                        fail(directory, "data_level0.bin", "too short");
                if ((record[2] & 1) != 0) {
                        deleted++;
                        continue;
                }
                (void) printf("%s%" PRIu64, separator, number_at(record + label_at));
                separator = ",";
        }
        if (f != NULL)
                (void) fclose(f);
        free(record);
        return deleted;
}

static void print_index(const char *directory)
{
        unsigned char header[HEADER_SIZE];
        if (!read_header(directory, header))
                return;
        const char *slash = strrchr(directory, '/');
        uint64_t elements = number_at(header + AT_ELEMENTS), label_at = number_at(header + AT_LABEL);
        (void) printf("{\"id\":\"%s\",\"elements\":%" PRIu64 ",\"capacity\":%" PRIu64, slash != NULL ? slash + 1 : directory,
                      elements, number_at(header + AT_CAPACITY));
        /* Between the vector's offset and the label's is the vector: four bytes a dimension. */
        (void) printf(",\"dimension\":%" PRIu64 ",\"m\":%" PRIu64 ",\"ef_construction\":%" PRIu64 ",\"live\":[",
                      (label_at - number_at(header + AT_VECTOR)) / 4, number_at(header + AT_M),
                      number_at(header + AT_EF_CONSTRUCTION));
        uint64_t deleted = print_live(directory, elements, number_at(header + AT_RECORD_SIZE), label_at);
        (void) printf("],\"deleted\":%" PRIu64 "}\n", deleted);
}

int main(void)
{
        char *path = NULL;
        size_t size = 0;
        for (ssize_t len; (len = getline(&path, &size, stdin)) > 0;) {
                path[len - 1] = '\0';
                print_index(path);
        }
        free(path);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
