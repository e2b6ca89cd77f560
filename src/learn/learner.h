/* Learning one candidate inside limits: a child process per candidate, with bounds on processor
 * time and memory, so that neither the solver nor the lifter can take the learner down. Thread:
 * the process's only one. */
#ifndef LEARN_LEARNER_H
#define LEARN_LEARNER_H
#include <jansson.h>

#include "learn/vex.h"
struct error;
struct library;

struct learner_params {
	struct library *library;
	const struct code_source *source;
	uint64_t head;
	const char *symbol, *program; /* or NULL */
	unsigned cases; /* 0: 10 000 */
	unsigned seconds; /* processor time of the candidate; 0: 60 */
	unsigned megabytes; /* address space; 0: 3072, of which Unicorn reserves 1024 */
	bool again; /* also what was refused before */
};

/* *row_ret: address, symbol, outcome ("learned", "known", "refused"), id or null, reason or
 * null, pattern or null, ms (wall time), cpu_ms. A crash or timeout of the child is a refusal
 * with that reason. New reference. */
struct error *learner_learn(const struct learner_params *params, json_t **row_ret);
#endif
