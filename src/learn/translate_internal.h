/* Parts of the translator: translate.c (sections, slots), translate_memory.c (loads and stores
 * of the body). */
#ifndef LEARN_TRANSLATE_INTERNAL_H
#define LEARN_TRANSLATE_INTERNAL_H
#include "learn/emit.h"
#include "learn/translate.h"

enum { HOISTED_MAX = 64 };

struct translation {
	struct loop *loop;
	struct mcode_kernel *kernel;
	int16_t input_slot[CELLS + 1]; /* by cell; EFLAGS last; -1: not an input */
	unsigned n_hoisted;
	ir_ref hoisted[HOISTED_MAX];
	uint16_t hoisted_slot[HOISTED_MAX];
	bool in_body;
	const struct loop_access *load_access[4096]; /* by event */
	uint8_t *free_of_k; /* by node: no K, no load inside */
	uint8_t *seen; /* by node: hoist() was there */
};

/* A leaf of the body that is no slot: a load (emit_params.leaf; user: the translation). */
struct error *translate_load(void *user, struct emit *emit, ir_ref ref, unsigned rd);
/* One store, after the loads of what it is about to change. */
struct error *translate_store(struct translation *build, struct emit *emit,
			      const struct loop_access *access);
#endif
