/* Obligations over the integers: what the guard's own microcode implies. */
#include <stdio.h>

#include "base/error.h"
#include "learn/prove_internal.h"

static Z3_ast int_leaf(void *user, const struct ir_node *node)
{
	struct prover *p = user;
	if (node->op != IR_INIT)
		return NULL;
	if (node->imm == CELL_K)
		return p->int_k;
	if (node->imm == CELL_EFLAGS)
		return p->int_entry[CELLS];
	return node->imm < CELLS ? p->int_entry[node->imm] : NULL;
}

static void bind_inputs(struct prover *p, struct lia_mcode *m)
{
	lia_mcode_init(m, &p->lia, p->kernel);
	for (uint32_t i = 0; i < p->kernel->n_inputs; i++)
		m->slots[p->kernel->inputs[i].slot] =
			p->int_entry[prover_cell_of(p->kernel->inputs[i].guest)];
}

struct error *prove_ints_init(struct prover *p)
{
	Z3_context z = p->z;
	p->lia.z = z;
	p->lia.solver = Z3_mk_simple_solver(z);
	Z3_solver_inc_ref(z, p->lia.solver);
	p->lia.ir = p->loop->ir;
	p->lia.leaf = int_leaf;
	p->lia.user = p;
	for (unsigned c = 0; c <= CELLS; c++)
		p->int_entry[c] = NULL;
	for (uint32_t i = 0; i < p->kernel->n_inputs; i++) {
		unsigned cell = prover_cell_of(p->kernel->inputs[i].guest);
		if (cell > CELLS)
			return error_create(ERR_BAD_DATA, "an input that is no register");
		if (!p->int_entry[cell])
			p->int_entry[cell] = lia_unknown(&p->lia, 64);
	}
	p->int_k = lia_unknown(&p->lia, 64);
	bind_inputs(p, &p->guard);
	TRY(lia_mcode_run(&p->guard, MCODE_GUARD));
	bind_inputs(p, &p->ints);
	TRY(lia_mcode_run(&p->ints, MCODE_SETUP));
	p->int_guard = lia_as_bool(&p->lia, p->guard.regs[0]);
	Z3_ast trip = lia_as_int(&p->lia, p->ints.slots[p->kernel->trip_slot]);
	Z3_solver_assert(z, p->lia.solver, p->int_guard);
	p->int_inside = Z3_mk_lt(z, p->int_k, trip);
	return NULL;
}

static Z3_ast trip_of(struct prover *p)
{
	return lia_as_int(&p->lia, p->ints.slots[p->kernel->trip_slot]);
}

/* base + stride k + offset */
static Z3_ast place(struct prover *p, unsigned stream, Z3_ast k, int64_t offset)
{
	Z3_context z = p->z;
	const struct mcode_stream *s = &p->kernel->streams[stream];
	Z3_ast base = lia_as_int(&p->lia, p->ints.slots[s->base_slot]);
	Z3_ast factors[2] = { lia_int_signed(z, s->stride), k };
	Z3_ast terms[3] = { base, Z3_mk_mul(z, 2, factors), lia_int_signed(z, offset) };
	return Z3_mk_add(z, 3, terms);
}

/* Under the guard and the premise; premise NULL: for k below the trip count. */
static bool check_ints(struct prover *p, const char *name, Z3_ast premise, Z3_ast goal,
		       bool quiet)
{
	premise = premise ? premise : p->int_inside;
	struct proof_try what = { .name = name,
				  .premise = premise,
				  .goal = goal,
				  .given = p->lia.solver,
				  .quiet = quiet };
	return proof_check(p->proof, p->z, &what);
}

bool prove_int_address(struct prover *p, const char *name, ir_ref address, unsigned stream,
		       int64_t offset)
{
	Z3_ast have = lia_ir(&p->lia, address);
	return check_ints(p, name, NULL,
			  Z3_mk_eq(p->z, have, place(p, stream, p->int_k, offset)), true);
}

/* Bytes past the end of what a stream can touch. */
static int64_t low_of(const struct prover *p, unsigned stream)
{
	return p->kernel->streams[stream].low;
}

static Z3_ast end_at(struct prover *p, unsigned stream, Z3_ast k)
{
	const struct mcode_stream *s = &p->kernel->streams[stream];
	if (!(s->flags & MCODE_STREAM_REGION))
		return place(p, stream, k, s->high);
	Z3_ast both[2] = { place(p, stream, k, 0),
			   lia_as_int(&p->lia, p->ints.slots[s->length_slot]) };
	return Z3_mk_add(p->z, 2, both);
}

/* No address wraps: integers are addresses. */
void prove_ranges(struct prover *p)
{
	Z3_context z = p->z;
	for (unsigned s = 0; s < p->kernel->n_streams; s++) {
		char name[64];
		snprintf(name, sizeof(name), "stream %u stays below 2^62", s);
		Z3_ast inside[2] = {
			Z3_mk_ge(z, place(p, s, p->int_k, low_of(p, s)), lia_int(z, 0)),
			Z3_mk_le(z, end_at(p, s, p->int_k), lia_int(z, 1ull << 62))
		};
		check_ints(p, name, NULL, Z3_mk_and(z, 2, inside), false);
	}
}

/* Two streams, one of them written, share no byte in any two iterations. */
static void streams_apart(struct prover *p, unsigned a, unsigned b, Z3_ast i, Z3_ast j)
{
	Z3_context z = p->z;
	char name[64];
	Z3_ast before[2] = { Z3_mk_le(z, end_at(p, a, i), place(p, b, j, low_of(p, b))),
			     Z3_mk_le(z, end_at(p, b, j), place(p, a, i, low_of(p, a))) };
	snprintf(name, sizeof(name), "streams %u and %u never meet", a, b);
	check_ints(p, name, NULL, Z3_mk_or(z, 2, before), false);
}

struct touch {
	unsigned stream;
	int64_t offset, bytes;
	bool store;
};

struct touches {
	VEC(struct touch) list;
};

static struct error *body_touches(const struct mcode_kernel *kernel, struct touches *ret)
{
	const struct mcode_code *code = &kernel->code[MCODE_BODY];
	for (uint32_t at = 0; at < code->count;) {
		struct mcode_insn insn;
		if (!mcode_decode(code->pixels, code->count, at, &insn, NULL))
			return error_create(ERR_BAD_DATA, "the body does not decode");
		at += insn.n_pixels;
		bool store = insn.op == MCODE_ST || insn.op == MCODE_STC;
		if (insn.op != MCODE_LD && !store)
			continue;
		struct touch touch = { insn.rs1, (int64_t)insn.imm,
				       mcode_width_bits(insn.width_code) / 8, store };
		if (!VEC_PUSH(&ret->list, touch))
			return error_create(ERR_MEMORY, "out of memory");
	}
	return NULL;
}

/* Within one stream, what iteration i stores is touched by no other iteration j. */
static void same_stream_apart(struct prover *p, const struct touch *a, const struct touch *b,
			      Z3_ast i, Z3_ast j)
{
	Z3_context z = p->z;
	char name[64];
	Z3_ast apart[2] = { Z3_mk_le(z, place(p, a->stream, i, a->offset + a->bytes),
				     place(p, b->stream, j, b->offset)),
			    Z3_mk_le(z, place(p, b->stream, j, b->offset + b->bytes),
				     place(p, a->stream, i, a->offset)) };
	snprintf(name, sizeof(name), "stream %u: store at %lld, iterations apart", a->stream,
		 (long long)a->offset);
	Z3_ast others[2] = { p->int_inside, Z3_mk_not(z, Z3_mk_eq(z, i, j)) };
	check_ints(p, name, Z3_mk_and(z, 2, others), Z3_mk_or(z, 2, apart), false);
}

static bool seen_before(const struct touches *t, size_t a, size_t b)
{
	const struct touch *x = &t->list.items[a], *y = &t->list.items[b];
	for (size_t i = 0; i <= a; i++)
		for (size_t j = 0; j < t->list.count; j++) {
			const struct touch *u = &t->list.items[i], *v = &t->list.items[j];
			if (i == a && j >= b)
				return false;
			if (u->store && u->stream == x->stream && u->offset == x->offset &&
			    u->bytes == x->bytes && v->stream == y->stream &&
			    v->offset == y->offset && v->bytes == y->bytes)
				return true;
		}
	return false;
}

void prove_apart(struct prover *p)
{
	Z3_ast i = p->int_k, j = lia_unknown(&p->lia, 64);
	Z3_solver_assert(p->z, p->lia.solver, Z3_mk_lt(p->z, j, trip_of(p)));
	for (unsigned a = 0; a < p->kernel->n_streams; a++)
		for (unsigned b = 0; b < p->kernel->n_streams; b++) {
			bool a_writes = p->kernel->streams[a].flags & MCODE_STREAM_WRITE;
			bool b_writes = p->kernel->streams[b].flags & MCODE_STREAM_WRITE;
			if (a != b && a_writes && (!b_writes || a < b))
				streams_apart(p, a, b, i, j);
		}
	struct touches touches = { 0 };
	struct error *err = body_touches(p->kernel, &touches);
	if (err) {
		error_destroy(err);
		check_ints(p, "the body's loads and stores", NULL, Z3_mk_false(p->z), false);
	}
	for (size_t a = 0; a < touches.list.count && !p->kernel->serial; a++)
		for (size_t b = 0; touches.list.items[a].store && b < touches.list.count; b++)
			if (touches.list.items[a].stream == touches.list.items[b].stream &&
			    !seen_before(&touches, a, b))
				same_stream_apart(p, &touches.list.items[a],
						  &touches.list.items[b], i, j);
	VEC_FREE(&touches.list);
}

/* The guard asks for it word by word, so that bits need no search. */
static bool never_by_form(struct prover *p, const char *name, ir_ref closed)
{
	struct proof_try what = { .name = name,
				  .premise = p->guard_holds,
				  .goal = Z3_mk_not(p->z,
						    bv_ir_encode(&p->plain_terms, closed)),
				  .quiet = true };
	return proof_check(p->proof, p->z, &what);
}

/* No exit that is meant to be counted is taken in an iteration below the trip count; with
 * carried registers, nor in the next one. What does not depend on the iteration's number may be
 * never taken, whatever is loaded.
 */
void prove_exits_kept_away(struct prover *p)
{
	Z3_ast last = p->loop->any_carried ? Z3_mk_le(p->z, p->int_k, trip_of(p)) : NULL;
	const struct iteration *iteration = p->loop->iteration;
	for (size_t i = 0; i < iteration->exits.count && i < 64; i++) {
		if (!(p->loop->counted_exits >> i & 1))
			continue;
		char name[64];
		ir_ref closed = loop_close(p->loop, iteration->exits.items[i].condition);
		bool settled = loop_rules_out(p->loop, &iteration->exits.items[i], closed);
		snprintf(name, sizeof(name), "exit %zu is not taken %s", i,
			 settled ? "at all"
			 : last	 ? "up to the trip count"
				 : "below the trip count");
		bool timeless = !loop_depends(p->loop, closed, IR_INIT, CELL_K);
		bool never = timeless && never_by_form(p, name, closed);
		bool away =
			never || check_ints(p, name, settled ? Z3_mk_true(p->z) : last,
					    Z3_mk_not(p->z, lia_ir(&p->lia, closed)), false);
		if (never || (away && settled))
			p->never_exits |= 1ull << i;
	}
	/* The simpler iteration may lack exits that are plainly never taken. */
	if (p->raw->exits.count != iteration->exits.count)
		p->never_exits = 0;
}

void prove_clean_tops(struct prover *p)
{
	Z3_context z = p->z;
	for (unsigned c = 0; c < CELLS; c++) {
		const struct loop_cell *cell = &p->loop->cells[c];
		unsigned width = 32;
		if (cell->class == LOOP_REDUCTION &&
		    p->loop->reductions[cell->reduction].clean_top)
			width = p->loop->reductions[cell->reduction].width;
		else if (cell->class != LOOP_IV32)
			continue;
		char name[64];
		snprintf(name, sizeof(name), "%s has no more than %u bits at entry",
			 cell_name(c), width);
		Z3_ast entry = p->int_entry[c];
		check_ints(p, name, NULL,
			   entry ? Z3_mk_lt(z, entry, lia_int(z, 1ull << width))
				 : Z3_mk_false(z),
			   false);
	}
}

/* The lifted iteration took the direction flag to be clear: the guard must say so. */
void prove_direction(struct prover *p)
{
	Z3_context z = p->z;
	if (!p->raw->uses_df)
		return;
	Z3_ast flags = p->int_entry[CELLS];
	Z3_ast goal = Z3_mk_false(z);
	if (flags) {
		Z3_ast above = Z3_mk_div(z, flags, lia_int(z, 1 << 10));
		goal = Z3_mk_eq(z, Z3_mk_mod(z, above, lia_int(z, 2)), lia_int(z, 0));
	}
	check_ints(p, "the direction flag is clear", NULL, goal, false);
}
