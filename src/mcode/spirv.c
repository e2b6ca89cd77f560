/* A kernel's body as a compute shader.
 *
 *   for (i = invocation; i < n; i += invocations) {
 *           registers = 0; r0 = k0 + i; slots that the body writes = the invariants
 *           body
 *           hit or fault: atomic minimum of i, leave the loop
 *           accumulators OP= contributions
 *   }
 *   per reduction: tree over the work group in shared memory, lane 0 writes the partial result
 *
 * 1. Registers and written slots are function variables of 64 bits; drivers make values of
 * them.
 * 2. SPIR-V wants structured control flow. Where jumps only leave what they are in, their way
 * out is a break; otherwise the body is a loop around a switch over basic blocks, which has it
 * for any jumps.
 * 3. Memory is one buffer seen through arrays of 8-, 16-, 32- and 64-bit words. */
#include "mcode/spirv.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "mcode/alu.h"
#include "mcode/spirv_maker.h"

enum {
	CapabilityShader = 1,
	CapabilityInt64 = 11,
	CapabilityStorage16 = 4433,
	CapabilityStorage8 = 4448,
	DecorationBlock = 2,
	DecorationArrayStride = 6,
	DecorationBuiltIn = 11,
	DecorationAliased = 20,
	DecorationNonWritable = 24,
	DecorationBinding = 33,
	DecorationDescriptorSet = 34,
	DecorationOffset = 35,
	BuiltInNumWorkgroups = 24,
	BuiltInWorkgroupId = 26,
	BuiltInLocalInvocationId = 27,
	BuiltInGlobalInvocationId = 28,
	ScopeDevice = 1,
	ScopeWorkgroup = 2,
	SemanticsWorkgroup = 0x108, /* acquire and release of shared memory */
};

typedef void insn_visitor(struct maker *m, const struct mcode_insn *insn);

static void visit_body(struct maker *m, insn_visitor *visit)
{
	const struct mcode_code *code = &m->kernel->code[MCODE_BODY];
	struct mcode_insn insn;
	for (uint32_t at = 0; at < code->count; at += insn.n_pixels) {
		CHECK(mcode_decode(code->pixels, code->count, at, &insn, NULL));
		visit(m, &insn);
	}
}

/* Module-level objects. */

static void decorate2(struct spirv *sp, uint32_t id, uint32_t what, uint32_t value)
{
	SPIRV_PUT(sp, decorations, OpDecorate, id, what, value);
}

/* A storage buffer of one runtime array. */
static uint32_t buffer_variable(struct spirv *sp, uint32_t binding, uint32_t element,
				unsigned bytes)
{
	uint32_t before = sp->bound;
	uint32_t array = SPIRV_TYPE(sp, OpTypeRuntimeArray, element);
	uint32_t block = SPIRV_TYPE(sp, OpTypeStruct, array);
	uint32_t variable = spirv_variable(sp, StorageBuffer, block);
	if (block >= before) { /* buffers of equal elements share their types */
		decorate2(sp, array, DecorationArrayStride, bytes);
		SPIRV_PUT(sp, decorations, OpDecorate, block, DecorationBlock);
		SPIRV_PUT(sp, decorations, OpMemberDecorate, block, 0, DecorationOffset, 0);
	}
	decorate2(sp, variable, DecorationDescriptorSet, 0);
	decorate2(sp, variable, DecorationBinding, binding);
	SPIRV_PUT(sp, decorations, OpDecorate, variable, DecorationAliased);
	return variable;
}

static uint32_t builtin(struct maker *m, uint32_t which)
{
	struct spirv *sp = &m->sp;
	uint32_t vector = SPIRV_TYPE(sp, OpTypeVector, sp->t_u32, 3);
	uint32_t variable = spirv_variable(sp, StorageInput, vector);
	decorate2(sp, variable, DecorationBuiltIn, which);
	m->builtins[m->n_builtins++] = variable;
	return variable;
}

static uint32_t builtin_x(struct maker *m, uint32_t variable)
{
	struct spirv *sp = &m->sp;
	uint32_t pointer =
		spirv_op2(sp, OpAccessChain, spirv_pointer(sp, StorageInput, sp->t_u32),
			  variable, spirv_u32(sp, 0));
	return spirv_load(sp, sp->t_u32, pointer);
}

static void note_use(struct maker *m, const struct mcode_insn *insn)
{
	struct spirv *sp = &m->sp;
	m->can_fault |= insn->op == MCODE_LDX || insn->op == MCODE_STX;
	if (maker_is_access(insn) && !m->memory[insn->width_code])
		m->memory[insn->width_code] = buffer_variable(
			sp, MCODE_SPIRV_MEMORY, maker_element_type(sp, insn->width_code),
			mcode_width_bits(insn->width_code) / 8);
	if (insn->op == MCODE_PUT && !m->written[insn->rs1])
		m->written[insn->rs1] = spirv_variable(sp, StorageFunction, sp->t_u64);
}

/* Around the body. */

uint64_t mcode_reduction_identity(const struct mcode_reduction *red)
{
	unsigned bits = mcode_width_bits(red->width_code);
	uint64_t ones = mcode_width_mask(red->width_code), lane, all = 0;
	switch (red->op) {
	case MCODE_MUL:
		lane = 1;
		break;
	case MCODE_AND:
	case MCODE_MINU:
		lane = ones;
		break;
	case MCODE_MINS:
		lane = ones >> 1;
		break;
	case MCODE_MAXS:
		lane = ones ^ ones >> 1;
		break;
	default:
		lane = 0;
		break;
	}
	for (unsigned at = 0; at < (red->packed ? 64 : bits); at += bits)
		all |= lane << at;
	return all;
}

/* results[word] = smaller of it and i, then out of the loop. */
static void leave_if(struct maker *m, uint32_t condition, unsigned word, uint32_t i,
		     uint32_t loop_merge)
{
	struct spirv *sp = &m->sp;
	uint32_t inside = spirv_id(sp), merge = spirv_id(sp), old = spirv_id(sp);
	SPIRV_PUT(sp, body, OpSelectionMerge, merge, 0);
	SPIRV_PUT(sp, body, OpBranchConditional, condition, inside, merge);
	spirv_label(sp, inside);
	uint32_t pointer = maker_element_at(sp, m->results, sp->t_u32, spirv_u32(sp, word));
	SPIRV_PUT(sp, body, OpAtomicUMin, sp->t_u32, old, pointer, spirv_u32(sp, ScopeDevice),
		  spirv_u32(sp, 0), i);
	spirv_branch(sp, loop_merge);
	spirv_label(sp, merge);
}

static struct error *make_iteration(struct maker *m, uint32_t i, uint32_t k0,
				    uint32_t loop_merge)
{
	struct spirv *sp = &m->sp;
	const struct mcode_kernel *kernel = m->kernel;
	m->k = maker_u64_op(m, OpIAdd, k0, spirv_op1(sp, OpUConvert, sp->t_u64, i));
	TRY(maker_body(m));
	if (m->can_fault) {
		uint32_t fault = spirv_load(sp, sp->t_u32, m->fault_var);
		leave_if(m, spirv_op2(sp, OpINotEqual, sp->t_bool, fault, spirv_u32(sp, 0)), 1,
			 i, loop_merge);
	}
	if (kernel->search_slot != MCODE_NO_SLOT)
		leave_if(m, maker_not_zero(m, maker_slot_get(m, kernel->search_slot)), 0, i,
			 loop_merge);
	for (uint32_t r = 0; r < kernel->n_reductions; r++) {
		const struct mcode_reduction *red = &kernel->reductions[r];
		uint32_t acc = spirv_load(sp, sp->t_u64, m->accs[r]);
		spirv_store(sp, m->accs[r],
			    spirv_alu(sp, red->op, red->width_code, red->packed, acc,
				      maker_slot_get(m, red->value_slot), 0));
	}
	return NULL;
}

static struct error *make_loop(struct maker *m, uint32_t first, uint32_t step)
{
	struct spirv *sp = &m->sp;
	uint32_t k0 = maker_argument(m, spirv_u32(sp, 0));
	uint32_t n = maker_narrow(m, maker_argument(m, spirv_u32(sp, 1)));
	uint32_t header = spirv_id(sp), test = spirv_id(sp), body = spirv_id(sp);
	uint32_t again = spirv_id(sp), done = spirv_id(sp);
	spirv_store(sp, m->i_var, first);
	spirv_branch(sp, header);
	spirv_label(sp, header);
	SPIRV_PUT(sp, body, OpLoopMerge, done, again, 0);
	spirv_branch(sp, test);
	spirv_label(sp, test);
	uint32_t i = spirv_load(sp, sp->t_u32, m->i_var);
	SPIRV_PUT(sp, body, OpBranchConditional, spirv_op2(sp, OpULessThan, sp->t_bool, i, n),
		  body, done);
	spirv_label(sp, body);
	TRY(make_iteration(m, i, k0, done));
	spirv_branch(sp, again);
	spirv_label(sp, again);
	spirv_store(sp, m->i_var, spirv_op2(sp, OpIAdd, sp->t_u32, i, step));
	spirv_branch(sp, header);
	spirv_label(sp, done);
	return NULL;
}

static uint32_t shared_at(struct maker *m, uint32_t index)
{
	struct spirv *sp = &m->sp;
	return spirv_op2(sp, OpAccessChain, spirv_pointer(sp, StorageWorkgroup, sp->t_u64),
			 m->shared, index);
}

static void barrier(struct maker *m)
{
	struct spirv *sp = &m->sp;
	uint32_t scope = spirv_u32(sp, ScopeWorkgroup);
	SPIRV_PUT(sp, body, OpControlBarrier, scope, scope, spirv_u32(sp, SemanticsWorkgroup));
}

/* Halves the group's values until lane 0 holds the result, which it writes out. */
static void make_tree(struct maker *m, uint32_t r, uint32_t lane, uint32_t group)
{
	struct spirv *sp = &m->sp;
	const struct mcode_reduction *red = &m->kernel->reductions[r];
	spirv_store(sp, shared_at(m, lane), spirv_load(sp, sp->t_u64, m->accs[r]));
	barrier(m);
	for (uint32_t step = MCODE_SPIRV_LANES / 2; step; step /= 2) {
		uint32_t low =
			spirv_op2(sp, OpULessThan, sp->t_bool, lane, spirv_u32(sp, step));
		uint32_t merge = maker_begin_if(m, low);
		uint32_t other = spirv_op2(sp, OpIAdd, sp->t_u32, lane, spirv_u32(sp, step));
		uint32_t mine = spirv_load(sp, sp->t_u64, shared_at(m, lane));
		uint32_t its = spirv_load(sp, sp->t_u64, shared_at(m, other));
		spirv_store(sp, shared_at(m, lane),
			    spirv_alu(sp, red->op, red->width_code, red->packed, mine, its, 0));
		maker_end_if(m, merge);
		barrier(m);
	}
	uint32_t merge =
		maker_begin_if(m, spirv_op2(sp, OpIEqual, sp->t_bool, lane, spirv_u32(sp, 0)));
	uint32_t value = spirv_load(sp, sp->t_u64, shared_at(m, lane));
	uint32_t at = spirv_op2(sp, OpIMul, sp->t_u32, group,
				spirv_u32(sp, 2 * m->kernel->n_reductions));
	at = spirv_op2(sp, OpIAdd, sp->t_u32, at, spirv_u32(sp, 2 + 2 * r));
	spirv_store(sp, maker_element_at(sp, m->results, sp->t_u32, at),
		    maker_narrow(m, value));
	at = spirv_op2(sp, OpIAdd, sp->t_u32, at, spirv_u32(sp, 1));
	value = maker_u64_op(m, OpShiftRightLogical, value, spirv_u32(sp, 32));
	spirv_store(sp, maker_element_at(sp, m->results, sp->t_u32, at),
		    maker_narrow(m, value));
	maker_end_if(m, merge);
	barrier(m);
}

static void load_arguments(struct maker *m)
{
	struct spirv *sp = &m->sp;
	uint32_t at = 2;
	for (uint32_t s = 0; s < m->kernel->n_slots; s++)
		m->invariants[s] = maker_argument(m, spirv_u32(sp, at++));
	for (uint32_t s = 0; s < m->kernel->n_streams; s++) {
		m->places[s] = maker_argument(m, spirv_u32(sp, at++));
		m->tables[s][0] = maker_argument(m, spirv_u32(sp, at++));
		m->tables[s][1] = maker_argument(m, spirv_u32(sp, at++));
	}
	m->layout = (struct mcode_spirv_layout){
		.n_slots = m->kernel->n_slots,
		.n_streams = m->kernel->n_streams,
		.argument_words = at,
		.n_reductions = m->kernel->n_reductions,
	};
}

static void declare(struct maker *m)
{
	struct spirv *sp = &m->sp;
	m->arguments = buffer_variable(sp, MCODE_SPIRV_ARGUMENTS, sp->t_u64, 8);
	m->results = buffer_variable(sp, MCODE_SPIRV_RESULTS, sp->t_u32, 4);
	m->i_var = spirv_variable(sp, StorageFunction, sp->t_u32);
	m->fault_var = spirv_variable(sp, StorageFunction, sp->t_u32);
	m->fuel_var = spirv_variable(sp, StorageFunction, sp->t_u32);
	m->block_var = spirv_variable(sp, StorageFunction, sp->t_u32);
	/* All registers: a variable made in the middle of the body would miss its reset. */
	for (unsigned r = 0; r < MCODE_REGISTERS; r++)
		maker_reg_variable(m, r);
	for (uint32_t r = 0; r < m->kernel->n_reductions; r++)
		m->accs[r] = spirv_variable(sp, StorageFunction, sp->t_u64);
	if (m->kernel->n_reductions) {
		uint32_t array = SPIRV_TYPE(sp, OpTypeArray, sp->t_u64,
					    spirv_u32(sp, MCODE_SPIRV_LANES));
		m->shared = spirv_variable(sp, StorageWorkgroup, array);
	}
	visit_body(m, note_use);
	m->jumps = !maker_jumps_nest(&m->kernel->code[MCODE_BODY]);
	m->can_fault |= m->jumps;
}

static struct error *make_main(struct maker *m)
{
	struct spirv *sp = &m->sp;
	uint32_t global = builtin(m, BuiltInGlobalInvocationId);
	uint32_t groups = builtin(m, BuiltInNumWorkgroups);
	uint32_t local = builtin(m, BuiltInLocalInvocationId);
	uint32_t group = builtin(m, BuiltInWorkgroupId);
	uint32_t first = builtin_x(m, global);
	uint32_t step = spirv_op2(sp, OpIMul, sp->t_u32, builtin_x(m, groups),
				  spirv_u32(sp, MCODE_SPIRV_LANES));
	uint32_t lane = builtin_x(m, local), group_x = builtin_x(m, group);
	load_arguments(m);
	for (uint32_t r = 0; r < m->kernel->n_reductions; r++)
		spirv_store(sp, m->accs[r],
			    spirv_u64(sp, mcode_reduction_identity(&m->kernel->reductions[r])));
	TRY(make_loop(m, first, step));
	for (uint32_t r = 0; r < m->kernel->n_reductions; r++)
		make_tree(m, r, lane, group_x);
	SPIRV_PUT(sp, body, OpReturn);
	spirv_put(sp, &sp->body, OpFunctionEnd, NULL, 0);
	return NULL;
}

/* The sections before the types, and the function's first words, once everything is known. */
static void make_head(struct maker *m)
{
	struct spirv *sp = &m->sp;
	static const char main_name[8] = "main", glsl_name[16] = "GLSL.std.450";
	uint32_t words[32], n = 0, main_id = spirv_id(sp);
	SPIRV_PUT(sp, head, OpCapability, CapabilityShader);
	SPIRV_PUT(sp, head, OpCapability, CapabilityInt64);
	if (m->memory[MCODE_W8])
		SPIRV_PUT(sp, head, OpCapability, CapabilityStorage8);
	if (m->memory[MCODE_W16])
		SPIRV_PUT(sp, head, OpCapability, CapabilityStorage16);
	words[0] = sp->glsl;
	memcpy(words + 1, glsl_name, 16);
	spirv_put(sp, &sp->head, OpExtInstImport, words, 5);
	SPIRV_PUT(sp, head, OpMemoryModel, 0, 1);
	words[n++] = 5; /* GLCompute */
	words[n++] = main_id;
	memcpy(words + n, main_name, 8);
	n += 2;
	for (uint32_t i = 0; i < m->n_builtins; i++)
		words[n++] = m->builtins[i];
	for (unsigned w = 0; w < 4; w++)
		if (m->memory[w])
			words[n++] = m->memory[w];
	words[n++] = m->arguments;
	words[n++] = m->results;
	if (m->shared)
		words[n++] = m->shared;
	spirv_put(sp, &sp->head, OpEntryPoint, words, n);
	SPIRV_PUT(sp, head, OpExecutionMode, main_id, 17, MCODE_SPIRV_LANES, 1, 1);
	SPIRV_PUT(sp, decorations, OpDecorate, m->arguments, DecorationNonWritable);
	/* locals holds the function's variables: its first block starts before them. */
	uint32_t type = SPIRV_TYPE(sp, OpTypeFunction, sp->t_void);
	SPIRV_PUT(sp, globals, OpFunction, sp->t_void, main_id, 0, type);
	SPIRV_PUT(sp, globals, OpLabel, spirv_id(sp));
}

struct error *mcode_spirv_make(const struct mcode_kernel *kernel, unsigned flags,
			       uint32_t **words_ret, size_t *n_words_ret,
			       struct mcode_spirv_layout *layout_ret)
{
	struct maker *m;
	if (kernel->serial)
		return error_create(ERR_UNSUPPORTED,
				    "its iterations need each other: no work for lanes");
	TRY(error_alloc(1, sizeof(*m), &m));
	m->kernel = kernel;
	m->flags = flags;
	spirv_begin(&m->sp);
	declare(m);
	struct error *err = make_main(m);
	if (!err) {
		make_head(m);
		err = spirv_end(&m->sp, words_ret, n_words_ret);
		*layout_ret = m->layout;
	}
	spirv_free(&m->sp);
	free(m);
	return err;
}

/* What the caller checks before and does after. */

bool mcode_spirv_aligned(const struct mcode_kernel *kernel, const uint64_t *slots)
{
	const struct mcode_code *code = &kernel->code[MCODE_BODY];
	struct mcode_insn insn;
	for (uint32_t at = 0; at < code->count; at += insn.n_pixels) {
		if (!mcode_decode(code->pixels, code->count, at, &insn, NULL))
			return false;
		if (!maker_is_access(&insn))
			continue;
		const struct mcode_stream *stream = &kernel->streams[insn.rs1];
		uint64_t stride = stream->stride_slot == MCODE_NO_SLOT
					  ? (uint64_t)stream->stride
					  : slots[stream->stride_slot];
		uint64_t misaligned = slots[stream->base_slot] | stride | insn.imm;
		bool indexed = insn.op == MCODE_LDX || insn.op == MCODE_STX;
		/* An index is unknown until it runs. */
		if (indexed && insn.width_code != MCODE_W8)
			return false;
		if (misaligned & (mcode_width_bits(insn.width_code) / 8 - 1))
			return false;
	}
	return true;
}

void mcode_spirv_fold(const struct mcode_kernel *kernel, uint64_t *slots,
		      const uint32_t *results, uint32_t groups)
{
	for (uint32_t g = 0; g < groups; g++) {
		for (uint32_t r = 0; r < kernel->n_reductions; r++) {
			const struct mcode_reduction *red = &kernel->reductions[r];
			const uint32_t *at = results + 2 + 2 * (g * kernel->n_reductions + r);
			uint64_t part = at[0] | (uint64_t)at[1] << 32;
			slots[red->acc_slot] = mcode_alu(red->op, red->width_code, red->packed,
							 slots[red->acc_slot], part, 0);
		}
	}
}
