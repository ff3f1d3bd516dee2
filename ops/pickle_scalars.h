/*
 * Opcodes of the pickle machine that push one scalar: None, booleans, integers, strings.
 */
#ifndef OPS_PICKLE_SCALARS_H
#define OPS_PICKLE_SCALARS_H

#include "ops/pickle_stack.h"

int pickle_op_none(struct pickle_machine *m);
int pickle_op_newtrue(struct pickle_machine *m);
int pickle_op_newfalse(struct pickle_machine *m);
int pickle_op_binint1(struct pickle_machine *m);
int pickle_op_binint2(struct pickle_machine *m);
int pickle_op_binint(struct pickle_machine *m);
int pickle_op_long1(struct pickle_machine *m);
int pickle_op_long4(struct pickle_machine *m);
int pickle_op_short_binunicode(struct pickle_machine *m);
int pickle_op_binunicode(struct pickle_machine *m);
int pickle_op_binunicode8(struct pickle_machine *m);

#endif
