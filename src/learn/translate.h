/* From a loop to a microcode kernel: guard, setup, one iteration, finish. Mechanical and not
 * trusted. Thread: that of the builder. */
#ifndef LEARN_TRANSLATE_H
#define LEARN_TRANSLATE_H
#include "learn/loop.h"
#include "mcode/program.h"

/* Number of the guest register that holds a cell, or -1. */
int translate_guest_reg(unsigned cell);

/* Caller owns *ret. Fails: ERR_UNSUPPORTED (a value that microcode cannot hold), ERR_LIMIT. */
struct error *translate_loop(struct loop *loop, const char *name, struct mcode_kernel **ret);
#endif
