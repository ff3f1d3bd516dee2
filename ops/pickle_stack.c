#include "ops/pickle_stack.h"

#include <errno.h>

int pickle_bad(struct pickle_machine *m, const char *what)
{
        return error_set(m->e, EILSEQ, PICKLE_FILE ": byte %zu (opcode 0x%02x): %s", m->op, m->bytes[m->op], what);
}

/* ---- bytes ---- */

const unsigned char *pickle_take(struct pickle_machine *m, uint64_t n)
{
        if (n > m->len - m->pos) {
                (void) pickle_bad(m, "the file ends within it");
                return NULL;
        }
        const unsigned char *p = m->bytes + m->pos;
        m->pos += (size_t) n;
        return p;
}

int pickle_take_uint(struct pickle_machine *m, size_t width, uint64_t *ret)
{
        const unsigned char *p = pickle_take(m, width);
        if (p == NULL)
                return -EILSEQ;
        uint64_t value = 0;
        for (size_t i = width; i > 0; i--)
                value = value << 8 | p[i - 1];
        *ret = value;
        return 0;
}

/* ---- stack and memo ---- */

int pickle_append(struct pickle_machine *m, struct pickle_values *list, struct pickle_value value)
{
        if (list->count == list->allocated) {
                size_t allocated = list->allocated == 0 ? 4096 : list->allocated * 2;
                struct pickle_value *items = reallocarray(list->items, allocated, sizeof(*items));
                if (items == NULL)
                        return error_set(m->e, ENOMEM, "no memory for " PICKLE_FILE);
                list->items = items;
                list->allocated = allocated;
        }
        list->items[list->count++] = value;
        return 0;
}

int pickle_push(struct pickle_machine *m, uint32_t kind, uint64_t integer)
{
        return pickle_append(m, &m->stack, (struct pickle_value){ .kind = kind, .at = (uint32_t) m->op, .integer = integer });
}

/* Height of the stack that belongs to what is below the last mark. */
static size_t fence(const struct pickle_machine *m)
{
        return m->mark_count == 0 ? 0 : m->marks[m->mark_count - 1];
}

struct pickle_value *pickle_top(struct pickle_machine *m, size_t n)
{
        if (m->stack.count - fence(m) < n) {
                (void) pickle_bad(m, "too few values on the stack");
                return NULL;
        }
        return m->stack.items + (m->stack.count - n);
}

int pickle_op_mark(struct pickle_machine *m)
{
        if (m->mark_count == PICKLE_MARKS_MAX)
                return pickle_bad(m, "nested too deeply");
        m->marks[m->mark_count++] = m->stack.count;
        return 0;
}

int pickle_pop_mark(struct pickle_machine *m, size_t *ret_from)
{
        if (m->mark_count == 0)
                return pickle_bad(m, "no mark on the stack");
        *ret_from = m->marks[--m->mark_count];
        return 0;
}

int pickle_op_pop(struct pickle_machine *m)
{
        if (m->mark_count > 0 && fence(m) == m->stack.count) {
                m->mark_count--;
                return 0;
        }
        if (pickle_top(m, 1) == NULL)
                return -EILSEQ;
        m->stack.count--;
        return 0;
}

int pickle_memo_put(struct pickle_machine *m, uint64_t index)
{
        const struct pickle_value *value = pickle_top(m, 1);
        if (value == NULL)
                return -EILSEQ;
        if (index > m->memo.count)
                return pickle_bad(m, "memo entry out of sequence");
        if (index == m->memo.count)
                return pickle_append(m, &m->memo, *value);
        m->memo.items[index] = *value;
        return 0;
}

int pickle_memo_get(struct pickle_machine *m, size_t width)
{
        uint64_t index;
        int r = pickle_take_uint(m, width, &index);
        if (r < 0)
                return r;
        if (index >= m->memo.count)
                return pickle_bad(m, "no such memo entry");
        return pickle_append(m, &m->stack, m->memo.items[index]);
}
