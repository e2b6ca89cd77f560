/* What a loop does, found by looking at one iteration: which registers count, which accumulate,
 * which memory is walked how, when it ends. Nothing here is trusted: the prover checks what was
 * made of it. Thread: that of the builder. */
#ifndef LEARN_LOOP_H
#define LEARN_LOOP_H
#include "learn/iterate.h"

enum loop_cell_class {
	LOOP_DEAD, /* overwritten before anybody reads it */
	LOOP_CARRIED, /* read only by who leaves the loop: one more pass of the guest's own sets
			 it */
	LOOP_INVARIANT,
	LOOP_IV, /* grows by a constant, 64 bits */
	LOOP_IV32, /* the same in 32 bits, zero-extended */
	LOOP_IV_LANES, /* each lane grows by that of something invariant */
	LOOP_REDUCTION, /* or state, in a serial loop */
};

/* The kernel leaves such a cell as it was. */
static inline bool loop_class_is_stale(enum loop_cell_class class)
{
	return class == LOOP_DEAD || class == LOOP_CARRIED;
}

struct loop_cell {
	enum loop_cell_class class;
	uint64_t step; /* of an IV */
	ir_ref steps; /* of lanes: 64 bits over INIT leaves of invariant cells */
	uint8_t lane; /* bits of one, below 64 */
	unsigned reduction; /* number */
};

enum {
	LOOP_STREAMS_MAX = 24,
	LOOP_REDUCTIONS_MAX = 16,
	LOOP_ACCESSES_MAX = 256,
	LOOP_GUARDS_MAX = 96
};

/* Why a guard failed; the same numbers as the plugin's plan results. */
enum loop_reason { LOOP_SHORT = 1, LOOP_OVERLAP, LOOP_WRAP, LOOP_SHAPE };

struct loop_reduction {
	unsigned cell;
	enum ir_op op; /* ADD AND OR XOR MINU MINS MAXU MAXS */
	bool state; /* no op: 64 bits that become `value`, of which the leaf is CELL_ACC */
	uint8_t width, lane; /* lane 0: one value of `width` bits, zero-extended to 64 */
	bool clean_top; /* the register's bits above `width` must be 0 at entry */
	ir_ref value; /* what an iteration contributes, `width` bits, in closed form */
};

struct loop_stream {
	ir_ref base; /* 64 bits, over INIT leaves */
	int64_t stride; /* bytes an iteration; 0 with a region */
	int32_t low, high; /* window around base + stride k */
	bool reads, writes;
	bool region; /* a table of `high` bytes, indexed by data */
};

struct loop_access {
	size_t event;
	unsigned stream;
	int32_t offset; /* from base + stride k */
	ir_ref index; /* in a region: bytes from base + offset, in closed form; else IR_NONE */
	ir_ref condition; /* closed form; of stores */
	ir_ref data; /* closed form; of stores */
};

struct loop {
	struct ir *ir; /* borrowed */
	const struct iteration *iteration; /* borrowed */
	struct loop_cell cells[CELLS];
	unsigned n_reductions, n_streams, n_accesses, n_guards;
	struct loop_reduction reductions[LOOP_REDUCTIONS_MAX];
	struct loop_stream streams[LOOP_STREAMS_MAX];
	struct loop_access accesses[LOOP_ACCESSES_MAX];
	ir_ref trip; /* 64 bits over INIT leaves: iterations that certainly do not leave */
	ir_ref guards[LOOP_GUARDS_MAX]; /* 1 bit each over INIT leaves: all must hold */
	uint8_t reasons[LOOP_GUARDS_MAX]; /* enum loop_reason, if it does not */
	bool serial; /* iterations run in order */
	bool any_carried; /* some cell is LOOP_CARRIED */
	uint64_t counted_exits; /* bit i: exit i of the iteration is kept away by the trip count
				 */
	ir_ref search; /* closed form: this iteration leaves; IR_NONE: counted only */
	bool counted; /* some exit bounds the trip count */
	/* "doall", "reduction", "search", "fill", "copy"; "serial", "serial search" */
	const char *pattern;
};

/* Fills *ret. Fails: ERR_UNSUPPORTED, the message is the reason for people. */
struct error *loop_analyse(const struct iteration *iteration, struct loop *ret);

/* The expression with every induction variable as a function of the leaf K, and state as a
 * leaf CELL_ACC. */
ir_ref loop_close(struct loop *loop, ir_ref ref);

/* The cell (not an invariant one) after `times` iterations, a term of 64 bits: closed form. */
ir_ref loop_cell_after(struct loop *loop, unsigned c, ir_ref times);

/* A sum of atoms: base + k * step, mod 2^width. */
struct loop_linear {
	ir_ref base; /* free of K and loads */
	uint64_t step; /* sign-extended from the width */
};
/* False when ref (closed form) is not linear. Limits on the trip count that make it so (no
 * wrap below 64 bits) go to loop->trip. */
bool loop_linear(struct loop *loop, ir_ref ref, struct loop_linear *ret);

/* Does ref depend on a leaf of this kind (and number, unless ~0)? */
bool loop_depends(const struct loop *loop, ir_ref ref, enum ir_op leaf, uint64_t imm);

/* Does ref depend on memory or on what iterations before this one made? */
bool loop_is_data(const struct loop *loop, ir_ref ref);

/* Taken in no iteration or in all: says nothing about K or memory. */
static inline bool loop_is_settled(const struct loop *loop, ir_ref closed)
{
	return !loop_is_data(loop, closed) && !loop_depends(loop, closed, IR_INIT, CELL_K) &&
	       !loop_depends(loop, closed, IR_OPAQUE, ~0ull);
}

/* Does the guard see to it that this way out, with its condition in closed form, is taken in no
 * iteration at all? */
bool loop_rules_out(const struct loop *loop, const struct iteration_exit *out, ir_ref closed);

/* trip = min(trip, limit). */
void loop_limit_trip(struct loop *loop, ir_ref limit);
struct error *loop_add_guard(struct loop *loop, ir_ref condition, enum loop_reason reason);

/* Passes, in order. */
struct error *loop_classify_cells(struct loop *loop);
struct error *loop_find_trip(struct loop *loop);
struct error *loop_find_streams(struct loop *loop);
struct error *loop_make_guards(struct loop *loop);
#endif
