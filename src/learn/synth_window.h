/* Windows of a body: a value and the instructions behind it down to at most two values, with a
 * name that does not depend on registers. Thread: any. */
#ifndef LEARN_SYNTH_WINDOW_H
#define LEARN_SYNTH_WINDOW_H
#include "learn/ssa.h"
#include "learn/synth_search.h"

enum { WINDOW_NODES = 24, WINDOW_KEY = 1024, WINDOW_PROGRAM = 256 };

struct window {
	unsigned n_nodes, n_leaves, n_constants;
	int nodes[WINDOW_NODES]; /* values in program order, the result last */
	int leaves[SYNTH_LEAVES]; /* values, or SSA_START */
	uint8_t leaf_bits[SYNTH_LEAVES];
	uint64_t constants[SYNTH_CONSTANTS]; /* that its instructions use, each once */
	unsigned weight; /* of what goes when the window is replaced */
	unsigned insns; /* the same, counted */
};

/* Windows that end in `root`, the one that saves most first. Returns how many. */
unsigned window_list(const struct ssa *ssa, const unsigned *uses, int root, struct window *ret,
		     unsigned most);
uint64_t window_eval(const struct ssa *ssa, const struct window *window,
		     const uint64_t *leaves);
/* The window as text; with `open`, constants are named by their place in window->constants. */
bool window_key(const struct ssa *ssa, const struct window *window, bool open, char *ret);
/* A program as text, and back; constants as in window_key. False: it cannot be said so. */
bool window_program_write(const struct window *window, const struct synth_program *program,
			  bool open, char *ret);
bool window_program_read(const struct window *window, const char *text,
			 struct synth_program *ret);
/* Number of the constant, or -1. */
int window_constant(const struct window *window, uint64_t value);
#endif
