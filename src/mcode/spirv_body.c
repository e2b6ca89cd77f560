/* One iteration: registers, memory and jumps in SPIR-V. spirv.c has the frame around it. */
#include <stdlib.h>

#include "base/error.h"
#include "mcode/spirv_maker.h"

enum { BLOCK_END = 0xffffffff }; /* number of no basic block: the body is over */

bool maker_is_access(const struct mcode_insn *insn)
{
	return insn->op >= MCODE_LD && insn->op <= MCODE_STX;
}

uint32_t maker_element_type(struct spirv *sp, unsigned width_code)
{
	return SPIRV_TYPE(sp, OpTypeInt, mcode_width_bits(width_code), 0);
}

/* &variable[index] */
uint32_t maker_element_at(struct spirv *sp, uint32_t variable, uint32_t element, uint32_t index)
{
	uint32_t id = spirv_id(sp);
	SPIRV_PUT(sp, body, OpAccessChain, spirv_pointer(sp, StorageBuffer, element), id,
		  variable, spirv_u32(sp, 0), index);
	return id;
}

/* Values of 64 bits. */

uint32_t maker_u64_op(struct maker *m, unsigned op, uint32_t a, uint32_t b)
{
	return spirv_op2(&m->sp, op, m->sp.t_u64, a, b);
}

uint32_t maker_argument(struct maker *m, uint32_t index_id)
{
	struct spirv *sp = &m->sp;
	return spirv_load(sp, sp->t_u64,
			  maker_element_at(sp, m->arguments, sp->t_u64, index_id));
}

uint32_t maker_reg_variable(struct maker *m, unsigned reg)
{
	if (!m->regs[reg])
		m->regs[reg] = spirv_variable(&m->sp, StorageFunction, m->sp.t_u64);
	return m->regs[reg];
}

static uint32_t reg_get(struct maker *m, unsigned reg)
{
	return spirv_load(&m->sp, m->sp.t_u64, maker_reg_variable(m, reg));
}

uint32_t maker_slot_get(struct maker *m, unsigned slot)
{
	if (m->written[slot])
		return spirv_load(&m->sp, m->sp.t_u64, m->written[slot]);
	return m->invariants[slot];
}

uint32_t maker_narrow(struct maker *m, uint32_t value)
{
	return spirv_op1(&m->sp, OpUConvert, m->sp.t_u32, value);
}

uint32_t maker_not_zero(struct maker *m, uint32_t value)
{
	return spirv_op2(&m->sp, OpINotEqual, m->sp.t_bool, value, spirv_u64(&m->sp, 0));
}

/* if (condition) { then the caller's instructions up to end_if */
uint32_t maker_begin_if(struct maker *m, uint32_t condition)
{
	struct spirv *sp = &m->sp;
	uint32_t inside = spirv_id(sp), merge = spirv_id(sp);
	SPIRV_PUT(sp, body, OpSelectionMerge, merge, 0);
	SPIRV_PUT(sp, body, OpBranchConditional, condition, inside, merge);
	spirv_label(sp, inside);
	return merge;
}

void maker_end_if(struct maker *m, uint32_t merge)
{
	spirv_branch(&m->sp, merge);
	spirv_label(&m->sp, merge);
}

/* Memory. */

/* Byte offset in memory of a guest address of a stream. */
static uint32_t memory_offset(struct maker *m, unsigned stream, bool store, uint32_t address)
{
	struct spirv *sp = &m->sp;
	if (!(m->flags & MCODE_SPIRV_PAGED))
		return maker_u64_op(m, OpIAdd, address, m->places[stream]);
	uint32_t from_first = maker_u64_op(m, OpISub, address, m->places[stream]);
	uint32_t page = maker_u64_op(m, OpShiftRightLogical, from_first, spirv_u32(sp, 12));
	uint32_t index =
		maker_narrow(m, maker_u64_op(m, OpIAdd, page, m->tables[stream][store]));
	return maker_u64_op(
		m, OpIAdd, maker_argument(m, index),
		maker_u64_op(m, OpBitwiseAnd, from_first, spirv_u64(sp, MCODE_SPIRV_PAGE - 1)));
}

static uint32_t stream_length(struct maker *m, const struct mcode_stream *stream)
{
	if (stream->flags & MCODE_STREAM_REGION)
		return m->invariants[stream->length_slot];
	return spirv_u64(&m->sp, (uint64_t)((int64_t)stream->high - stream->low));
}

/* Rule 6, as a boolean: offset - low <= length - size, length >= size. */
static uint32_t inside_stream(struct maker *m, const struct mcode_insn *insn, uint32_t offset)
{
	struct spirv *sp = &m->sp;
	const struct mcode_stream *stream = &m->kernel->streams[insn->rs1];
	uint32_t size = spirv_u64(sp, mcode_width_bits(insn->width_code) / 8);
	uint32_t length = stream_length(m, stream);
	uint32_t low = spirv_u64(sp, (uint64_t)(int64_t)stream->low);
	uint32_t enough = spirv_op2(sp, OpULessThanEqual, sp->t_bool, size, length);
	uint32_t room = maker_u64_op(m, OpISub, length, size);
	uint32_t fits = spirv_op2(sp, OpULessThanEqual, sp->t_bool,
				  maker_u64_op(m, OpISub, offset, low), room);
	return spirv_op2(sp, OpLogicalAnd, sp->t_bool, enough, fits);
}

static void note_fault(struct maker *m, uint32_t inside)
{
	struct spirv *sp = &m->sp;
	uint32_t old = spirv_load(sp, sp->t_u32, m->fault_var);
	spirv_store(sp, m->fault_var,
		    spirv_op3(sp, OpSelect, sp->t_u32, inside, old, spirv_u32(sp, 1)));
}

/* Pointer to the element an access touches; with an index *inside_ret is its bounds check and
 * the element is number 0 when that fails. */
static uint32_t access_pointer(struct maker *m, const struct mcode_insn *insn,
			       uint32_t *inside_ret)
{
	struct spirv *sp = &m->sp;
	const struct mcode_stream *stream = &m->kernel->streams[insn->rs1];
	bool indexed = insn->op == MCODE_LDX || insn->op == MCODE_STX;
	unsigned log2_bytes = 3u - insn->width_code;
	uint32_t offset = spirv_u64(sp, insn->imm);
	if (indexed)
		offset = maker_u64_op(m, OpIAdd, reg_get(m, insn->rs2), offset);
	uint32_t stride = stream->stride_slot == MCODE_NO_SLOT
				  ? spirv_u64(sp, (uint64_t)stream->stride)
				  : m->invariants[stream->stride_slot];
	uint32_t address = maker_u64_op(m, OpIAdd, m->invariants[stream->base_slot],
					maker_u64_op(m, OpIMul, stride, m->k));
	address = maker_u64_op(m, OpIAdd, address, offset);
	*inside_ret = 0;
	if (indexed) {
		*inside_ret = inside_stream(m, insn, offset);
		note_fault(m, *inside_ret);
		/* The base of the stream stands in for an address that may lead anywhere. */
		address = spirv_op3(sp, OpSelect, sp->t_u64, *inside_ret, address,
				    m->invariants[stream->base_slot]);
	}
	bool store = insn->op != MCODE_LD && insn->op != MCODE_LDX;
	uint32_t bytes = memory_offset(m, insn->rs1, store, address);
	uint32_t index = maker_narrow(
		m, maker_u64_op(m, OpShiftRightLogical, bytes, spirv_u32(sp, log2_bytes)));
	return maker_element_at(sp, m->memory[insn->width_code],
				maker_element_type(sp, insn->width_code), index);
}

static void make_load(struct maker *m, const struct mcode_insn *insn)
{
	struct spirv *sp = &m->sp;
	uint32_t type = maker_element_type(sp, insn->width_code), inside;
	uint32_t value = spirv_load(sp, type, access_pointer(m, insn, &inside));
	if (insn->width_code != MCODE_W64)
		value = spirv_op1(sp, OpUConvert, sp->t_u64, value);
	if (inside)
		value = spirv_op3(sp, OpSelect, sp->t_u64, inside, value, spirv_u64(sp, 0));
	spirv_store(sp, maker_reg_variable(m, insn->rd), value);
}

static void make_store(struct maker *m, const struct mcode_insn *insn)
{
	struct spirv *sp = &m->sp;
	uint32_t inside, merge = 0;
	if (insn->op == MCODE_STC)
		merge = maker_begin_if(m, maker_not_zero(m, reg_get(m, insn->rs2)));
	uint32_t pointer = access_pointer(m, insn, &inside);
	uint32_t value = reg_get(m, insn->rd);
	if (insn->width_code != MCODE_W64)
		value = spirv_op1(sp, OpUConvert, maker_element_type(sp, insn->width_code),
				  value);
	if (inside)
		merge = maker_begin_if(m, inside);
	spirv_store(sp, pointer, value);
	if (merge)
		maker_end_if(m, merge);
}

static void make_alu(struct maker *m, const struct mcode_insn *insn)
{
	struct spirv *sp = &m->sp;
	unsigned form = mcode_op_info(insn->op)->form;
	uint32_t a = form == MCODE_FORM_RI ? 0 : reg_get(m, insn->rs1);
	uint32_t b = insn->has_imm ? spirv_u64(sp, insn->imm) : 0;
	if (form == MCODE_FORM_RRR && !insn->has_imm)
		b = reg_get(m, insn->rs2);
	uint32_t d = insn->op == MCODE_CMOV ? reg_get(m, insn->rd) : 0;
	uint32_t value = spirv_alu(sp, insn->op, insn->width_code, insn->packed, a, b, d);
	spirv_store(sp, maker_reg_variable(m, insn->rd), value);
}

/* Anything but a jump or HALT. */
static void make_insn(struct maker *m, const struct mcode_insn *insn)
{
	if (insn->op == MCODE_NOP)
		return;
	if (insn->op == MCODE_GET)
		spirv_store(&m->sp, maker_reg_variable(m, insn->rd),
			    maker_slot_get(m, insn->rs1));
	else if (insn->op == MCODE_PUT)
		spirv_store(&m->sp, m->written[insn->rs1], reg_get(m, insn->rd));
	else if (insn->op == MCODE_LD || insn->op == MCODE_LDX)
		make_load(m, insn);
	else if (maker_is_access(insn))
		make_store(m, insn);
	else
		make_alu(m, insn);
}

/* The body. */

/* Jumps that only leave what they are in, which ends where they go to:
 *
 *     loop { ...; if (c) break; ...; if (d) break; ...; break; }      once through at most
 *
 * Such regions follow each other or lie in one another; a jump goes to the end of the
 * innermost. */
struct region {
	uint32_t end; /* pixel */
	uint32_t header, again, merge; /* labels */
};

struct regions {
	VEC(struct region) open; /* the innermost last */
};

static bool jump_nests(struct regions *regions, const struct mcode_insn *insn, uint32_t at)
{
	size_t n = regions->open.count;
	uint64_t end = n ? regions->open.items[n - 1].end : UINT32_MAX;
	if (insn->op == MCODE_JMP || insn->imm <= at || insn->imm > end)
		return false;
	return insn->imm == end ||
	       VEC_PUSH(&regions->open, (struct region){ .end = (uint32_t)insn->imm });
}

bool maker_jumps_nest(const struct mcode_code *code)
{
	struct regions regions = { 0 };
	struct mcode_insn insn;
	bool nest = true;
	for (uint32_t at = 0; at < code->count && nest; at += insn.n_pixels) {
		mcode_decode(code->pixels, code->count, at, &insn, NULL);
		while (regions.open.count &&
		       regions.open.items[regions.open.count - 1].end == at)
			regions.open.count--;
		if (insn.op == MCODE_HALT) {
			nest = regions.open.count == 0;
			break;
		}
		if (mcode_is_jump(insn.op))
			nest = jump_nests(&regions, &insn, at);
	}
	VEC_FREE(&regions.open);
	return nest;
}

static void begin_region(struct maker *m, struct regions *regions, uint32_t end)
{
	struct spirv *sp = &m->sp;
	uint32_t inside = spirv_id(sp);
	struct region region = { end, spirv_id(sp), spirv_id(sp), spirv_id(sp) };
	sp->failed |= !VEC_PUSH(&regions->open, region);
	spirv_branch(sp, region.header);
	spirv_label(sp, region.header);
	SPIRV_PUT(sp, body, OpLoopMerge, region.merge, region.again, 0);
	spirv_branch(sp, inside);
	spirv_label(sp, inside);
}

static void end_region(struct maker *m, const struct region *region)
{
	struct spirv *sp = &m->sp;
	spirv_branch(sp, region->merge);
	spirv_label(sp, region->again);
	spirv_branch(sp, region->header);
	spirv_label(sp, region->merge);
}

/* A jump out of the region at hand, or of one that begins here. */
static void make_way_out(struct maker *m, struct regions *regions,
			 const struct mcode_insn *insn)
{
	struct spirv *sp = &m->sp;
	size_t n = regions->open.count;
	if (!n || regions->open.items[n - 1].end != insn->imm)
		begin_region(m, regions, (uint32_t)insn->imm);
	if (sp->failed)
		return;
	uint32_t merge = regions->open.items[regions->open.count - 1].merge;
	uint32_t on = spirv_id(sp), test = maker_not_zero(m, reg_get(m, insn->rs1));
	bool out_if_set = insn->op == MCODE_JNZ;
	SPIRV_PUT(sp, body, OpBranchConditional, test, out_if_set ? merge : on,
		  out_if_set ? on : merge);
	spirv_label(sp, on);
}

static void make_straight_body(struct maker *m)
{
	const struct mcode_code *code = &m->kernel->code[MCODE_BODY];
	struct regions regions = { 0 };
	struct mcode_insn insn;
	for (uint32_t at = 0; at < code->count; at += insn.n_pixels) {
		mcode_decode(code->pixels, code->count, at, &insn, NULL);
		while (regions.open.count &&
		       regions.open.items[regions.open.count - 1].end == at)
			end_region(m, &regions.open.items[--regions.open.count]);
		if (insn.op == MCODE_HALT)
			break;
		if (mcode_is_jump(insn.op))
			make_way_out(m, &regions, &insn);
		else
			make_insn(m, &insn);
	}
	while (regions.open.count) /* those that end with the body */
		end_region(m, &regions.open.items[--regions.open.count]);
	VEC_FREE(&regions.open);
}

/* A backward jump: with fuel to its target, otherwise to the end with the fault set. */
static uint32_t pay_for_jump(struct maker *m, uint32_t taken, uint32_t target)
{
	struct spirv *sp = &m->sp;
	uint32_t fuel = spirv_load(sp, sp->t_u32, m->fuel_var);
	uint32_t empty = spirv_op2(sp, OpIEqual, sp->t_bool, fuel, spirv_u32(sp, 0));
	uint32_t one =
		spirv_op3(sp, OpSelect, sp->t_u32, empty, spirv_u32(sp, 0), spirv_u32(sp, 1));
	uint32_t spent = spirv_op3(sp, OpSelect, sp->t_u32, taken, one, spirv_u32(sp, 0));
	uint32_t stuck = spirv_op2(sp, OpLogicalAnd, sp->t_bool, taken, empty);
	spirv_store(sp, m->fuel_var, spirv_op2(sp, OpISub, sp->t_u32, fuel, spent));
	note_fault(m, spirv_op1(sp, OpLogicalNot, sp->t_bool, stuck));
	return spirv_op3(sp, OpSelect, sp->t_u32, empty, spirv_u32(sp, BLOCK_END),
			 spirv_u32(sp, target));
}

/* Ends a basic block: sets the number of the next one. */
static void make_jump(struct maker *m, const struct mcode_insn *insn, uint32_t at)
{
	struct spirv *sp = &m->sp;
	uint32_t next = spirv_u32(sp, at + insn->n_pixels), taken;
	if (insn->op == MCODE_JMP)
		taken = spirv_true(sp);
	else
		taken = spirv_op2(sp, insn->op == MCODE_JZ ? OpIEqual : OpINotEqual, sp->t_bool,
				  reg_get(m, insn->rs1), spirv_u64(sp, 0));
	uint32_t target = insn->imm > at ? spirv_u32(sp, (uint32_t)insn->imm)
					 : pay_for_jump(m, taken, (uint32_t)insn->imm);
	spirv_store(sp, m->block_var, spirv_op3(sp, OpSelect, sp->t_u32, taken, target, next));
}

struct block_list {
	VEC(uint32_t) starts; /* pixel numbers */
	bool *is_start; /* by pixel */
};

static bool find_blocks(const struct mcode_code *code, struct block_list *list)
{
	struct mcode_insn insn;
	list->is_start = calloc(code->count + 1, 1);
	if (!list->is_start)
		return false;
	list->is_start[0] = true;
	for (uint32_t at = 0; at < code->count; at += insn.n_pixels) {
		mcode_decode(code->pixels, code->count, at, &insn, NULL);
		if (mcode_is_jump(insn.op))
			list->is_start[insn.imm] = list->is_start[at + insn.n_pixels] = true;
	}
	for (uint32_t at = 0; at < code->count; at++)
		if (list->is_start[at] && !VEC_PUSH(&list->starts, at))
			return false;
	return true;
}

static void make_block(struct maker *m, const struct block_list *list, uint32_t at)
{
	const struct mcode_code *code = &m->kernel->code[MCODE_BODY];
	struct spirv *sp = &m->sp;
	struct mcode_insn insn;
	do {
		mcode_decode(code->pixels, code->count, at, &insn, NULL);
		if (mcode_is_jump(insn.op)) {
			make_jump(m, &insn, at);
			return;
		}
		if (insn.op == MCODE_HALT) {
			spirv_store(sp, m->block_var, spirv_u32(sp, BLOCK_END));
			return;
		}
		make_insn(m, &insn);
		at += insn.n_pixels;
	} while (at < code->count && !list->is_start[at]);
	spirv_store(sp, m->block_var, spirv_u32(sp, at));
}

/* loop { switch (block) { case ...: ...; default: leave } } */
static void make_blocks(struct maker *m, const struct block_list *list)
{
	struct spirv *sp = &m->sp;
	uint32_t header = spirv_id(sp), choose = spirv_id(sp), joined = spirv_id(sp);
	uint32_t again = spirv_id(sp), done = spirv_id(sp), leave = spirv_id(sp);
	uint32_t first_label = sp->bound, n = (uint32_t)list->starts.count;
	sp->bound += n;
	spirv_store(sp, m->block_var, spirv_u32(sp, 0));
	spirv_branch(sp, header);
	spirv_label(sp, header);
	SPIRV_PUT(sp, body, OpLoopMerge, done, again, 0);
	spirv_branch(sp, choose);
	spirv_label(sp, choose);
	uint32_t block = spirv_load(sp, sp->t_u32, m->block_var);
	SPIRV_PUT(sp, body, OpSelectionMerge, joined, 0);
	if (!VEC_PUSH(&sp->body, (3 + 2 * n) << 16 | OpSwitch) || !VEC_PUSH(&sp->body, block) ||
	    !VEC_PUSH(&sp->body, leave))
		sp->failed = true;
	for (uint32_t i = 0; i < n; i++)
		if (!VEC_PUSH(&sp->body, list->starts.items[i]) ||
		    !VEC_PUSH(&sp->body, first_label + i))
			sp->failed = true;
	for (uint32_t i = 0; i < n; i++) {
		spirv_label(sp, first_label + i);
		make_block(m, list, list->starts.items[i]);
		spirv_branch(sp, joined);
	}
	spirv_label(sp, leave);
	spirv_branch(sp, done);
	spirv_label(sp, joined);
	spirv_branch(sp, again);
	spirv_label(sp, again);
	spirv_branch(sp, header);
	spirv_label(sp, done);
}

struct error *maker_body(struct maker *m)
{
	const struct mcode_code *code = &m->kernel->code[MCODE_BODY];
	struct spirv *sp = &m->sp;
	for (unsigned r = 0; r < MCODE_REGISTERS; r++)
		if (m->regs[r])
			spirv_store(sp, m->regs[r], r ? spirv_u64(sp, 0) : m->k);
	for (unsigned s = 0; s < MCODE_SLOTS; s++)
		if (m->written[s])
			spirv_store(sp, m->written[s], m->invariants[s]);
	if (m->can_fault)
		spirv_store(sp, m->fault_var, spirv_u32(sp, 0));
	if (m->jumps)
		spirv_store(sp, m->fuel_var, spirv_u32(sp, m->kernel->fuel));
	if (!m->jumps || !code->count) {
		make_straight_body(m);
		return NULL;
	}
	struct block_list list = { 0 };
	if (find_blocks(code, &list))
		make_blocks(m, &list);
	else
		sp->failed = true;
	free(list.is_start);
	VEC_FREE(&list.starts);
	return NULL;
}
