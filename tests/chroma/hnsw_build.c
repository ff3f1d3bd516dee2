/*
 * What the tests with real Chroma do with the engine:
 *
 *   hnsw_build build SPACE DIMENSION M EF LIBRARY STEPS OUT   an index from nothing; OUT, a new directory, gets its four files
 *   hnsw_build copy SPACE SEGMENT OUT SHAPE                   a segment loaded and saved; OUT gets all five files
 *   hnsw_build rebuild SPACE LIBRARY SEGMENT OUT SHAPE        the same, but the graph is made anew of its vectors, in the order of their internal ids
 *
 * STEPS is a file of steps: u32 0 add, 1 update, 2 delete; u64 label; the vector (not with delete). All are done by one thread, with the exact kernels.
 * LIBRARY is python or rust, SHAPE instance or dict; SPACE is l2, ip or cosine.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ops/hnsw/save.h"
#include "ops/index_summary.h"

static _Noreturn void die(const char *what, const struct error *e)
{
        (void) fprintf(stderr, "hnsw_build: %s: %s\n", what, e != NULL ? e->text : strerror(errno));
        exit(1);
}

static uint32_t number_of(const char *text)
{
        return (uint32_t) strtoul(text, NULL, 10);
}

static struct hnsw_params params_of(const char *space, const char *library)
{
        return (struct hnsw_params){ .space = strcmp(space, "l2") == 0   ? SPACE_L2
                                              : strcmp(space, "ip") == 0 ? SPACE_IP
                                                                         : SPACE_COSINE,
                                     .library = strcmp(library, "rust") == 0 ? HNSW_RUST : HNSW_PYTHON,
                                     .exact = true,
                                     .stage_fd = -1 };
}

static int open_dir(const char *path, bool make)
{
        if (make && mkdir(path, 0700) < 0)
                die(path, NULL);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                die(path, NULL);
        return fd;
}

static void save(const struct hnsw *index, int out)
{
        struct error e;
        if (hnsw_save(index, &(struct hnsw_save){ .max_elements = 0 }, out, NULL, NULL, &e) < 0)
                die("save", &e);
}

/* --- build --- */

static void add_one(struct hnsw *index, uint64_t label, const float *vector)
{
        struct error e;
        struct hnsw_item item = { .label = label, .vector = vector };
        if (hnsw_reserve(index, 1, &e) < 0 || hnsw_add(index, &item, 1, 1, NULL, NULL, &e) < 0)
                die("add", &e);
}

static void take_step(struct hnsw *index, uint32_t kind, uint64_t label, const float *vector)
{
        struct error e;
        if (kind == 0)
                add_one(index, label, vector);
        else if (kind == 1 && hnsw_update(index, label, vector, &e) < 0)
                die("update", &e);
        else if (kind == 2 && hnsw_delete(index, label, &e) < 0)
                die("delete", &e);
}

static void take_steps(struct hnsw *index, const char *path, uint32_t dimension)
{
        CLEANUP(free)
        float *vector = malloc(dimension * sizeof(*vector));
        FILE *steps = fopen(path, "rbe");
        uint32_t kind;
        uint64_t label;
        if (vector == NULL || steps == NULL)
                die(path, NULL);
        while (fread(&kind, sizeof(kind), 1, steps) == 1) {
                if (fread(&label, sizeof(label), 1, steps) != 1 ||
                    (kind < 2 && fread(vector, sizeof(float), dimension, steps) != dimension))
                        die("it is cut off", NULL);
                take_step(index, kind, label, vector);
        }
        (void) fclose(steps);
}

static int build(char **words)
{
        struct hnsw_params params = params_of(words[0], words[4]);
        struct error e;
        CLEANUP(hnsw_free)
        struct hnsw *index = NULL;
        params.dimension = number_of(words[1]);
        params.m = number_of(words[2]);
        params.ef_construction = number_of(words[3]);
        if (hnsw_new(&params, 1000, &index, &e) < 0)
                die("new", &e);
        take_steps(index, words[5], params.dimension);
        CLEANUP(close)
        int out = open_dir(words[6], true);
        save(index, out);
        return 0;
}

/* --- copy and rebuild --- */

static struct hnsw *load(int segment, const struct hnsw_params *params)
{
        struct hnsw *index;
        struct error e;
        if (hnsw_load(segment, params, 0, NULL, NULL, &index, &e) < 0)
                die("load", &e);
        return index;
}

static void save_metadata(int segment, int out, const char *shape)
{
        struct error e;
        CLEANUP(close)
        int fd = file_open_regular(segment, index_file_names[INDEX_PICKLE], NULL, &e);
        CLEANUP(index_metadata_free)
        struct index_metadata *m = NULL;
        if (fd < 0 || index_metadata_read(fd, NULL, NULL, &m, &e) < 0 ||
            index_metadata_write(m, strcmp(shape, "dict") == 0 ? PICKLE_DICT : PICKLE_INSTANCE, out, NULL, NULL, &e) < 0)
                die("pickle", &e);
}

static int copy(char **words)
{
        struct hnsw_params params = params_of(words[0], "python");
        CLEANUP(close)
        int segment = open_dir(words[1], false);
        CLEANUP(close)
        int out = open_dir(words[2], true);
        CLEANUP(hnsw_free)
        struct hnsw *index = load(segment, &params);
        save(index, out);
        save_metadata(segment, out, words[3]);
        return 0;
}

/* Vectors as the user gave them, nearly: those of cosine were normalised. */
static void add_again(const struct hnsw *from, uint32_t id, struct hnsw *to, float *vector)
{
        struct hnsw_info info = hnsw_info(from);
        if (hnsw_is_deleted(from, id))
                return;
        for (uint32_t i = 0; i < info.params.dimension; i++)
                vector[i] = hnsw_vector(from, id)[i] * (info.params.space == SPACE_COSINE ? hnsw_length(from, id) : 1.0f);
        add_one(to, hnsw_label(from, id), vector);
}

static int rebuild(char **words)
{
        struct hnsw_params params = params_of(words[0], words[1]);
        struct error e;
        CLEANUP(close)
        int segment = open_dir(words[2], false);
        CLEANUP(close)
        int out = open_dir(words[3], true);
        CLEANUP(hnsw_free)
        struct hnsw *from = load(segment, &params), *index = NULL;
        params = hnsw_info(from).params;
        if (hnsw_new(&params, 1000, &index, &e) < 0)
                die("new", &e);
        CLEANUP(free)
        float *vector = malloc(params.dimension * sizeof(*vector));
        if (vector == NULL)
                die("rebuild", NULL);
        for (uint32_t id = 0; id < hnsw_info(from).count; id++)
                add_again(from, id, index, vector);
        save(index, out);
        save_metadata(segment, out, words[4]);
        return 0;
}

int main(int argc, char **argv)
{
        if (argc == 9 && strcmp(argv[1], "build") == 0)
                return build(argv + 2);
        if (argc == 6 && strcmp(argv[1], "copy") == 0)
                return copy(argv + 2);
        if (argc == 7 && strcmp(argv[1], "rebuild") == 0)
                return rebuild(argv + 2);
        (void) fprintf(stderr, "usage: hnsw_build build|copy|rebuild ...\n");
        return 2;
}
