/*
 * A pickle is a program of one-byte opcodes with operands behind them, for a machine with a stack, marks in it, and a memo of values.
 *
 *   scalars      push one value                    containers   EMPTY_DICT, EMPTY_TUPLE push; SETITEM takes key and value off and puts
 *   MARK         remembers the stack's height                   them into the dict below; SETITEMS does so with all pairs above a mark
 *   MEMOIZE, BINPUT   copy the top into the memo   GLOBAL       pushes a class by name; NEWOBJ or REDUCE make an instance of it, BUILD
 *   BINGET       pushes a value from the memo                   gives it its state; STOP ends with the one value that is left
 *
 * What writers do, and where we are stricter than Python on purpose, since what none of them writes is damage or an attack:
 *   - the first opcode is PROTO, 2 to 5, and there is no second one; STOP is the last byte of the file (1.x refuses bytes behind it,
 *     and every Chroma empties the file before it writes);
 *   - memo entries are numbered from 0 without gaps, so a number of four billion can't make a table of that size;
 *   - an opcode never reaches below the last mark; STOP finds exactly one value and no mark;
 *   - at most one instance, of the class PersistentData, made without arguments and built once from a dict that nothing changes after;
 *   - keys of dicts are scalars, which is all that Python's hashable values come to here.
 */
#include "ops/pickle_machine.h"

#define STEPS_PER_ASK 65536u /* about a millisecond */

#include <errno.h>
#include <string.h>

#include "ops/pickle_scalars.h"
#include "ops/pickle_stack.h"

#define CLASS_MODULE "chromadb.segment.impl.vector.local_persistent_hnsw"
#define CLASS_NAME "PersistentData"

/* Writers need four dicts; the rest is room for state keys that are unknown yet. */
#define DICTS_MAX 64u
#define NO_DICT UINT32_MAX

struct pickle_tree {
        struct pickle_dict dicts[DICTS_MAX];
        size_t dict_count;
        struct pickle_value root;
        uint32_t state; /* the dict that the instance was built from, or NO_DICT */
};

typedef int opcode_fn(struct pickle_machine *m);

const char *pickle_kind_name(uint32_t kind)
{
        static const char *const names[] = {
                [PICKLE_NONE] = "None",
                [PICKLE_BOOL] = "a boolean",
                [PICKLE_INTEGER] = "an integer",
                [PICKLE_OUT_OF_RANGE] = "an integer below 0 or above 2^64-1",
                [PICKLE_STRING] = "a string",
                [PICKLE_TUPLE] = "a tuple",
                [PICKLE_EMPTY_TUPLE] = "an empty tuple",
                [PICKLE_DICTIONARY] = "a dict",
                [PICKLE_CLASS] = "a class",
                [PICKLE_OBJECT] = "an instance",
        };
        return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "unknown";
}

/* ---- memo ---- */

static int op_memoize(struct pickle_machine *m)
{
        return pickle_memo_put(m, m->memo.count);
}

static int op_binput(struct pickle_machine *m)
{
        uint64_t index;
        int r = pickle_take_uint(m, 1, &index);
        return r < 0 ? r : pickle_memo_put(m, index);
}

static int op_long_binput(struct pickle_machine *m)
{
        uint64_t index;
        int r = pickle_take_uint(m, 4, &index);
        return r < 0 ? r : pickle_memo_put(m, index);
}

static int op_binget(struct pickle_machine *m)
{
        return pickle_memo_get(m, 1);
}

static int op_long_binget(struct pickle_machine *m)
{
        return pickle_memo_get(m, 4);
}

/* ---- tuples: what is in them is dropped, since nothing that we read has any ---- */

static int op_empty_tuple(struct pickle_machine *m)
{
        return pickle_push(m, PICKLE_EMPTY_TUPLE, 0);
}

static int make_tuple(struct pickle_machine *m, size_t n)
{
        if (n > 0 && pickle_top(m, n) == NULL)
                return -EILSEQ;
        m->stack.count -= n;
        return pickle_push(m, n == 0 ? PICKLE_EMPTY_TUPLE : PICKLE_TUPLE, 0);
}

static int op_tuple(struct pickle_machine *m)
{
        size_t from = 0;
        int r = pickle_pop_mark(m, &from);
        return r < 0 ? r : make_tuple(m, m->stack.count - from);
}

static int op_tuple1(struct pickle_machine *m)
{
        return make_tuple(m, 1);
}

static int op_tuple2(struct pickle_machine *m)
{
        return make_tuple(m, 2);
}

static int op_tuple3(struct pickle_machine *m)
{
        return make_tuple(m, 3);
}

/* ---- dicts ---- */

static int op_empty_dict(struct pickle_machine *m)
{
        if (m->tree->dict_count == DICTS_MAX)
                return pickle_bad(m, "too many dicts");
        struct pickle_value value = { .kind = PICKLE_DICTIONARY, .at = (uint32_t) m->op };
        value.dict = (uint32_t) m->tree->dict_count++;
        return pickle_append(m, &m->stack, value);
}

static int dict_reserve(struct pickle_machine *m, struct pickle_dict *dict, size_t more)
{
        if (more <= dict->allocated - dict->count)
                return 0;
        size_t need = dict->count + more; /* each pair is 16 bytes and more on the stack: no overflow */
        size_t allocated = need < dict->allocated * 2 ? dict->allocated * 2 : need;
        struct pickle_pair *pairs = reallocarray(dict->pairs, allocated, sizeof(*pairs));
        if (pairs == NULL)
                return error_set(m->e, ENOMEM, "no memory for " PICKLE_FILE);
        dict->pairs = pairs;
        dict->allocated = allocated;
        return 0;
}

/* Moves `count` values, keys and values in turn, from the top of the stack into the dict below them. */
static int set_items(struct pickle_machine *m, size_t count)
{
        if (count % 2 != 0)
                return pickle_bad(m, "a key without a value");
        struct pickle_value *target = pickle_top(m, count + 1);
        if (target == NULL)
                return -EILSEQ;
        if (target->kind != PICKLE_DICTIONARY || target->dict == m->tree->state)
                return pickle_bad(m, "items for what is no dict, or a dict already in use");
        struct pickle_dict *dict = &m->tree->dicts[target->dict];
        int r = dict_reserve(m, dict, count / 2);
        if (r < 0)
                return r;
        for (const struct pickle_value *v = target + 1; v < target + 1 + count; v += 2) {
                if (v[0].kind > PICKLE_STRING)
                        return pickle_bad(m, "a dict's key that is no scalar");
                dict->pairs[dict->count++] = (struct pickle_pair){ .key = v[0], .value = v[1] };
        }
        m->stack.count -= count;
        return 0;
}

static int op_setitem(struct pickle_machine *m)
{
        return set_items(m, 2);
}

static int op_setitems(struct pickle_machine *m)
{
        size_t from = 0;
        int r = pickle_pop_mark(m, &from);
        return r < 0 ? r : set_items(m, m->stack.count - from);
}

/* ---- the one class ---- */

static bool bytes_are(const unsigned char *bytes, size_t len, const char *literal)
{
        return len == strlen(literal) && memcmp(bytes, literal, len) == 0;
}

static int push_class(struct pickle_machine *m, const unsigned char *module, size_t module_len, const unsigned char *name,
                      size_t name_len)
{
        if (!bytes_are(module, module_len, CLASS_MODULE) || !bytes_are(name, name_len, CLASS_NAME))
                return pickle_bad(m, "names something else than the class " CLASS_NAME " of Chroma; it is not loaded");
        return pickle_push(m, PICKLE_CLASS, 0);
}

/* A line of the pickle, without its newline. */
static const unsigned char *take_line(struct pickle_machine *m, size_t *ret_len)
{
        const unsigned char *start = m->bytes + m->pos;
        const unsigned char *newline = memchr(start, '\n', m->len - m->pos);
        if (newline == NULL) {
                (void) pickle_bad(m, "the file ends within it");
                return NULL;
        }
        *ret_len = (size_t) (newline - start);
        m->pos += *ret_len + 1;
        return start;
}

static int op_global(struct pickle_machine *m)
{
        size_t module_len, name_len;
        const unsigned char *module = take_line(m, &module_len);
        const unsigned char *name = module == NULL ? NULL : take_line(m, &name_len);
        return name == NULL ? -EILSEQ : push_class(m, module, module_len, name, name_len);
}

static int op_stack_global(struct pickle_machine *m)
{
        const struct pickle_value *v = pickle_top(m, 2);
        if (v == NULL)
                return -EILSEQ;
        if (v[0].kind != PICKLE_STRING || v[1].kind != PICKLE_STRING)
                return pickle_bad(m, "a class's name that is no string");
        m->stack.count -= 2;
        return push_class(m, m->bytes + v[0].at, v[0].string.len, m->bytes + v[1].at, v[1].string.len);
}

/* NEWOBJ, and REDUCE, which would call the class: both come to an instance without state. */
static int op_newobj(struct pickle_machine *m)
{
        const struct pickle_value *v = pickle_top(m, 2);
        if (v == NULL)
                return -EILSEQ;
        if (v[0].kind != PICKLE_CLASS || v[1].kind != PICKLE_EMPTY_TUPLE)
                return pickle_bad(m, "makes something else than an instance of " CLASS_NAME " without arguments");
        if (m->instantiated)
                return pickle_bad(m, "a second instance");
        m->instantiated = true;
        m->stack.count -= 2;
        return pickle_push(m, PICKLE_OBJECT, 0);
}

static int op_build(struct pickle_machine *m)
{
        const struct pickle_value *v = pickle_top(m, 2);
        if (v == NULL)
                return -EILSEQ;
        if (v[0].kind != PICKLE_OBJECT || v[1].kind != PICKLE_DICTIONARY)
                return pickle_bad(m, "a state that is no dict, or for what is no instance");
        if (m->tree->state != NO_DICT)
                return pickle_bad(m, "a second state for the instance");
        m->tree->state = v[1].dict;
        m->stack.count--;
        return 0;
}

/* ---- the program ---- */

/* Frames only help a reader to read ahead; one that is longer than the file is a sign that the file was cut. */
static int op_frame(struct pickle_machine *m)
{
        uint64_t n;
        int r = pickle_take_uint(m, 8, &n);
        if (r < 0)
                return r;
        return n > m->len - m->pos ? pickle_bad(m, "the file ends within the frame") : 0;
}

static int op_stop(struct pickle_machine *m)
{
        if (m->stack.count != 1 || m->mark_count != 0)
                return pickle_bad(m, "ends with more or less than one value");
        if (m->pos != m->len)
                return pickle_bad(m, "more bytes behind the end of the pickle");
        m->tree->root = m->stack.items[0];
        if (m->tree->root.kind != PICKLE_DICTIONARY && (m->tree->root.kind != PICKLE_OBJECT || m->tree->state == NO_DICT))
                return pickle_bad(m, "the result is neither a dict nor an instance with a state");
        m->stopped = true;
        return 0;
}

static opcode_fn *const opcodes[256] = {
        ['('] = pickle_op_mark,
        ['.'] = op_stop,
        ['0'] = pickle_op_pop,
        ['J'] = pickle_op_binint,
        ['K'] = pickle_op_binint1,
        ['M'] = pickle_op_binint2,
        ['N'] = pickle_op_none,
        ['R'] = op_newobj,
        ['X'] = pickle_op_binunicode,
        ['b'] = op_build,
        ['c'] = op_global,
        ['h'] = op_binget,
        ['j'] = op_long_binget,
        ['q'] = op_binput,
        ['r'] = op_long_binput,
        ['s'] = op_setitem,
        ['t'] = op_tuple,
        ['u'] = op_setitems,
        ['}'] = op_empty_dict,
        [')'] = op_empty_tuple,
        [0x81] = op_newobj,
        [0x85] = op_tuple1,
        [0x86] = op_tuple2,
        [0x87] = op_tuple3,
        [0x88] = pickle_op_newtrue,
        [0x89] = pickle_op_newfalse,
        [0x8a] = pickle_op_long1,
        [0x8b] = pickle_op_long4,
        [0x8c] = pickle_op_short_binunicode,
        [0x8d] = pickle_op_binunicode8,
        [0x93] = op_stack_global,
        [0x94] = op_memoize,
        [0x95] = op_frame,
};

int pickle_watch_ask(const struct pickle_watch *watch, struct error *e)
{
        bool ends = watch->cancelled != NULL && watch->cancelled(watch->context);
        return ends ? error_set(e, EINTR, "cancelled") : 0;
}

static int step(struct pickle_machine *m)
{
        opcode_fn *fn = opcodes[m->bytes[m->op]];
        return fn == NULL ? pickle_bad(m, "an opcode that Chroma does not write") : fn(m);
}

static int run(struct pickle_machine *m, const struct pickle_watch *watch)
{
        const unsigned char *proto = pickle_take(m, 2);
        if (proto == NULL || proto[0] != 0x80 || proto[1] < 2 || proto[1] > 5)
                return error_set(m->e, EILSEQ, PICKLE_FILE ": byte 0: no pickle of protocol 2 to 5");
        for (size_t steps = 0; !m->stopped; steps++) {
                if (m->pos == m->len)
                        return error_set(m->e, EILSEQ, PICKLE_FILE ": byte %zu: the file ends without the end of the pickle",
                                         m->pos);
                m->op = m->pos++;
                int r = steps % STEPS_PER_ASK == STEPS_PER_ASK - 1 ? pickle_watch_ask(watch, m->e) : 0;
                if (r == 0)
                        r = step(m);
                if (r < 0)
                        return r;
        }
        return 0;
}

int pickle_tree_build(const char *bytes, size_t len, const struct pickle_watch *watch, struct pickle_tree **ret, struct error *e)
{
        if (len == 0 || len > UINT32_MAX)
                return error_set(e, EILSEQ, PICKLE_FILE ": byte 0: the file is empty, or above 4 GiB");
        CLEANUP(pickle_tree_free)
        struct pickle_tree *tree = calloc(1, sizeof(*tree));
        if (tree == NULL)
                return error_set(e, ENOMEM, "no memory for " PICKLE_FILE);
        tree->state = NO_DICT;
        struct pickle_machine m = { .bytes = (const unsigned char *) bytes, .len = len, .tree = tree, .e = e };
        int r = run(&m, watch);
        free(m.stack.items);
        free(m.memo.items);
        if (r < 0)
                return r;
        *ret = TAKE(tree);
        return 0;
}

struct pickle_tree *pickle_tree_free(struct pickle_tree *tree)
{
        for (size_t i = 0; tree != NULL && i < tree->dict_count; i++)
                free(tree->dicts[i].pairs);
        free(tree);
        return NULL;
}

const struct pickle_dict *pickle_tree_dict(const struct pickle_tree *tree, const struct pickle_value *value)
{
        return &tree->dicts[value->dict];
}

const struct pickle_dict *pickle_tree_state(const struct pickle_tree *tree, bool *ret_instance)
{
        *ret_instance = tree->root.kind == PICKLE_OBJECT;
        return *ret_instance ? &tree->dicts[tree->state] : pickle_tree_dict(tree, &tree->root);
}
