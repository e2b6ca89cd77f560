/* Shorter microcode for straight-line sections: windows of a body are searched for cheaper
 * instructions that compute the same (synth_search), and what is found is proved equal for all
 * inputs before it replaces anything. Windows are remembered as templates, free of register
 * names and, where the proof holds for all constants, of constants. The kernel's own proof
 * covers the result once more. Thread: the learner's. */
#ifndef LEARN_SYNTH_H
#define LEARN_SYNTH_H
#include <stdbool.h>

#include "mcode/program.h"
struct error;

enum { SYNTH_WINDOWS_MAX = 128 };

/* One window that was searched, for statistics. */
struct synth_window {
	unsigned before, after; /* instructions; after = before: nothing shorter was found */
	double search_ms, proof_ms; /* processor time */
};

struct synth_result {
	unsigned before, after; /* instructions of the body */
	unsigned cost_before, cost_after; /* by the ISA's table */
	unsigned templates; /* windows that a template answered */
	unsigned n_windows; /* searched anew */
	struct synth_window windows[SYNTH_WINDOWS_MAX];
	double ms;
};

/* Where templates are kept; both may be NULL. Texts are the store's to copy. find: false or the
 * program's text ("" says that nothing shorter is known). */
struct synth_store {
	bool (*find)(void *user, const char *key, char *program, size_t size);
	void (*add)(void *user, const char *key, const char *program);
	void *user;
};

/* Rewrites the body of a kernel in place, or leaves it alone. Fails: ERR_MEMORY, ERR_PEER. */
struct error *synth_kernel(struct mcode_kernel *kernel, const struct synth_store *store,
			   struct synth_result *ret);
#endif
