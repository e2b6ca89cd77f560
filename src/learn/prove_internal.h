/* Parts of the prover: prove.c (registers, exits, finish), prove_equal.c (large terms under a
 * premise), prove_memory.c (loads and stores),
 * prove_ints.c (addresses as integers, iterations out of each other's way). */
#ifndef LEARN_PROVE_INTERNAL_H
#define LEARN_PROVE_INTERNAL_H
#include "learn/bv_ir.h"
#include "learn/bv_mcode.h"
#include "learn/lia.h"
#include "learn/prove.h"
#include "learn/prove_sweep.h"

/* One byte of memory of this iteration: stream, place, what each side has it hold now. */
struct prove_byte {
	unsigned stream;
	Z3_ast index; /* in a table: where; otherwise NULL */
	int64_t offset;
	Z3_ast x86, mcode;
};

/* Bytes of memory from base + stride k + offset, or base + index + offset of a table, on. */
struct prove_place {
	unsigned stream;
	Z3_ast index; /* or NULL */
	int64_t offset;
};

struct prove_table_use { /* an LDX or STX of the body */
	struct prove_place at;
	unsigned bits;
	bool store;
};

struct prover {
	Z3_context z;
	const struct prove_params *params;
	const struct mcode_kernel *kernel;
	struct loop *loop;
	struct iteration *raw; /* the iteration, nothing simplified or taken for granted */
	struct proof *proof;
	struct sweep *sweep; /* owned by prove_kernel */
	Z3_ast entry[CELLS]; /* registers at the loop head when the kernel starts */
	Z3_ast stale[CELLS]; /* what a dead cell holds */
	Z3_ast flags, k, n;
	Z3_ast acc[LOOP_REDUCTIONS_MAX], top[LOOP_REDUCTIONS_MAX];
	Z3_ast guard_holds; /* of the registers at entry, as bits */
	Z3_ast setup[MCODE_SLOTS]; /* slots after setup */
	Z3_ast body[MCODE_SLOTS]; /* slots after the body of iteration k */
	struct bv_ir raw_terms, plain_terms; /* of raw->ir, and of loop->ir in closed form */
	Z3_ast loads[4096]; /* terms of raw loads, by event */
	Z3_ast again; /* the raw iteration stays in the loop */
	Z3_ast done; /* and the kernel does it: it does not stop before */
	VEC(struct prove_byte) bytes;
	VEC(struct prove_table_use) uses;
	Z3_ast tables[MCODE_MAX_STREAMS][2]; /* those the loop writes; NULL: as at first */
	bool out_of_memory;
	/* integers */
	struct lia lia;
	struct lia_mcode guard, ints; /* after guard; after setup */
	Z3_ast int_entry[CELLS + 1];
	Z3_ast int_k, int_guard;
	Z3_ast int_inside; /* k is below the trip count */
	uint64_t never_exits; /* bit i: exit i is taken in no iteration at all */
};

static inline bool prover_check(struct prover *p, const char *name, Z3_ast premise, Z3_ast goal)
{
	return proof_check(
		p->proof, p->z,
		&(struct proof_try){ .name = name, .premise = premise, .goal = goal });
}

/* a == b, for terms of any size: as it is, or by way of what is equal inside. */
bool prover_check_equal(struct prover *p, const char *name, Z3_ast premise, Z3_ast a, Z3_ast b);
/* Says beforehand that this will be asked. */
void prover_expect_equal(struct prover *p, Z3_ast premise, Z3_ast a, Z3_ast b);

/* The cell of a guest register, CELLS for the flags. */
unsigned prover_cell_of(unsigned guest);

/* Runs the body and the raw iteration's memory, and checks it equal. */
struct error *prove_memory_body(struct prover *p);
struct error *prove_memory_raw(struct prover *p);
void prove_memory_expect(struct prover *p);
void prove_memory_equal(struct prover *p);
void prove_lookups(struct prover *p);
bool prover_writes_table(const struct prover *p, unsigned stream);
Z3_ast prove_table_read(struct prover *p, bool x86, const struct prove_place *at,
			unsigned bits);
void prove_table_write(struct prover *p, bool x86, const struct prove_place *at, Z3_ast value,
		       Z3_ast condition);
void prove_tables_equal(struct prover *p);
void prove_memory_untouched(struct prover *p);
Z3_ast prover_stops(struct prover *p); /* the kernel ends before this iteration; or NULL */
Z3_ast prover_first_bytes(struct prover *p, unsigned stream, Z3_ast index, int64_t offset,
			  unsigned bits);

struct error *prove_ints_init(struct prover *p);
void prove_ranges(struct prover *p);
void prove_apart(struct prover *p);
void prove_exits_kept_away(struct prover *p);
void prove_clean_tops(struct prover *p);
void prove_direction(struct prover *p);
/* Is this (closed form) address base + stride k + offset of the stream, under the guard? */
bool prove_int_address(struct prover *p, const char *name, ir_ref address, unsigned stream,
		       int64_t offset);
#endif
