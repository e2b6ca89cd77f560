/* Proves large terms equal by way of what is equal inside them. Thread: that of the context. */
#ifndef LEARN_PROVE_SWEEP_H
#define LEARN_PROVE_SWEEP_H
#include "learn/proof.h"
struct error;
struct sweep;

/* Lemmas become steps of the proof. Caller owns *ret, for as long as the context lives. */
struct error *sweep_create(Z3_context z, struct proof *proof, struct sweep **ret);
void sweep_destroy(struct sweep *sweep);
OWN_DECLARE(own_sweep, struct sweep *, sweep_destroy)

/* Two terms that are meant to be equal; all of them before the first sweep_rewrite. */
void sweep_add(struct sweep *sweep, Z3_ast a, Z3_ast b);
/* What stands for a term that was added: if that of one equals that of another for all values
 * of its variables, so do the terms themselves. */
Z3_ast sweep_rewrite(struct sweep *sweep, Z3_ast a);
#endif
