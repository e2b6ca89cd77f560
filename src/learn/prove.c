/* Steps of the proof (docs/learning.md has the argument):
 * 1. From any state that the closed forms describe, one iteration of the code leads to the
 * state that they describe next: counters step, accumulators fold what the microcode
 * contributes, memory changes as the microcode changes it, everything else stays. Before an
 * iteration at which the kernel stops, memory is as it was.
 * 2. The guard's microcode implies that closed forms describe the entry, that no exit is taken
 *    below the trip count, that no address wraps, that iterations keep out of each other's way.
 * 3. The finish section gives every changed register its closed form or its accumulator.
 * 4. Registers that are left stale are overwritten by the code before anything depends on them.
 */
#include "learn/prove.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "learn/prove_internal.h"
#include "learn/translate.h"

unsigned prover_cell_of(unsigned guest)
{
	for (unsigned c = 0; c < CELLS; c++)
		if (translate_guest_reg(c) == (int)guest)
			return c;
	return guest == MCODE_EFLAGS ? CELLS : CELLS + 1;
}

/* Of lanes; the low bits of the count say how often each has stepped. */
static Z3_ast closed_lanes(struct prover *p, unsigned c, Z3_ast count)
{
	Z3_context z = p->z;
	const struct loop_cell *cell = &p->loop->cells[c];
	Z3_ast steps = bv_ir_encode(&p->plain_terms, cell->steps), result = NULL;
	for (unsigned at = 0; at < 64; at += cell->lane) {
		Z3_ast moved = Z3_mk_bvmul(z, bv_resize(z, count, cell->lane),
					   bv_extract(z, steps, at, cell->lane));
		Z3_ast lane = Z3_mk_bvadd(z, bv_extract(z, p->entry[c], at, cell->lane), moved);
		result = result ? Z3_mk_concat(z, lane, result) : lane;
	}
	return result;
}

/* The register in iteration `k` according to its class; 64 bits. */
static Z3_ast closed_form(struct prover *p, unsigned c, Z3_ast k)
{
	Z3_context z = p->z;
	const struct loop_cell *cell = &p->loop->cells[c];
	if (cell->class == LOOP_IV_LANES)
		return closed_lanes(p, c, k);
	Z3_ast moved =
		Z3_mk_bvadd(z, p->entry[c], Z3_mk_bvmul(z, k, bv_const(z, 64, cell->step)));
	return cell->class == LOOP_IV ? moved : bv_resize(z, bv_resize(z, moved, 32), 64);
}

static Z3_ast state_at_k(struct prover *p, unsigned c)
{
	const struct loop_cell *cell = &p->loop->cells[c];
	switch (cell->class) {
	case LOOP_DEAD:
	case LOOP_CARRIED:
		return p->stale[c];
	case LOOP_INVARIANT:
		return p->entry[c];
	case LOOP_REDUCTION: {
		Z3_ast acc = p->acc[cell->reduction], top = p->top[cell->reduction];
		return top ? Z3_mk_concat(p->z, top, acc) : acc;
	}
	default:
		return closed_form(p, c, p->k);
	}
}

static Z3_ast raw_leaf(void *user, const struct ir_node *node)
{
	struct prover *p = user;
	if (node->op == IR_INIT && node->imm < CELLS)
		return state_at_k(p, (unsigned)node->imm);
	if (node->op == IR_LOAD && node->imm < 4096 && p->loads[node->imm])
		return p->loads[node->imm];
	/* Unknown, and different from everything else. */
	return bv_var(p->z, node->width, node->op == IR_LOAD ? "lost" : "opaque", node->imm);
}

static Z3_ast plain_leaf(void *user, const struct ir_node *node)
{
	struct prover *p = user;
	if (node->op == IR_INIT && node->imm == CELL_K)
		return p->k;
	if (node->op == IR_INIT && node->imm == CELL_EFLAGS)
		return p->flags;
	if (node->op == IR_INIT && node->imm < CELLS)
		return p->entry[node->imm];
	if (node->op == IR_INIT && node->imm >= CELL_ACC &&
	    node->imm - CELL_ACC < p->loop->n_reductions)
		return p->acc[node->imm - CELL_ACC];
	for (unsigned i = 0; node->op == IR_LOAD && i < p->loop->n_accesses; i++) {
		const struct loop_access *access = &p->loop->accesses[i];
		if (access->event == node->imm && access->index == IR_NONE)
			return prover_first_bytes(p, access->stream, NULL, access->offset,
						  node->width);
	}
	return bv_var(p->z, node->width, "plain", node->imm);
}

static void make_variables(struct prover *p)
{
	Z3_context z = p->z;
	for (unsigned c = 0; c < CELLS; c++) {
		p->entry[c] = bv_var(z, 64, "r", c);
		p->stale[c] = bv_var(z, 64, "stale", c);
	}
	p->flags = bv_var(z, 64, "eflags", 0);
	p->k = bv_var(z, 64, "k", 0);
	p->n = bv_var(z, 64, "n", 0);
	for (unsigned i = 0; i < p->loop->n_reductions; i++) {
		const struct loop_reduction *r = &p->loop->reductions[i];
		unsigned rest = 64u - r->width;
		p->acc[i] = bv_var(z, r->width, "acc", i);
		if (rest)
			p->top[i] =
				r->clean_top ? bv_const(z, rest, 0) : bv_var(z, rest, "top", i);
	}
}

/* Runs guard or setup from the registers at the loop head. */
static struct error *run_at_entry(struct prover *p, enum mcode_section section,
				  struct bv_mcode *m)
{
	bv_mcode_init(m, p->z, p->kernel);
	struct error *err = NULL;
	for (uint32_t i = 0; i < p->kernel->n_inputs && !err; i++) {
		unsigned cell = prover_cell_of(p->kernel->inputs[i].guest);
		if (cell > CELLS)
			err = error_create(ERR_BAD_DATA, "an input that is no register");
		else
			m->slots[p->kernel->inputs[i].slot] =
				cell == CELLS ? p->flags : p->entry[cell];
	}
	return err ? err : bv_mcode_run(m, section, NULL);
}

static struct error *run_guard_and_setup(struct prover *p)
{
	AUTO(own_free) struct bv_mcode *m = NULL;
	TRY(error_alloc(1, sizeof(*m), &m));
	TRY(run_at_entry(p, MCODE_GUARD, m));
	p->guard_holds = Z3_mk_not(p->z, Z3_mk_eq(p->z, m->regs[0], bv_const(p->z, 64, 0)));
	TRY(run_at_entry(p, MCODE_SETUP, m));
	memcpy(p->setup, m->slots, sizeof(p->setup));
	return NULL;
}

static void check_accumulator(struct prover *p, unsigned c)
{
	Z3_context z = p->z;
	unsigned number = p->loop->cells[c].reduction;
	const struct loop_reduction *r = &p->loop->reductions[number];
	const struct mcode_reduction *m = &p->kernel->reductions[number];
	enum ir_op op = IR_ADD;
	char name[64];
	unsigned lane = mcode_width_bits(m->width_code);
	bool moves = p->kernel->serial && m->op == MCODE_MOV && !m->packed;
	if (number >= p->kernel->n_reductions || (!moves && !bv_mcode_op(m->op, &op)) ||
	    (m->packed ? r->width != 64 : lane != r->width)) {
		prover_check(p, "the accumulators agree", NULL, Z3_mk_false(z));
		return;
	}
	Z3_ast value = bv_resize(z, p->body[m->value_slot], r->width);
	Z3_ast folded = moves	    ? value
			: m->packed ? bv_lanes(z, op, lane, p->acc[number], value)
				    : bv_op(z, op, p->acc[number], value);
	Z3_ast next = bv_ir_encode(&p->raw_terms, p->raw->cells[c]);
	snprintf(name, sizeof(name), "%s folds what the microcode contributes", cell_name(c));
	prover_check_equal(p, name, p->done, next, bv_resize(z, folded, 64));
	snprintf(name, sizeof(name), "the accumulator of %s starts with it", cell_name(c));
	Z3_ast start = bv_resize(z, bv_resize(z, p->entry[c], r->width), 64);
	prover_check(p, name, NULL, Z3_mk_eq(z, p->setup[m->acc_slot], start));
}

static void check_registers(struct prover *p)
{
	Z3_context z = p->z;
	char name[64];
	Z3_ast next_k = Z3_mk_bvadd(z, p->k, bv_const(z, 64, 1));
	for (unsigned c = 0; c < CELLS; c++) {
		const struct loop_cell *cell = &p->loop->cells[c];
		if (loop_class_is_stale(cell->class) || c == CELL_RIP)
			continue;
		if (cell->class == LOOP_REDUCTION) {
			check_accumulator(p, c);
			continue;
		}
		const struct ir_node *node = ir_get(p->raw->ir, p->raw->cells[c]);
		if (cell->class == LOOP_INVARIANT && node->op == IR_INIT && node->imm == c)
			continue;
		bool moves = cell->class != LOOP_INVARIANT;
		Z3_ast expected = moves ? closed_form(p, c, next_k) : p->entry[c];
		if (cell->class == LOOP_IV_LANES) {
			Z3_ast low = bv_resize(z, p->k, cell->lane);
			expected = closed_lanes(
				p, c, Z3_mk_bvadd(z, low, bv_const(z, cell->lane, 1)));
		}
		snprintf(name, sizeof(name), moves ? "%s steps" : "%s stays", cell_name(c));
		prover_check(
			p, name, p->done,
			Z3_mk_eq(z, bv_ir_encode(&p->raw_terms, p->raw->cells[c]), expected));
	}
}

/* ADD and the like fold in any order. */
static void check_operator(struct prover *p, const struct mcode_reduction *m)
{
	Z3_context z = p->z;
	enum ir_op op;
	unsigned lane = mcode_width_bits(m->width_code);
	if (!bv_mcode_op(m->op, &op))
		return; /* check_accumulator has failed */
	Z3_ast a = bv_var(z, lane, "x", 0), b = bv_var(z, lane, "x", 1),
	       c = bv_var(z, lane, "x", 2);
	Z3_ast left = bv_op(z, op, bv_op(z, op, a, b), c);
	Z3_ast right = bv_op(z, op, a, bv_op(z, op, b, c));
	prover_check(p, "the fold is associative", NULL, Z3_mk_eq(z, left, right));
	prover_check(p, "the fold commutes", NULL,
		     Z3_mk_eq(z, bv_op(z, op, a, b), bv_op(z, op, b, a)));
}

Z3_ast prover_stops(struct prover *p)
{
	if (p->kernel->search_slot == MCODE_NO_SLOT)
		return NULL;
	Z3_ast flag = p->body[p->kernel->search_slot];
	return Z3_mk_not(p->z, Z3_mk_eq(p->z, flag, bv_const(p->z, 64, 0)));
}

/* Exits that the search flag or the counted conditions do not announce cannot be taken. */
static void check_exits(struct prover *p)
{
	Z3_context z = p->z;
	const struct iteration *iteration = p->loop->iteration;
	Z3_ast premises = Z3_mk_true(z);
	for (size_t i = 0; i < iteration->exits.count && i < 64; i++) {
		if (!(p->loop->counted_exits >> i & 1))
			continue;
		ir_ref closed = loop_close(p->loop, iteration->exits.items[i].condition);
		Z3_ast both[2] = { premises,
				   Z3_mk_not(z, bv_ir_encode(&p->plain_terms, closed)) };
		premises = Z3_mk_and(z, 2, both);
	}
	Z3_ast stops = prover_stops(p);
	if (stops) {
		Z3_ast both[2] = { premises, Z3_mk_not(z, stops) };
		premises = Z3_mk_and(z, 2, both);
	}
	prover_check(p, "no other exit is taken", premises, p->again);
}

/* Branches that the iteration goes one way only. By induction over their order: the first one
 * to go the other way would be met as it is recorded. */
static void check_decisions(struct prover *p)
{
	Z3_context z = p->z;
	Z3_ast all = NULL;
	for (size_t i = 0; i < p->raw->decisions.count; i++) {
		const struct iteration_decision *d = &p->raw->decisions.items[i];
		if (d->choice == CHOICE_OPEN)
			continue;
		Z3_ast taken = bv_ir_encode(&p->raw_terms, d->guard);
		Z3_ast right =
			Z3_mk_implies(z, bv_ir_encode(&p->raw_terms, d->reached),
				      d->choice == CHOICE_TAKEN ? taken : Z3_mk_not(z, taken));
		Z3_ast both[2] = { right, all };
		all = all ? Z3_mk_and(z, 2, both) : right;
	}
	if (all)
		prover_check(p, "branches inside go the way they were followed", NULL, all);
}

static struct error *check_finish(struct prover *p)
{
	Z3_context z = p->z;
	struct bv_mcode *m = NULL;
	TRY(error_alloc(1, sizeof(*m), &m));
	bv_mcode_init(m, z, p->kernel);
	memcpy(m->slots, p->setup, sizeof(p->setup));
	Z3_ast results[LOOP_REDUCTIONS_MAX];
	for (unsigned i = 0; i < p->kernel->n_reductions && i < p->loop->n_reductions; i++) {
		results[i] = bv_var(z, p->loop->reductions[i].width, "result", i);
		m->slots[p->kernel->reductions[i].acc_slot] = bv_resize(z, results[i], 64);
	}
	struct error *err = bv_mcode_run(m, MCODE_FINISH, p->n);
	bool given[CELLS] = { false };
	for (uint32_t i = 0; i < p->kernel->n_exits && !err; i++) {
		unsigned c = prover_cell_of(p->kernel->exits[i].guest);
		char name[64];
		if (c >= CELLS || p->loop->cells[c].class < LOOP_IV) {
			prover_check(p, "only what changes is written", NULL, Z3_mk_false(z));
			continue;
		}
		const struct loop_cell *cell = &p->loop->cells[c];
		Z3_ast none = Z3_mk_eq(z, p->n, bv_const(z, 64, 0));
		Z3_ast expected = closed_form(p, c, p->n);
		if (cell->class == LOOP_REDUCTION) {
			expected = bv_resize(z, results[cell->reduction], 64);
			if (p->loop->reductions[cell->reduction].width < 64)
				expected = Z3_mk_ite(z, none, p->entry[c], expected);
		}
		snprintf(name, sizeof(name), "%s at the end", cell_name(c));
		prover_check(p, name, NULL,
			     Z3_mk_eq(z, m->slots[p->kernel->exits[i].slot], expected));
		given[c] = true;
	}
	free(m);
	for (unsigned c = 0; c < CELLS && !err; c++)
		if (p->loop->cells[c].class >= LOOP_IV && !given[c])
			prover_check(p, "all that changes is written", NULL, Z3_mk_false(z));
	return err;
}

/* Stale cells: nothing that outlives the iteration may differ when they do. */
struct stale {
	struct prover *p;
	uint8_t *touches; /* by raw node: depends on a stale cell */
	unsigned count;
	Z3_ast from[CELLS], to[CELLS];
};

static void check_one_stale(struct stale *s, ir_ref ref, const char *what, unsigned number)
{
	struct prover *p = s->p;
	if (!s->touches[ref])
		return;
	Z3_ast one = Z3_simplify(p->z, bv_ir_encode(&p->raw_terms, ref));
	Z3_ast other = Z3_simplify(p->z, Z3_substitute(p->z, one, s->count, s->from, s->to));
	if (Z3_is_eq_ast(p->z, one, other))
		return;
	char name[64];
	snprintf(name, sizeof(name), "%s %u ignores stale registers", what, number);
	prover_check(p, name, NULL, Z3_mk_eq(p->z, one, other));
}

/* Everything that an iteration does but leave: of any stale cell. */
static void check_stale_inside(struct stale *s)
{
	const struct iteration *raw = s->p->raw;
	for (unsigned i = 0; i < raw->events.count; i++) {
		check_one_stale(s, raw->events.items[i].address, "address", i);
		check_one_stale(s, raw->events.items[i].condition, "condition", i);
		if (raw->events.items[i].store)
			check_one_stale(s, raw->events.items[i].data, "stored data", i);
	}
	for (size_t i = 0; i < raw->opaque_inputs.count; i++)
		check_one_stale(s, raw->opaque_inputs.items[i], "helper's input", (unsigned)i);
	for (unsigned i = 0; i < raw->exits.count; i++)
		check_one_stale(s, raw->exits.items[i].condition, "exit", i);
	check_one_stale(s, raw->again, "the way back", 0);
	for (unsigned c = 0; c < CELLS; c++)
		if (s->p->loop->cells[c].class != LOOP_DEAD)
			check_one_stale(s, raw->cells[c], "register", c);
}

/* What whoever leaves at this exit finds. */
static void check_stale_leaving(struct stale *s, unsigned i)
{
	for (unsigned c = 0; c < CELLS; c++)
		check_one_stale(s, s->p->raw->exits.items[i].cells[c], "state at exit", i);
}

/* Marks what depends on cells of the classes from DEAD to `most`, and lists these. */
static void list_stale(struct stale *s, enum loop_cell_class most)
{
	struct prover *p = s->p;
	const struct ir *ir = p->raw->ir;
	for (ir_ref i = 1; i <= ir_count(ir); i++) {
		const struct ir_node *node = ir_get(ir, i);
		s->touches[i] = node->op == IR_INIT && node->imm < CELLS &&
				p->loop->cells[node->imm].class <= most;
		for (unsigned a = 0; a < ir_arity(node->op); a++)
			s->touches[i] |= s->touches[node->args[a]];
	}
	s->count = 0;
	for (unsigned c = 0; c < CELLS; c++) {
		if (p->loop->cells[c].class > most)
			continue;
		s->from[s->count] = p->stale[c];
		s->to[s->count++] = bv_var(p->z, 64, "other", c);
	}
}

/* An exit that is never taken gives its state to nobody. Where no iteration up to the trip
 * count itself leaves, the guest makes one more whole pass before it can leave, which sets
 * what is carried; a search can leave at once. */
static struct error *check_stale(struct prover *p)
{
	struct stale s = { .p = p };
	AUTO(own_free) uint8_t *touches = NULL;
	TRY(error_alloc(ir_count(p->raw->ir) + 1, 1, &touches));
	s.touches = touches;
	list_stale(&s, LOOP_CARRIED);
	check_stale_inside(&s);
	if (p->kernel->search_slot == MCODE_NO_SLOT)
		list_stale(&s, LOOP_DEAD);
	for (unsigned i = 0; i < p->raw->exits.count; i++)
		if (i >= 64 || !(p->never_exits >> i & 1))
			check_stale_leaving(&s, i);
	return NULL;
}

static struct error *prove_steps(struct prover *p)
{
	make_variables(p);
	TRY(run_guard_and_setup(p));
	TRY(prove_ints_init(p));
	TRY(prove_memory_body(p));
	TRY(prove_memory_raw(p));
	p->again = bv_ir_encode(&p->raw_terms, p->raw->again);
	p->done = p->again;
	Z3_ast stops = prover_stops(p);
	if (stops) {
		Z3_ast both[2] = { p->again, Z3_mk_not(p->z, stops) };
		p->done = Z3_mk_and(p->z, 2, both);
	}
	check_decisions(p);
	prove_memory_expect(p);
	prove_memory_equal(p);
	prove_memory_untouched(p);
	prove_tables_equal(p);
	prove_lookups(p);
	check_registers(p);
	for (uint32_t i = 0; i < p->kernel->n_reductions && !p->kernel->serial; i++)
		check_operator(p, &p->kernel->reductions[i]);
	if (p->kernel->n_reductions != p->loop->n_reductions)
		prover_check(p, "the accumulators agree", NULL, Z3_mk_false(p->z));
	check_exits(p);
	TRY(check_finish(p));
	prove_exits_kept_away(p);
	TRY(check_stale(p));
	prove_clean_tops(p);
	prove_direction(p);
	prove_ranges(p);
	prove_apart(p);
	if (p->out_of_memory || ir_failed(p->loop->ir) || ir_failed(p->raw->ir))
		return error_create(ERR_LIMIT, "the proof is too large");
	return NULL;
}

static struct error *prove_in_context(struct prover *p)
{
	AUTO(own_free) Z3_ast *raw_memo = NULL;
	AUTO(own_free) Z3_ast *plain_memo = NULL;
	AUTO(own_free) Z3_ast *int_memo = NULL;
	TRY(error_alloc(ir_count(p->raw->ir) + 1, sizeof(Z3_ast), &raw_memo));
	TRY(error_alloc(IR_NODES_MAX + 1, sizeof(Z3_ast), &plain_memo));
	TRY(error_alloc(IR_NODES_MAX + 1, sizeof(Z3_ast), &int_memo));
	p->raw_terms = (struct bv_ir){ p->z, p->raw->ir, raw_memo, raw_leaf, p };
	p->plain_terms = (struct bv_ir){ p->z, p->loop->ir, plain_memo, plain_leaf, p };
	p->lia.memo = int_memo;
	struct error *err = prove_steps(p);
	VEC_FREE(&p->bytes);
	VEC_FREE(&p->uses);
	if (p->lia.solver)
		Z3_solver_dec_ref(p->z, p->lia.solver);
	return err;
}

struct error *prove_kernel(const struct prove_params *params, struct proof **ret)
{
	AUTO(own_ir) struct ir *ir = NULL;
	AUTO(own_iteration) struct iteration *raw = NULL;
	AUTO(own_free) struct prover *p = NULL;
	AUTO(own_proof) struct proof *proof = NULL;
	TRY(proof_create(&proof));
	proof->keep_text = params->keep_text;
	proof->timeout_ms = params->timeout_ms;
	TRY(ir_create(false, &ir));
	TRY(iteration_create(ir,
			     &(struct iteration_params){ .source = params->source,
							 .shape = params->shape,
							 .follow = params->loop->iteration },
			     &raw));
	TRY(error_alloc(1, sizeof(*p), &p));
	p->params = params;
	p->kernel = params->kernel;
	p->loop = params->loop;
	p->raw = raw;
	p->proof = proof;
	p->z = proof_context_create();
	if (!p->z)
		return error_create(ERR_PEER, "Z3 gives no context");
	struct error *err = sweep_create(p->z, proof, &p->sweep);
	if (!err)
		err = prove_in_context(p);
	sweep_destroy(p->sweep);
	Z3_del_context(p->z);
	if (err)
		return err;
	*ret = TAKE(proof);
	return NULL;
}
