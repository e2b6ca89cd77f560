#include "learn/oracle_states.h"

#include <string.h>

#include "base/error.h"
#include "learn/prove_internal.h"
#include "learn/translate.h"

/* Registers that guard, trip count and addresses depend on. */
static void find_fixed(const struct oracle_params *params, struct oracle_states *states)
{
	struct loop *loop = params->loop;
	for (unsigned c = 0; c < CELLS; c++) {
		int guest = translate_guest_reg(c);
		if (guest < 0)
			continue;
		bool fixed = loop_depends(loop, loop->trip, IR_INIT, c);
		for (unsigned i = 0; i < loop->n_guards; i++)
			fixed |= loop_depends(loop, loop->guards[i], IR_INIT, c);
		for (unsigned i = 0; i < loop->n_streams; i++)
			fixed |= loop_depends(loop, loop->streams[i].base, IR_INIT, c);
		states->fixed[guest] = fixed || guest == MCODE_RSP;
	}
}

static Z3_ast int_add(Z3_context z, Z3_ast a, Z3_ast b)
{
	Z3_ast both[2] = { a, b };
	return Z3_mk_add(z, 2, both);
}

/* Lowest byte a stream touches and the end, over `trip` iterations. */
static void stream_span(const struct mcode_stream *s, uint64_t trip, int64_t *low_ret,
			int64_t *high_ret)
{
	int64_t reach = s->stride * (int64_t)(trip ? trip - 1 : 0);
	*low_ret = s->low + (reach < 0 ? reach : 0);
	*high_ret = s->high + (reach > 0 ? reach : 0);
}

static bool base_is_constant(const struct loop *loop, unsigned stream)
{
	return ir_is_const(loop->ir, loop->streams[stream].base, NULL);
}

/* Wishes for one state: trip count, and where each stream starts. */
static void wish(struct prover *p, uint64_t *random, uint64_t trip, bool wild)
{
	Z3_context z = p->z;
	Z3_ast have = lia_as_int(&p->lia, p->ints.slots[p->kernel->trip_slot]);
	if (p->loop->counted)
		Z3_solver_assert(z, p->lia.solver, Z3_mk_eq(z, have, lia_int(z, trip)));
	uint64_t room = ORACLE_ARENA_BYTES / (p->kernel->n_streams ? p->kernel->n_streams : 1);
	uint64_t page = 4096 * (2 + oracle_random(random) % 3);
	for (unsigned s = 0; s < p->kernel->n_streams; s++) {
		const struct mcode_stream *stream = &p->kernel->streams[s];
		int64_t low, high;
		if (base_is_constant(p->loop, s))
			continue;
		stream_span(stream, trip, &low, &high);
		if (p->loop->streams[s].region)
			high = p->loop->streams[s].high;
		uint64_t at = wild ? page + oracle_random(random) % 64
				   : s * room + page - oracle_random(random) % 32;
		int64_t from = (int64_t)(ORACLE_ARENA + at) - low;
		Z3_ast base = lia_as_int(&p->lia, p->ints.slots[stream->base_slot]);
		Z3_ast least = lia_int_signed(z, from);
		Z3_solver_assert(z, p->lia.solver, Z3_mk_ge(z, base, least));
		Z3_solver_assert(z, p->lia.solver,
				 Z3_mk_le(z, base, int_add(z, least, lia_int(z, 64))));
	}
}

static bool read_model(struct prover *p, uint64_t *random, struct oracle_state *ret)
{
	Z3_context z = p->z;
	Z3_model model = Z3_solver_get_model(z, p->lia.solver);
	if (!model)
		return false;
	Z3_model_inc_ref(z, model);
	for (unsigned r = 0; r < MCODE_GUEST_REGS; r++)
		ret->guest[r] = oracle_random(random);
	ret->guest[MCODE_EFLAGS] = 2;
	ret->guest[MCODE_RSP] = ORACLE_ARENA + ORACLE_ARENA_BYTES - 8192;
	bool good = true;
	for (uint32_t i = 0; i < p->kernel->n_inputs; i++) {
		unsigned guest = p->kernel->inputs[i].guest;
		Z3_ast term = p->int_entry[prover_cell_of(guest)], value;
		good &= Z3_model_eval(z, model, term, true, &value) &&
			Z3_get_numeral_uint64(z, value, &ret->guest[guest]);
	}
	/* Arithmetic flags and direction; a trap flag, say, would end each instruction. */
	ret->guest[MCODE_EFLAGS] = (ret->guest[MCODE_EFLAGS] & 0xcd5) | 2;
	Z3_model_dec_ref(z, model);
	return good;
}

static bool solve_state(struct prover *p, uint64_t *random, uint64_t trip, bool wild,
			struct oracle_state *ret)
{
	Z3_context z = p->z;
	Z3_solver_push(z, p->lia.solver);
	wish(p, random, trip, wild);
	bool good =
		Z3_solver_check(z, p->lia.solver) == Z3_L_TRUE && read_model(p, random, ret);
	Z3_solver_pop(z, p->lia.solver, 1);
	ret->trip = trip;
	ret->wild = wild;
	return good;
}

static uint64_t pick_trip(uint64_t *random, unsigned attempt)
{
	static const uint64_t first[] = { 2, 3, 4, 17, 64, 300 };
	if (attempt < sizeof(first) / sizeof(*first))
		return first[attempt];
	return 2 + oracle_random(random) % (attempt % 4 == 0 ? 200 : 30);
}

static struct error *find_all(struct prover *p, unsigned cases, uint64_t *random,
			      struct oracle_states *ret)
{
	TRY(prove_ints_init(p));
	Z3_params params = Z3_mk_params(p->z);
	Z3_params_inc_ref(p->z, params);
	Z3_params_set_uint(p->z, params, Z3_mk_string_symbol(p->z, "timeout"), 500);
	Z3_solver_set_params(p->z, p->lia.solver, params);
	Z3_params_dec_ref(p->z, params);
	unsigned failures = 0, wanted = ORACLE_STATES_MAX;
	if (cases && cases / 8 + 4 < wanted)
		wanted = cases / 8 + 4;
	for (unsigned i = 0; i < wanted && failures < 16; i++) {
		struct oracle_state *state = &ret->items[ret->count];
		if (solve_state(p, random, pick_trip(random, i), i % 6 == 5, state))
			ret->count++;
		else
			failures++;
	}
	return NULL;
}

struct error *oracle_states_find(const struct oracle_params *params, uint64_t *random,
				 struct oracle_states *ret)
{
	AUTO(own_free) struct prover *p = NULL;
	AUTO(own_free) Z3_ast *memo = NULL;
	memset(ret, 0, sizeof(*ret));
	TRY(error_alloc(1, sizeof(*p), &p));
	TRY(error_alloc(IR_NODES_MAX + 1, sizeof(*memo), &memo));
	find_fixed(params, ret);
	p->kernel = params->kernel;
	p->loop = params->loop;
	p->lia.memo = memo;
	p->z = proof_context_create();
	if (!p->z)
		return error_create(ERR_PEER, "Z3 gives no context");
	struct error *err = find_all(p, params->cases, random, ret);
	if (p->lia.solver)
		Z3_solver_dec_ref(p->z, p->lia.solver);
	Z3_del_context(p->z);
	if (!err && ret->count == 0)
		err = error_create(ERR_UNSUPPORTED, "no entry state for tests can be found");
	return err;
}
