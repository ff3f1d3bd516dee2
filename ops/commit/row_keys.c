/*
 * Which of a row's keys count. They are sorted once, so that a row with a million keys costs no square of that.
 */
#include "ops/commit/row_json.h"

#include <errno.h>
#include <stdlib.h>

#include "ops/cleanup.h"

void commit_values_free(struct commit_value *values, size_t count)
{
        for (size_t i = 0; i < count; i++)
                free(values[i].items);
        free(values);
}

/* Equal ones in the order that they came in. */
static int by_key(const void *a, const void *b)
{
        const struct commit_value *const *x = a, *const *y = b;
        int order = text_compare(&(*x)->key, &(*y)->key);
        return order != 0 ? order : *x < *y ? -1 : 1;
}

/* Takes the keys away that come again. */
static int hide(struct commit_value *values, size_t count)
{
        CLEANUP(free)
        struct commit_value **sorted = calloc(count, sizeof(struct commit_value *));
        if (sorted == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < count; i++)
                sorted[i] = &values[i];
        qsort(sorted, count, sizeof(*sorted), by_key);
        for (size_t i = 0; i + 1 < count; i++)
                if (text_equal(&sorted[i]->key, &sorted[i + 1]->key))
                        sorted[i]->key.bytes = NULL;
        return 0;
}

int commit_values_reduce(struct commit_value *values, size_t *count)
{
        size_t kept = 0;
        if (*count > 1 && hide(values, *count) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < *count; i++) {
                if (values[i].key.bytes == NULL || commit_value_is_left_out(&values[i]))
                        free(values[i].items);
                else
                        values[kept++] = values[i];
        }
        *count = kept;
        return 0;
}
