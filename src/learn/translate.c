/* Slots: 0 the trip count, then the inputs, the streams' bases and table lengths, invariants of
 * the body, accumulators and contributions, the search flag, the exit registers; spills last.
 */
#include "learn/translate.h"

#include <string.h>

#include "base/error.h"
#include "learn/translate_internal.h"

static void own_emit(struct emit **emit)
{
	emit_destroy(*emit);
}

int translate_guest_reg(unsigned cell)
{
	if (cell >= CELL_RAX && cell <= CELL_R15)
		return (int)(MCODE_RAX + cell - CELL_RAX);
	if (cell >= CELL_YMM0 && cell < CELL_YMM0 + 64 && (cell - CELL_YMM0) % 4 < 2)
		return (int)(MCODE_XMM + (cell - CELL_YMM0) / 4 * 2 + (cell - CELL_YMM0) % 4);
	if (cell == CELL_EFLAGS)
		return MCODE_EFLAGS;
	return -1;
}

static struct error *new_slot(struct translation *build, uint16_t *ret)
{
	if (build->kernel->n_slots >= MCODE_SLOTS)
		return error_create(ERR_LIMIT, "the loop has too many values");
	*ret = (uint16_t)build->kernel->n_slots++;
	return NULL;
}

static unsigned input_index(uint64_t cell)
{
	return cell == CELL_EFLAGS ? CELLS : (unsigned)cell;
}

static struct error *need_input(struct translation *build, uint64_t cell)
{
	unsigned index = input_index(cell);
	int guest = translate_guest_reg((unsigned)cell);
	if (index > CELLS || build->input_slot[index] >= 0)
		return NULL;
	if (guest < 0)
		return error_create(ERR_UNSUPPORTED, "needs %s", cell_name((unsigned)cell));
	struct mcode_binding binding = { .guest = (uint16_t)guest };
	TRY(new_slot(build, &binding.slot));
	build->input_slot[index] = (int16_t)binding.slot;
	build->kernel->inputs[build->kernel->n_inputs++] = binding;
	return NULL;
}

static bool is_pseudo(uint64_t cell)
{
	return cell == CELL_K || cell == CELL_N || cell >= CELL_ACC;
}

static struct error *need_inputs_of(struct translation *build, ir_ref root)
{
	const struct ir *ir = build->loop->ir;
	AUTO(own_free) uint8_t *marks = NULL;
	TRY(error_alloc(ir_count(ir) + 1, 1, &marks));
	ir_mark(ir, root, marks);
	for (ir_ref i = 1; i <= root; i++) {
		const struct ir_node *node = ir_get(ir, i);
		if (marks[i] && node->op == IR_INIT && !is_pseudo(node->imm))
			TRY(need_input(build, node->imm));
		if (marks[i] && node->op == IR_OPAQUE)
			return error_create(ERR_UNSUPPORTED, "a value without a meaning here");
	}
	return NULL;
}

static int slot_of(void *user, ir_ref ref)
{
	const struct translation *build = user;
	const struct ir_node *node = ir_get(build->loop->ir, ref);
	if (node->op == IR_INIT && !is_pseudo(node->imm))
		return build->input_slot[input_index(node->imm)];
	if (node->op == IR_INIT && node->imm >= CELL_ACC)
		return build->kernel->reductions[node->imm - CELL_ACC].acc_slot;
	for (unsigned i = 0; build->in_body && i < build->n_hoisted; i++)
		if (build->hoisted[i] == ref)
			return build->hoisted_slot[i];
	return -1;
}

static struct emit_params section_params(struct translation *build, enum mcode_section section)
{
	return (struct emit_params){ .ir = build->loop->ir,
				     .kernel = build->kernel,
				     .section = section,
				     .leaf = translate_load,
				     .slot_of = slot_of,
				     .user = build };
}

static struct error *halt(struct emit *emit)
{
	return emit_insn(emit, &(struct mcode_insn){ .op = MCODE_HALT });
}

/* r0 = all conditions hold, r1 = why the first one does not. */
static struct error *emit_conditions(struct translation *build, struct emit *emit)
{
	struct loop *loop = build->loop;
	AUTO(own_free) uint16_t *slots = NULL;
	TRY(error_alloc(loop->n_guards, sizeof(*slots), &slots));
	for (unsigned i = 0; i < loop->n_guards; i++)
		emit_expect(emit, loop->guards[i]);
	for (unsigned i = 0; i < loop->n_guards; i++) {
		TRY(new_slot(build, &slots[i]));
		TRY(emit_put(emit, slots[i], loop->guards[i]));
	}
	/* All registers are free now. */
	TRY(emit_insn(emit,
		      &(struct mcode_insn){ .op = MCODE_LDI, .has_imm = true, .imm = 1 }));
	TRY(emit_insn(emit, &(struct mcode_insn){ .op = MCODE_LDI, .rd = 1, .has_imm = true }));
	for (unsigned i = loop->n_guards; i-- > 0;) {
		TRY(emit_insn(emit, &(struct mcode_insn){ .op = MCODE_GET,
							  .rd = 2,
							  .rs1 = (uint8_t)slots[i] }));
		TRY(emit_insn(emit, &(struct mcode_insn){
					    .op = MCODE_AND, .rd = 0, .rs1 = 0, .rs2 = 2 }));
		TRY(emit_insn(emit, &(struct mcode_insn){ .op = MCODE_XOR,
							  .rd = 2,
							  .rs1 = 2,
							  .has_imm = true,
							  .imm = 1 }));
		TRY(emit_insn(emit, &(struct mcode_insn){ .op = MCODE_CMOV,
							  .rd = 1,
							  .rs1 = 2,
							  .has_imm = true,
							  .imm = loop->reasons[i] }));
	}
	return halt(emit);
}

static struct error *translate_guard(struct translation *build)
{
	struct emit_params params = section_params(build, MCODE_GUARD);
	AUTO(own_emit) struct emit *emit = NULL;
	TRY(emit_create(&params, &emit));
	return emit_conditions(build, emit);
}

struct output {
	uint16_t slot;
	ir_ref ref;
};

static struct error *put_outputs(struct emit *emit, const struct output *outputs,
				 unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		emit_expect(emit, outputs[i].ref);
	for (unsigned i = 0; i < count; i++)
		TRY(emit_put(emit, outputs[i].slot, outputs[i].ref));
	return halt(emit);
}

/* The accumulator's start: the register cut to the reduction's width. */
static ir_ref start_value(struct translation *build, const struct loop_reduction *r)
{
	struct ir *ir = build->loop->ir;
	return ir_extract(ir, ir_leaf(ir, IR_INIT, 64, r->cell), 0, r->width);
}

static struct error *translate_setup(struct translation *build)
{
	struct loop *loop = build->loop;
	struct mcode_kernel *kernel = build->kernel;
	struct output outputs[HOISTED_MAX + LOOP_STREAMS_MAX * 2 + LOOP_REDUCTIONS_MAX + 1];
	unsigned n = 0;
	outputs[n++] = (struct output){ kernel->trip_slot, loop->trip };
	for (unsigned i = 0; i < loop->n_streams; i++) {
		outputs[n++] =
			(struct output){ kernel->streams[i].base_slot, loop->streams[i].base };
		if (loop->streams[i].region)
			outputs[n++] =
				(struct output){ kernel->streams[i].length_slot,
						 ir_const(loop->ir, 64,
							  (uint64_t)loop->streams[i].high) };
	}
	for (unsigned i = 0; i < loop->n_reductions; i++)
		outputs[n++] = (struct output){ kernel->reductions[i].acc_slot,
						start_value(build, &loop->reductions[i]) };
	for (unsigned i = 0; i < build->n_hoisted; i++)
		outputs[n++] = (struct output){ build->hoisted_slot[i], build->hoisted[i] };
	struct emit_params params = section_params(build, MCODE_SETUP);
	AUTO(own_emit) struct emit *emit = NULL;
	TRY(emit_create(&params, &emit));
	return put_outputs(emit, outputs, n);
}

static bool is_store(const struct translation *build, const struct loop_access *access)
{
	return build->loop->iteration->events.items[access->event].store;
}

static void expect_body(struct translation *build, struct emit *emit)
{
	struct loop *loop = build->loop;
	for (unsigned i = 0; i < loop->n_accesses; i++) {
		const struct loop_access *access = &loop->accesses[i];
		uint64_t value = 0;
		if (!is_store(build, access)) {
			if (access->index != IR_NONE)
				emit_expect(emit, access->index);
			continue;
		}
		bool plain = ir_is_const(loop->ir, access->condition, &value);
		if (plain && !value)
			continue;
		emit_expect(emit, access->data);
		if (access->index != IR_NONE)
			emit_expect(emit, access->index);
		if (!plain)
			emit_expect(emit, access->condition);
	}
	for (unsigned i = 0; i < loop->n_reductions; i++)
		emit_expect(emit, loop->reductions[i].value);
	if (loop->search != IR_NONE)
		emit_expect(emit, loop->search);
}

static struct error *translate_body(struct translation *build)
{
	struct loop *loop = build->loop;
	struct mcode_kernel *kernel = build->kernel;
	struct emit_params params = section_params(build, MCODE_BODY);
	params.in_r0 = ir_leaf(loop->ir, IR_INIT, 64, CELL_K);
	params.may_jump = true;
	AUTO(own_emit) struct emit *emit = NULL;
	TRY(emit_create(&params, &emit));
	expect_body(build, emit);
	for (unsigned i = 0; i < loop->n_accesses; i++)
		if (is_store(build, &loop->accesses[i]))
			TRY(translate_store(build, emit, &loop->accesses[i]));
	for (unsigned i = 0; i < loop->n_reductions; i++)
		TRY(emit_put(emit, kernel->reductions[i].value_slot,
			     loop->reductions[i].value));
	if (loop->search != IR_NONE)
		TRY(emit_put(emit, kernel->search_slot, loop->search));
	return halt(emit);
}

/* The register after n iterations. */
static ir_ref exit_value(struct translation *build, unsigned c)
{
	struct loop *loop = build->loop;
	struct ir *ir = loop->ir;
	const struct loop_cell *cell = &loop->cells[c];
	ir_ref entry = ir_leaf(ir, IR_INIT, 64, c), n = ir_leaf(ir, IR_INIT, 64, CELL_N);
	if (cell->class == LOOP_REDUCTION) {
		const struct loop_reduction *r = &loop->reductions[cell->reduction];
		/* The slot holds it zero-extended. */
		ir_ref acc = ir_leaf(ir, IR_INIT, 64, CELL_ACC + cell->reduction);
		if (r->width == 64)
			return acc;
		return ir_ite(ir, ir_binary(ir, IR_EQ, n, ir_const(ir, 64, 0)), entry, acc);
	}
	return loop_cell_after(loop, c, n);
}

static struct error *add_exit(struct translation *build, unsigned c, struct output *ret)
{
	struct mcode_kernel *kernel = build->kernel;
	int guest = translate_guest_reg(c);
	if (guest < 0 || kernel->n_exits == MCODE_MAX_EXITS)
		return error_create(ERR_UNSUPPORTED, "changes %s", cell_name(c));
	struct mcode_binding *binding = &kernel->exits[kernel->n_exits++];
	binding->guest = (uint16_t)guest;
	TRY(new_slot(build, &binding->slot));
	*ret = (struct output){ binding->slot, exit_value(build, c) };
	return need_inputs_of(build, ret->ref);
}

static struct error *translate_finish(struct translation *build, const struct output *outputs,
				      unsigned count)
{
	struct emit_params params = section_params(build, MCODE_FINISH);
	params.in_r0 = ir_leaf(build->loop->ir, IR_INIT, 64, CELL_N);
	AUTO(own_emit) struct emit *emit = NULL;
	TRY(emit_create(&params, &emit));
	return put_outputs(emit, outputs, count);
}

static struct error *add_streams(struct translation *build)
{
	struct loop *loop = build->loop;
	struct mcode_kernel *kernel = build->kernel;
	for (unsigned i = 0; i < loop->n_streams; i++) {
		const struct loop_stream *from = &loop->streams[i];
		struct mcode_stream *to = &kernel->streams[kernel->n_streams++];
		to->stride_slot = to->length_slot = MCODE_NO_SLOT;
		/* a store into a table under a condition loads what is there */
		bool reads = from->reads || (from->region && from->writes);
		to->flags = (uint16_t)((reads ? MCODE_STREAM_READ : 0) |
				       (from->writes ? MCODE_STREAM_WRITE : 0) |
				       (from->region ? MCODE_STREAM_REGION : 0));
		TRY(new_slot(build, &to->base_slot));
		if (from->region) {
			TRY(new_slot(build, &to->length_slot));
		} else {
			to->stride = from->stride;
			to->low = from->low;
			to->high = from->high;
		}
		TRY(need_inputs_of(build, from->base));
	}
	return NULL;
}

static uint8_t reduction_op(const struct loop_reduction *reduction)
{
	if (reduction->state)
		return MCODE_MOV;
	switch (reduction->op) {
	case IR_ADD:
		return MCODE_ADD;
	case IR_AND:
		return MCODE_AND;
	case IR_OR:
		return MCODE_OR;
	case IR_XOR:
		return MCODE_XOR;
	case IR_MINU:
		return MCODE_MINU;
	case IR_MINS:
		return MCODE_MINS;
	case IR_MAXU:
		return MCODE_MAXU;
	default:
		return MCODE_MAXS;
	}
}

static struct error *add_reductions(struct translation *build)
{
	struct loop *loop = build->loop;
	struct mcode_kernel *kernel = build->kernel;
	for (unsigned i = 0; i < loop->n_reductions; i++) {
		const struct loop_reduction *from = &loop->reductions[i];
		struct mcode_reduction *to = &kernel->reductions[kernel->n_reductions++];
		to->op = reduction_op(from);
		to->width_code =
			(uint8_t)mcode_width_code(from->lane ? from->lane : from->width);
		to->packed = from->lane != 0;
		TRY(new_slot(build, &to->acc_slot));
		TRY(new_slot(build, &to->value_slot));
		TRY(need_input(build, from->cell));
		TRY(need_inputs_of(build, from->value));
	}
	if (loop->search != IR_NONE) {
		TRY(new_slot(build, &kernel->search_slot));
		TRY(need_inputs_of(build, loop->search));
	}
	return NULL;
}

/* Subexpressions of the body that do not change over iterations move to setup. */
static struct error *hoist(struct translation *build, ir_ref ref)
{
	const struct ir_node *node = ir_get(build->loop->ir, ref);
	if (node->op == IR_CONST || ir_arity(node->op) == 0 || build->seen[ref])
		return NULL;
	build->seen[ref] = true;
	if (!build->free_of_k[ref]) {
		for (unsigned i = 0; i < ir_arity(node->op); i++)
			TRY(hoist(build, node->args[i]));
		return NULL;
	}
	if (node->op == IR_ZEXT)
		return hoist(build, node->args[0]);
	if (build->n_hoisted == HOISTED_MAX)
		return NULL; /* computed in the body then */
	TRY(new_slot(build, &build->hoisted_slot[build->n_hoisted]));
	build->hoisted[build->n_hoisted++] = ref;
	return NULL;
}

static struct error *hoist_all(struct translation *build)
{
	struct loop *loop = build->loop;
	const struct ir *ir = loop->ir;
	AUTO(own_free) uint8_t *free_of_k = NULL;
	AUTO(own_free) uint8_t *seen = NULL;
	TRY(error_alloc(ir_count(ir) + 1, 1, &free_of_k));
	TRY(error_alloc(ir_count(ir) + 1, 1, &seen));
	build->seen = seen;
	for (ir_ref i = 1; i <= ir_count(ir); i++) {
		const struct ir_node *node = ir_get(ir, i);
		free_of_k[i] = node->op != IR_LOAD && node->op != IR_OPAQUE &&
			       !(node->op == IR_INIT && is_pseudo(node->imm));
		for (unsigned a = 0; a < ir_arity(node->op); a++)
			free_of_k[i] &= free_of_k[node->args[a]];
	}
	build->free_of_k = free_of_k;
	for (unsigned i = 0; i < loop->n_accesses; i++) {
		const struct loop_access *access = &loop->accesses[i];
		if (access->index != IR_NONE)
			TRY(hoist(build, access->index));
		if (!is_store(build, access))
			continue;
		TRY(hoist(build, access->data));
		TRY(hoist(build, access->condition));
	}
	for (unsigned i = 0; i < loop->n_reductions; i++)
		TRY(hoist(build, loop->reductions[i].value));
	if (loop->search != IR_NONE)
		TRY(hoist(build, loop->search));
	build->free_of_k = build->seen = NULL;
	return NULL;
}

static struct error *find_inputs(struct translation *build)
{
	struct loop *loop = build->loop;
	TRY(need_inputs_of(build, loop->trip));
	for (unsigned i = 0; i < loop->n_guards; i++)
		TRY(need_inputs_of(build, loop->guards[i]));
	for (unsigned i = 0; i < loop->n_accesses; i++) {
		const struct loop_access *access = &loop->accesses[i];
		if (access->index != IR_NONE)
			TRY(need_inputs_of(build, access->index));
		if (!is_store(build, access)) {
			if (access->event >= 4096)
				return error_create(ERR_LIMIT, "too many loads");
			build->load_access[access->event] = access;
			continue;
		}
		TRY(need_inputs_of(build, access->data));
		TRY(need_inputs_of(build, access->condition));
	}
	return NULL;
}

static struct error *translate_all(struct translation *build)
{
	struct loop *loop = build->loop;
	struct output exits[CELLS];
	unsigned n_exits = 0;
	TRY(new_slot(build, &build->kernel->trip_slot));
	TRY(find_inputs(build));
	TRY(add_streams(build));
	TRY(add_reductions(build));
	for (unsigned c = 0; c < CELLS; c++)
		if (loop->cells[c].class >= LOOP_IV)
			TRY(add_exit(build, c, &exits[n_exits++]));
	TRY(hoist_all(build));
	/* Leaves made here, before emitters size their tables. */
	ir_leaf(loop->ir, IR_INIT, 64, CELL_K);
	ir_leaf(loop->ir, IR_INIT, 64, CELL_N);
	for (unsigned i = 0; i < loop->n_reductions; i++)
		start_value(build, &loop->reductions[i]);
	TRY(translate_guard(build));
	TRY(translate_setup(build));
	build->in_body = true;
	TRY(translate_body(build));
	build->in_body = false;
	return translate_finish(build, exits, n_exits);
}

struct error *translate_loop(struct loop *loop, const char *name, struct mcode_kernel **ret)
{
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = NULL;
	AUTO(own_free) struct translation *build = NULL;
	TRY(error_alloc(1, sizeof(*build), &build));
	TRY(mcode_kernel_create(&kernel));
	for (unsigned i = 0; i < MCODE_SECTIONS; i++)
		kernel->code[i].count = 0;
	build->loop = loop;
	build->kernel = kernel;
	for (unsigned i = 0; i <= CELLS; i++)
		build->input_slot[i] = -1;
	kernel->n_slots = 0;
	kernel->search_slot = MCODE_NO_SLOT;
	kernel->serial = loop->serial;
	snprintf(kernel->name, sizeof(kernel->name), "%s", name);
	TRY(translate_all(build));
	if (ir_failed(loop->ir))
		return error_create(ERR_LIMIT, "the loop is too large");
	*ret = TAKE(kernel);
	return NULL;
}
