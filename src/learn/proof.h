/* A list of obligations handed to Z3 one by one, and the record of it: SMT-LIB text that stands
 * for itself, verdict, time. An obligation is proved when its negation is unsatisfiable; a
 * timeout is not a proof. Thread: one proof belongs to one thread. */
#ifndef LEARN_PROOF_H
#define LEARN_PROOF_H
#include <stdbool.h>
#include <z3.h>

#include "base/own.h"
#include "base/vec.h"
struct error;

enum proof_verdict { PROOF_PROVED, PROOF_REFUTED, PROOF_TIMEOUT };

struct proof_step {
	char name[64];
	char *smtlib; /* owned; unsatisfiable if the step is right; NULL: not kept */
	enum proof_verdict verdict;
	double ms;
	bool simplified; /* closed without search */
};

struct proof {
	VEC(struct proof_step) steps;
	enum proof_verdict verdict; /* of all steps so far */
	double ms;
	bool keep_text;
	unsigned timeout_ms; /* of one step; 0: 2000 */
	char failed[64]; /* name of the first step without a proof */
};

struct error *proof_create(struct proof **ret);
void proof_destroy(struct proof *proof);
OWN_DECLARE(own_proof, struct proof *, proof_destroy)
const char *proof_verdict_name(enum proof_verdict verdict);

/* A context that reports errors by value and is freed with proof_context_destroy. */
Z3_context proof_context_create(void);
static inline void proof_context_destroy(Z3_context *z)
{
	if (*z)
		Z3_del_context(*z);
}

/* premise => goal, for all values. premise may be NULL. given: a solver whose assertions are
 * premises too, or NULL. Adds a step and returns whether it is proved; `quiet` steps that fail
 * are not added. */
struct proof_try {
	const char *name;
	Z3_ast premise, goal;
	Z3_solver given;
	bool quiet;
	unsigned timeout_ms; /* 0: the proof's */
};
bool proof_check(struct proof *proof, Z3_context z, const struct proof_try *what);

/* Bounds what the solver may do for one check, in its own steps. */
void proof_limit(Z3_context z, Z3_solver solver, unsigned ms);

/* Checks one recorded text with a fresh solver. */
enum proof_verdict proof_recheck(const char *smtlib, unsigned timeout_ms, double *ms_ret);
#endif
