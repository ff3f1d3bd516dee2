#include "fs/control_line.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/operation/operation.h"

const struct option_spec control_options[] = {
        { .name = "skip",
          .type = OPTION_NAMES,
          .by_default = "none",
          .help = "collections to leave out: their names in collections/, with commas between them" },
        { .name = NULL },
};

static bool is_blank(char c)
{
        return c == ' ' || c == '\t';
}

/* Whether the word is one of ours; what it says is checked afterwards. */
static bool is_ours(const char *word, size_t len)
{
        for (const struct option_spec *option = control_options; option->name != NULL; option++) {
                size_t name = strlen(option->name);
                if (len > name && memcmp(word, option->name, name) == 0 && word[name] == '=')
                        return true;
        }
        return false;
}

/* The words that are not ours, with a blank between them. */
static int leave_ours_out(const struct text *line, struct text *ret)
{
        char *rest = malloc(line->len + 1);
        size_t len = 0, end = line->len > 0 && line->bytes[line->len - 1] == '\n' ? line->len - 1 : line->len;
        if (rest == NULL)
                return -ENOMEM;
        for (size_t begin = 0, n; begin < end; begin += n + 1) {
                for (n = 0; begin + n < end && !is_blank(line->bytes[begin + n]);)
                        n++;
                if (n == 0 || is_ours(line->bytes + begin, n))
                        continue;
                if (len > 0)
                        rest[len++] = ' ';
                memcpy(rest + len, line->bytes + begin, n);
                len += n;
        }
        rest[len] = '\0';
        *ret = (struct text){ .bytes = rest, .len = len };
        return 0;
}

static int add(struct control_line *line, const struct collection *collection)
{
        struct text *more = reallocarray(line->skip, line->skip_count + 1, sizeof(*more));
        if (more == NULL)
                return -ENOMEM;
        line->skip = more;
        more[line->skip_count] = (struct text){ 0 };
        int r = text_copy(&more[line->skip_count], collection->id.bytes, collection->id.len);
        line->skip_count += r == 0;
        return r;
}

/* By its entry, and all that have it as their name, as -o skip takes names; but under -o privacy nobody finds out names by asking. */
static int add_named(const struct request *request, const struct text *name, struct control_line *line, struct error *e)
{
        const struct entries *entries = request->entries;
        bool by_name = !request->mount->options->privacy;
        const struct entry *entry = strlen(name->bytes) == name->len ? entries_by_name(entries, name->bytes) : NULL;
        int found = entry != NULL, r = found ? add(line, entry->collection) : 0;
        for (size_t i = 0; r == 0 && by_name && i < entries->count; i++) {
                const struct collection *collection = entries->by_id[i].collection;
                if ((entry != NULL && collection == entry->collection) || !text_equal(&collection->name, name))
                        continue;
                found = 1;
                r = add(line, collection);
        }
        if (r < 0)
                return error_set(e, -r, "no memory");
        return found ? 0
                     : error_set(e, EINVAL, "skip: there is no collection '%.100s': ls collections/ shows their names",
                                 name->bytes);
}

/* Those that -o skip leaves out of the mount are none of its business. */
static int add_hidden(const struct request *request, struct control_line *line)
{
        const struct catalog *catalog = request->view->catalog;
        int r = 0;
        for (size_t i = 0; r == 0 && request->mount->options->skip_count > 0 && i < catalog->collection_count; i++)
                if (entries_by_id(request->entries, catalog->collections[i].id.bytes) == NULL)
                        r = add(line, &catalog->collections[i]);
        return r;
}

static int leave_out(struct request *request, const struct command *command, struct control_line *line, struct error *e)
{
        int r = request_need(request);
        if (r < 0) {
                *e = request->error;
                return r;
        }
        const struct option_value *skip = command_option(command, "skip");
        for (size_t i = 0; r == 0 && i < skip->name_count; i++)
                r = add_named(request, &skip->names[i], line, e);
        if (r == 0 && add_hidden(request, line) < 0)
                r = error_set(e, ENOMEM, "no memory");
        return r;
}

static size_t count(const struct option_spec *options)
{
        size_t n = 0;
        while (options != NULL && options[n].name != NULL)
                n++;
        return n;
}

/* The operation's own rows, and ours: the caller's. NULL without memory. */
static struct option_spec *all_options(const struct node_type *control, const struct operation_type *operation)
{
        const struct option_spec *ours = control->takes_skip ? control_options : NULL;
        size_t own_count = count(operation->options), our_count = count(ours);
        struct option_spec *all = calloc(own_count + our_count + 1, sizeof(*all));
        if (all != NULL && own_count > 0)
                memcpy(all, operation->options, own_count * sizeof(*all));
        if (all != NULL && ours != NULL)
                memcpy(all + own_count, ours, our_count * sizeof(*all));
        return all;
}

int control_line_read(struct request *request, const struct node_type *control, const struct text *line, struct control_line *ret,
                      struct error *e)
{
        const struct operation_type *operation = operation_find(control->operation);
        if (operation == NULL)
                return error_set(e, EOPNOTSUPP, "there is no operation %s", control->operation);
        CLEANUP(command_free)
        struct command *command = NULL;
        CLEANUP(free)
        struct option_spec *options = all_options(control, operation);
        int r = options != NULL ? command_parse(options, line->bytes, line->len, &command, e) : error_set(e, ENOMEM, "no memory");
        if (r < 0)
                return r;
        *ret = (struct control_line){ 0 };
        r = leave_ours_out(line, &ret->rest);
        if (r < 0)
                return error_set(e, -r, "no memory");
        if (control->takes_skip)
                r = leave_out(request, command, ret, e);
        if (r < 0)
                control_line_clear(ret);
        return r;
}

void control_line_clear(struct control_line *line)
{
        for (size_t i = 0; i < line->skip_count; i++)
                free(line->skip[i].bytes);
        free(line->skip);
        free(line->rest.bytes);
        *line = (struct control_line){ 0 };
}

/* What force=1 does, which no row of an option tells: it is another thing for each operation. */
static int add_forced(const struct operation_type *operation, struct text *usage)
{
        char *more = NULL;
        int len = (int) strlen(operation->forced);
        len -= len > 0 && operation->forced[len - 1] == '.';
        if (asprintf(&more, "%s# With force=1 beside a process that has the directory open: %.*s.\n", usage->bytes, len,
                     operation->forced) < 0)
                return -ENOMEM;
        free(usage->bytes);
        *usage = (struct text){ .bytes = more, .len = strlen(more) };
        return 0;
}

int control_usage(const struct node_type *control, struct text *ret)
{
        const struct operation_type *operation = operation_find(control->operation);
        if (operation == NULL)
                return -EOPNOTSUPP;
        struct text usage = { 0 };
        CLEANUP(free)
        struct option_spec *options = all_options(control, operation);
        int r = options != NULL ? command_usage(control->name, operation->summary, options, &usage) : -ENOMEM;
        if (r == 0 && operation->forced != NULL)
                r = add_forced(operation, &usage);
        if (r < 0)
                free(usage.bytes);
        else
                *ret = usage;
        return r;
}
