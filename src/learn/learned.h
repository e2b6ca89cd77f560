/* One loop through the whole pipeline: shape, analysis, microcode, proof, tests. Thread: the
 * lifter's. */
#ifndef LEARN_LEARNED_H
#define LEARN_LEARNED_H
#include <jansson.h>

#include "learn/oracle.h"
#include "learn/proof.h"
#include "learn/synth.h"
#include "learn/vex.h"
#include "mcode/program.h"

enum { LEARNED_ID = 33, LEARNED_CODE_MAX = 1024 };

struct learned_params {
	const struct code_source *source;
	uint64_t head;
	const char *symbol; /* or NULL */
	const char *program; /* where it was seen, or NULL */
	unsigned cases; /* 0: 10 000 */
	bool keep_text; /* of the proof */
	bool as_translated; /* look for nothing shorter */
	const struct synth_store *templates; /* or NULL */
};

struct learned {
	char id[LEARNED_ID], x86_hash[LEARNED_ID]; /* hex */
	char symbol[128], program[128];
	const char *pattern;
	uint64_t head, code_base; /* where it was seen */
	uint32_t code_bytes, n_insns;
	uint8_t code[LEARNED_CODE_MAX];
	bool position_dependent; /* right only at this address */
	struct mcode_kernel *kernel;
	struct proof *proof;
	struct oracle_result tests;
	struct synth_result synth; /* what became of the body */
	json_t *guard; /* conditions in words of the expression language */
	double analyse_ms, translate_ms;
};

/* Caller owns *ret: a kernel that is proved and tested. Fails: ERR_UNSUPPORTED, ERR_NOT_FOUND
 * or ERR_LIMIT with the reason it stays with QEMU, ERR_BAD_DATA when tests found a mismatch (a
 * bug in us: to be shouted about), ERR_PEER. */
struct error *learned_create(const struct learned_params *params, struct learned **ret);
void learned_destroy(struct learned *learned);
OWN_DECLARE(own_learned, struct learned *, learned_destroy)

/* The document that the library keeps (docs/learning.md). New reference. */
struct error *learned_to_json(const struct learned *learned, json_t **ret);
#endif
