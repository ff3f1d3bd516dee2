/* collections/<entry>/config/: one effective parameter a file; and the same as an object for info.json. */
#include <errno.h>
#include <string.h>

#include "fs/facts.h"
#include "fs/present.h"
#include "fs/show.h"
#include "ops/json.h"

enum parameter_form { FORM_SPACE, FORM_INTEGER, FORM_REAL };

/* The parameters, in the order in which they are shown. */
static const struct parameter {
        const char *name;
        enum parameter_form form;
        size_t value;   /* offset of the value in struct hnsw_config */
        size_t present; /* offset of the flag that says whether the version has it; 0: always */
} parameters[] = {
        { "space", FORM_SPACE, offsetof(struct hnsw_config, space), 0 },
        { "m", FORM_INTEGER, offsetof(struct hnsw_config, m), 0 },
        { "ef_construction", FORM_INTEGER, offsetof(struct hnsw_config, ef_construction), 0 },
        { "ef_search", FORM_INTEGER, offsetof(struct hnsw_config, ef_search), 0 },
        { "num_threads", FORM_INTEGER, offsetof(struct hnsw_config, num_threads), offsetof(struct hnsw_config, has_num_threads) },
        { "resize_factor", FORM_REAL, offsetof(struct hnsw_config, resize_factor),
          offsetof(struct hnsw_config, has_resize_factor) },
        { "batch_size", FORM_INTEGER, offsetof(struct hnsw_config, batch_size), offsetof(struct hnsw_config, has_batch_size) },
        { "sync_threshold", FORM_INTEGER, offsetof(struct hnsw_config, sync_threshold), 0 },
};
#define PARAMETER_COUNT (sizeof(parameters) / sizeof(*parameters))

static const void *field(const struct hnsw_config *config, size_t offset)
{
        return (const char *) config + offset;
}

static bool config_has(const struct hnsw_config *config, const struct parameter *p)
{
        if (config->source == CONFIG_UNSUPPORTED)
                return false;
        return p->present == 0 || *(const bool *) field(config, p->present);
}

/* NULL: the value is not known. */
static struct json_object *parameter_json(const struct hnsw_config *config, const struct parameter *p)
{
        switch (p->form) {
        case FORM_SPACE:
                return json_string(hnsw_space_name(config->space));
        case FORM_REAL:
                return json_double(*(const double *) field(config, p->value));
        case FORM_INTEGER:
                break;
        }
        int64_t value = *(const int64_t *) field(config, p->value);
        return value > 0 ? json_object_new_int64(value) : NULL;
}

struct json_object *config_json(const struct hnsw_config *config)
{
        struct json_object *o = json_object_new_object();
        if (o == NULL)
                return NULL;
        json_object_object_add(o, "source", json_string(config_source_name(config->source)));
        for (size_t i = 0; i < PARAMETER_COUNT; i++)
                if (config_has(config, &parameters[i]))
                        json_object_object_add(o, parameters[i].name, parameter_json(config, &parameters[i]));
        return o;
}

static int read_config(struct request *request, const struct node *node, struct hnsw_config *ret)
{
        const struct collection *collection = node_collection(request, node);
        if (collection == NULL)
                return -ENOENT;
        struct detail_result *detail = NULL;
        int r = observer_detail(request->mount->observer, request->view, collection, &request->patience, &detail, &request->error);
        if (r < 0)
                return r;
        *ret = detail->config;
        r = detail->config_failure.code;
        if (r < 0)
                request->error = detail->config_failure;
        (void) result_put(&detail->shared);
        return r;
}

static const struct parameter *parameter_of(const struct node *node)
{
        size_t i = 0;
        while (strcmp(parameters[i].name, node->type->name) != 0)
                i++;
        return &parameters[i];
}

/* A configuration that can't be read leaves the files there: reading one of them tells. */
bool has_parameter(struct request *request, const struct node *node)
{
        struct hnsw_config config;
        const struct parameter *p = parameter_of(node);
        int r = read_config(request, node, &config);
        request->stale = request->stale || r == -ESTALE;
        if (r < 0)
                return true;
        return config_has(&config, p);
}

/* Nothing is stored, and the release (ef_search) or the machine (num_threads) that opens the index decides. */
static bool is_default(const struct hnsw_config *config, const struct parameter *p)
{
        return p->form == FORM_INTEGER && *(const int64_t *) field(config, p->value) == 0;
}

int show_parameter(struct request *request, const struct node *node, struct text *ret)
{
        struct hnsw_config config;
        int r = read_config(request, node, &config);
        if (r < 0)
                return r;
        if (is_default(&config, parameter_of(node)))
                return show_line(ret, "default\n");
        struct json_object *value = parameter_json(&config, parameter_of(node));
        const char *text = value == NULL ? NULL : json_object_get_string(value);
        r = text == NULL ? -ENOENT : show_line(ret, "%s\n", text);
        (void) json_object_put(value);
        return r;
}
