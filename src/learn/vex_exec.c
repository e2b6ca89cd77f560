/* Rules:
 * 1. What has no meaning here (floating point, most helpers) becomes an OPAQUE leaf with a
 *    reason. It is an error only if something live turns out to depend on it. What went into it
 *    is kept: that must not be stale.
 * 2. Effects without a meaning (fences, locked instructions, helpers that touch memory or
 * state) end the attempt at once.
 * 3. Loads and stores of more than 64 bits are several events in address order.
 * 4. A simplifying builder sees stored bytes again when they are loaded: addresses that differ
 * by a constant are told apart, all others are taken to be apart, which guard and proof must
 *    confirm.
 * 5. A branch that constants decide goes one way only. With `follow` the ways are given and
 * each of them is recorded as something to prove.
 * 6. A division leaves where it would fault, or where its numerator needs both registers: that
 * is less than the code does, and a kernel that stops early is right. */
#include "learn/vex_exec.h"

#include <string.h>

#include "base/error.h"
#include "learn/vex_call.h"
#include "learn/vex_ops.h"

struct run {
	struct vex_exec *exec;
	struct ir *ir;
	const IRSB *block;
	struct vex_value *temps;
	uint64_t gva; /* of the current instruction */
	bool left; /* a branch that is always taken has been met */
};

static uint8_t type_bits(IRType type)
{
	switch (type) {
	case Ity_I1:
		return 1;
	case Ity_I8:
		return 8;
	case Ity_I16:
		return 16;
	case Ity_I32:
	case Ity_F32:
		return 32;
	default:
		return 64;
	}
}

static unsigned type_parts(IRType type)
{
	return type == Ity_V256 ? 4 : type == Ity_V128 || type == Ity_I128 ? 2 : 1;
}

static struct vex_value opaque(struct run *run, IRType type, const char *why)
{
	struct iteration *iteration = run->exec->iteration;
	char *copy = strdup(why);
	if (!copy || !VEC_PUSH(&iteration->opaque, copy))
		free(copy);
	struct vex_value value = { type_parts(type), { 0 } };
	for (unsigned p = 0; p < value.parts; p++)
		value.part[p] = ir_leaf(run->ir, IR_OPAQUE, type_bits(type),
					((uint64_t)p << 32) | iteration->n_opaque);
	iteration->n_opaque++;
	return value;
}

/* An OPAQUE leaf depends on this. */
static struct error *goes_in(struct run *run, struct vex_value value)
{
	for (unsigned p = 0; p < value.parts; p++)
		if (!VEC_PUSH(&run->exec->iteration->opaque_inputs, value.part[p]))
			return error_create(ERR_MEMORY, "out of memory");
	return NULL;
}

static bool is_float(IRType type)
{
	return type == Ity_F16 || type == Ity_F32 || type == Ity_F64 || type == Ity_F128 ||
	       (type >= Ity_D32 && type <= Ity_D128);
}

static struct vex_value constant(struct run *run, const IRConst *con)
{
	struct ir *ir = run->ir;
	switch (con->tag) {
	case Ico_U1:
		return vex_scalar(ir_const(ir, 1, con->Ico.U1));
	case Ico_U8:
		return vex_scalar(ir_const(ir, 8, con->Ico.U8));
	case Ico_U16:
		return vex_scalar(ir_const(ir, 16, con->Ico.U16));
	case Ico_U32:
		return vex_scalar(ir_const(ir, 32, con->Ico.U32));
	case Ico_U64:
		return vex_scalar(ir_const(ir, 64, con->Ico.U64));
	case Ico_F64i:
		return vex_scalar(ir_const(ir, 64, con->Ico.F64i));
	case Ico_F32i:
		return vex_scalar(ir_const(ir, 32, con->Ico.F32i));
	case Ico_V128: {
		/* One bit per byte. */
		struct vex_value value = { 2, { 0 } };
		for (unsigned p = 0; p < 2; p++) {
			uint64_t bytes = 0;
			for (unsigned i = 0; i < 8; i++)
				if (con->Ico.V128 >> (8 * p + i) & 1)
					bytes |= 0xffull << (8 * i);
			value.part[p] = ir_const(ir, 64, bytes);
		}
		return value;
	}
	default:
		return opaque(run, typeOfIRConst(con), "a constant of an odd type");
	}
}

static struct vex_value get_state(struct run *run, Int offset, IRType type)
{
	unsigned cell = (unsigned)offset / 8, low = (unsigned)offset % 8 * 8;
	uint8_t bits = type_bits(type);
	struct vex_value value = { type_parts(type), { 0 } };
	if (cell + value.parts > CELLS || low + bits > 64)
		return opaque(run, type, "state outside the registers");
	if (cell == CELL_DFLAG)
		run->exec->iteration->uses_df = true;
	for (unsigned p = 0; p < value.parts; p++)
		value.part[p] = ir_extract(run->ir, run->exec->cells[cell + p], low, bits);
	return value;
}

static ir_ref insert(struct ir *ir, ir_ref old, unsigned low, ir_ref value)
{
	uint8_t bits = ir_width(ir, value);
	if (bits == 64)
		return value;
	if (low)
		value = ir_concat(ir, value, ir_extract(ir, old, 0, (uint8_t)low));
	unsigned high = low + bits;
	if (high < 64)
		value = ir_concat(ir, ir_extract(ir, old, high, (uint8_t)(64 - high)), value);
	return value;
}

static struct error *put_state(struct run *run, Int offset, struct vex_value value)
{
	unsigned cell = (unsigned)offset / 8, low = (unsigned)offset % 8 * 8;
	if (cell + value.parts > CELLS)
		return error_create(ERR_UNSUPPORTED, "writes state outside the registers");
	if (low + ir_width(run->ir, value.part[0]) > 64)
		return error_create(ERR_UNSUPPORTED, "a register write across cells");
	for (unsigned p = 0; p < value.parts; p++)
		run->exec->cells[cell + p] =
			insert(run->ir, run->exec->cells[cell + p], low, value.part[p]);
	return NULL;
}

/* address = rest + offset */
static ir_ref split_address(const struct ir *ir, ir_ref address, uint64_t *offset_ret)
{
	const struct ir_node *node = ir_get(ir, address);
	*offset_ret = 0;
	if (node->op == IR_ADD && ir_is_const(ir, node->args[1], offset_ret))
		return node->args[0];
	return address;
}

/* Bytes of a load, each from the event that it was found in. */
struct found {
	ir_ref rest;
	uint64_t offset;
	unsigned bytes, missing;
	size_t from[8];
	uint8_t at[8]; /* which byte of the event's data */
	bool known[8];
};

/* Takes what is still missing from an event; false: nobody knows. */
static bool find_in_event(struct run *run, struct found *found, size_t i)
{
	const struct iteration_event *event = &run->exec->iteration->events.items[i];
	uint64_t offset, always;
	if (split_address(run->ir, event->address, &offset) != found->rest)
		return true;
	int64_t shift = (int64_t)(found->offset - offset);
	unsigned size = event->width / 8;
	if (shift <= -(int64_t)found->bytes || shift >= (int64_t)size)
		return true;
	bool whole = shift == 0 && size == found->bytes && found->missing == size;
	if (!event->store && !whole)
		return true;
	if (event->store && event->condition != run->exec->condition &&
	    !(ir_is_const(run->ir, event->condition, &always) && always))
		return false;
	for (unsigned b = 0; b < found->bytes; b++) {
		int64_t at = shift + b;
		if (found->known[b] || at < 0 || at >= (int64_t)size)
			continue;
		found->known[b] = true;
		found->from[b] = i;
		found->at[b] = (uint8_t)at;
		found->missing--;
	}
	return true;
}

/* Neighbours from one event are cut out together. */
static ir_ref join_found(struct run *run, const struct found *found)
{
	const struct iteration_event *events = run->exec->iteration->events.items;
	ir_ref value = IR_NONE;
	for (unsigned b = 0; b < found->bytes;) {
		unsigned first = b;
		for (b++; b < found->bytes && found->from[b] == found->from[first] &&
			  found->at[b] == found->at[b - 1] + 1;)
			b++;
		ir_ref part = ir_extract(run->ir, events[found->from[first]].data,
					 8u * found->at[first], (uint8_t)(8 * (b - first)));
		value = value ? ir_concat(run->ir, part, value) : part;
	}
	return value;
}

/* Rule 4. What was stored there, or loaded before. */
static ir_ref forwarded(struct run *run, ir_ref address, uint8_t width)
{
	if (!ir_simplifies(run->ir))
		return IR_NONE;
	struct found found = { .bytes = width / 8u, .missing = width / 8u };
	found.rest = split_address(run->ir, address, &found.offset);
	for (size_t i = run->exec->iteration->events.count; i-- > 0 && found.missing;)
		if (!find_in_event(run, &found, i))
			return IR_NONE;
	return found.missing ? IR_NONE : join_found(run, &found);
}

static struct error *add_event(struct run *run, const struct iteration_event *event)
{
	if (!VEC_PUSH(&run->exec->iteration->events, *event))
		return error_create(ERR_MEMORY, "out of memory");
	return NULL;
}

static struct error *load(struct run *run, ir_ref address, IRType type, ir_ref condition,
			  struct vex_value *ret)
{
	uint8_t bits = type_bits(type);
	struct vex_value value = { type_parts(type), { 0 } };
	if (bits == 1)
		return error_create(ERR_UNSUPPORTED, "a load of one bit");
	for (unsigned p = 0; p < value.parts; p++) {
		ir_ref at =
			p ? ir_binary(run->ir, IR_ADD, address, ir_const(run->ir, 64, 8 * p))
			  : address;
		value.part[p] = forwarded(run, at, bits);
		if (value.part[p] != IR_NONE)
			continue;
		struct iteration_event event = {
			.width = bits, .condition = condition, .address = at, .gva = run->gva
		};
		event.data =
			ir_leaf(run->ir, IR_LOAD, bits, run->exec->iteration->events.count);
		value.part[p] = event.data;
		TRY(add_event(run, &event));
	}
	*ret = value;
	return NULL;
}

static struct error *store(struct run *run, ir_ref address, struct vex_value data,
			   ir_ref condition)
{
	if (ir_width(run->ir, data.part[0]) == 1)
		return error_create(ERR_UNSUPPORTED, "a store of one bit");
	for (unsigned p = 0; p < data.parts; p++) {
		struct iteration_event event = {
			.store = true,
			.width = ir_width(run->ir, data.part[p]),
			.condition = condition,
			.address = p ? ir_binary(run->ir, IR_ADD, address,
						 ir_const(run->ir, 64, 8 * p))
				     : address,
			.data = data.part[p],
			.gva = run->gva,
		};
		TRY(add_event(run, &event));
	}
	return NULL;
}

static struct error *eval(struct run *run, const IRExpr *expr, struct vex_value *ret);

static struct error *eval_ite(struct run *run, const IRExpr *expr, struct vex_value *ret)
{
	struct vex_value condition, a, b;
	TRY(eval(run, expr->Iex.ITE.cond, &condition));
	TRY(eval(run, expr->Iex.ITE.iftrue, &a));
	TRY(eval(run, expr->Iex.ITE.iffalse, &b));
	ret->parts = a.parts;
	for (unsigned p = 0; p < a.parts; p++)
		ret->part[p] = ir_ite(run->ir, condition.part[0], a.part[p], b.part[p]);
	return NULL;
}

/* libVEX spells narrower divisions as wider ones, whose quotient has more room. */
static bool divides_whole_registers(const struct run *run, const IRExpr *expr)
{
	const IRExpr *from = expr->Iex.Binop.arg1;
	IROp op = expr->Iex.Binop.op;
	if (op == Iop_DivModU128to64 || op == Iop_DivModS128to64)
		return true;
	if (op != Iop_DivModU64to32 && op != Iop_DivModS64to32)
		return false;
	for (Int i = 0; from->tag == Iex_RdTmp && i < run->block->stmts_used; i++) {
		const IRStmt *stmt = run->block->stmts[i];
		if (stmt->tag == Ist_WrTmp && stmt->Ist.WrTmp.tmp == from->Iex.RdTmp.tmp)
			return stmt->Ist.WrTmp.data->tag == Iex_Binop &&
			       stmt->Ist.WrTmp.data->Iex.Binop.op == Iop_32HLto64;
	}
	return false;
}

/* Rule 6. */
static struct error *eval_division(struct run *run, IROp op, struct vex_value a,
				   struct vex_value b, struct vex_value *ret)
{
	struct vex_exec *exec = run->exec;
	struct vex_edge edge = { .fault = true };
	ir_ref wrong;
	bool inside;
	*ret = vex_divide(run->ir, op, a, b, &wrong);
	TRY(exec->on_edge(exec->user, &edge, ir_binary(run->ir, IR_AND, exec->condition, wrong),
			  exec->cells, &inside));
	if (!exec->stays)
		exec->condition =
			ir_binary(run->ir, IR_AND, exec->condition, ir_not(run->ir, wrong));
	return NULL;
}

static struct error *eval_op(struct run *run, const IRExpr *expr, struct vex_value *ret)
{
	struct vex_value a, b = { 0 };
	IRType type = typeOfIRExpr(run->block->tyenv, expr);
	if (expr->tag == Iex_Unop) {
		TRY(eval(run, expr->Iex.Unop.arg, &a));
		*ret = vex_unop(run->ir, expr->Iex.Unop.op, a);
	} else {
		TRY(eval(run, expr->Iex.Binop.arg1, &a));
		TRY(eval(run, expr->Iex.Binop.arg2, &b));
		*ret = vex_binop(run->ir, expr->Iex.Binop.op, a, b);
		if (!ret->parts && divides_whole_registers(run, expr))
			return eval_division(run, expr->Iex.Binop.op, a, b, ret);
	}
	if (!ret->parts) {
		char why[64];
		snprintf(why, sizeof(why), "%s (operation 0x%x)",
			 is_float(type) ? "floating point"
					: "an operation without a meaning here",
			 expr->tag == Iex_Unop ? expr->Iex.Unop.op : expr->Iex.Binop.op);
		*ret = opaque(run, type, why);
		TRY(goes_in(run, a));
		TRY(goes_in(run, b));
	}
	return NULL;
}

static struct error *eval_into_opaque(struct run *run, const IRExpr *expr)
{
	struct vex_value value;
	TRY(eval(run, expr, &value));
	return goes_in(run, value);
}

/* A call of a pure helper. */
static struct error *eval_call(struct run *run, const IRExpr *expr, struct vex_value *ret)
{
	IRExpr *const *args = expr->Iex.CCall.args;
	ir_ref values[8];
	unsigned count = 0;
	bool plain = true;
	for (; args[count] && count < 8; count++) {
		struct vex_value value;
		TRY(eval(run, args[count], &value));
		values[count] = value.part[0];
		plain &= value.parts == 1 && ir_width(run->ir, values[count]) == 64;
	}
	ir_ref result = plain && !args[count] && type_bits(expr->Iex.CCall.retty) == 64
				? vex_call(run->ir, expr->Iex.CCall.cee->name, values, count)
				: IR_NONE;
	if (result != IR_NONE) {
		*ret = vex_scalar(result);
		return NULL;
	}
	for (unsigned i = 0; args[i]; i++)
		TRY(eval_into_opaque(run, args[i]));
	*ret = opaque(run, typeOfIRExpr(run->block->tyenv, expr), expr->Iex.CCall.cee->name);
	return NULL;
}

/* An operation of three or four arguments. */
static struct error *eval_opaque(struct run *run, const IRExpr *expr, const char *why,
				 struct vex_value *ret)
{
	if (expr->tag == Iex_Triop) {
		const IRTriop *op = expr->Iex.Triop.details;
		TRY(eval_into_opaque(run, op->arg1));
		TRY(eval_into_opaque(run, op->arg2));
		TRY(eval_into_opaque(run, op->arg3));
	}
	if (expr->tag == Iex_Qop) {
		const IRQop *op = expr->Iex.Qop.details;
		TRY(eval_into_opaque(run, op->arg1));
		TRY(eval_into_opaque(run, op->arg2));
		TRY(eval_into_opaque(run, op->arg3));
		TRY(eval_into_opaque(run, op->arg4));
	}
	*ret = opaque(run, typeOfIRExpr(run->block->tyenv, expr), why);
	return NULL;
}

static struct error *eval(struct run *run, const IRExpr *expr, struct vex_value *ret)
{
	struct vex_value address;
	IRType type = typeOfIRExpr(run->block->tyenv, expr);
	switch (expr->tag) {
	case Iex_Get:
		*ret = get_state(run, expr->Iex.Get.offset, expr->Iex.Get.ty);
		return NULL;
	case Iex_RdTmp:
		*ret = run->temps[expr->Iex.RdTmp.tmp];
		return NULL;
	case Iex_Const:
		*ret = constant(run, expr->Iex.Const.con);
		return NULL;
	case Iex_Unop:
	case Iex_Binop:
		return eval_op(run, expr, ret);
	case Iex_ITE:
		return eval_ite(run, expr, ret);
	case Iex_Load:
		TRY(eval(run, expr->Iex.Load.addr, &address));
		return load(run, address.part[0], type, run->exec->condition, ret);
	case Iex_CCall:
		return eval_call(run, expr, ret);
	case Iex_Triop:
	case Iex_Qop:
		return eval_opaque(run, expr, "floating point", ret);
	default:
		*ret = opaque(run, type, "x87 state");
		return NULL;
	}
}

static ir_ref both(struct run *run, ir_ref a, ir_ref b)
{
	return ir_binary(run->ir, IR_AND, a, b);
}

/* Rule 5. */
static struct error *decide(struct run *run, ir_ref guard, enum iteration_choice *ret)
{
	struct iteration *iteration = run->exec->iteration;
	const struct iteration *follow = run->exec->follow;
	uint64_t taken;
	*ret = CHOICE_OPEN;
	if (follow) {
		if (iteration->decisions.count >= follow->decisions.count)
			return error_create(ERR_BAD_DATA,
					    "the code changed while it was learned");
		*ret = follow->decisions.items[iteration->decisions.count].choice;
	} else if (ir_simplifies(run->ir) && ir_is_const(run->ir, guard, &taken)) {
		*ret = taken ? CHOICE_TAKEN : CHOICE_NOT_TAKEN;
	}
	struct iteration_decision decision = { *ret, run->exec->condition, guard };
	if (!VEC_PUSH(&iteration->decisions, decision))
		return error_create(ERR_MEMORY, "out of memory");
	return NULL;
}

static struct error *on_exit_stmt(struct run *run, const IRStmt *stmt)
{
	struct vex_exec *exec = run->exec;
	struct vex_value guard;
	TRY(eval(run, stmt->Ist.Exit.guard, &guard));
	struct vex_edge edge = { .direct = stmt->Ist.Exit.jk == Ijk_Boring,
				 .fault = stmt->Ist.Exit.jk == Ijk_SigSEGV,
				 .target = stmt->Ist.Exit.dst->Ico.U64 };
	enum iteration_choice choice;
	bool inside;
	TRY(decide(run, guard.part[0], &choice));
	if (choice == CHOICE_NOT_TAKEN)
		return NULL;
	if (choice == CHOICE_TAKEN) {
		run->left = true;
		return exec->on_edge(exec->user, &edge, exec->condition, exec->cells, &inside);
	}
	TRY(exec->on_edge(exec->user, &edge, both(run, exec->condition, guard.part[0]),
			  exec->cells, &inside));
	if (inside || !exec->stays)
		exec->condition = both(run, exec->condition, ir_not(run->ir, guard.part[0]));
	return NULL;
}

static struct error *on_guarded_store(struct run *run, const IRStoreG *stmt)
{
	struct vex_value address, data, guard;
	TRY(eval(run, stmt->addr, &address));
	TRY(eval(run, stmt->data, &data));
	TRY(eval(run, stmt->guard, &guard));
	return store(run, address.part[0], data,
		     both(run, run->exec->condition, guard.part[0]));
}

static struct error *on_put(struct run *run, const IRStmt *stmt)
{
	struct vex_value value;
	TRY(eval(run, stmt->Ist.Put.data, &value));
	return put_state(run, stmt->Ist.Put.offset, value);
}

static struct error *on_store(struct run *run, const IRStmt *stmt)
{
	struct vex_value address, data;
	TRY(eval(run, stmt->Ist.Store.addr, &address));
	TRY(eval(run, stmt->Ist.Store.data, &data));
	return store(run, address.part[0], data, run->exec->condition);
}

static struct error *on_stmt(struct run *run, const IRStmt *stmt)
{
	switch (stmt->tag) {
	case Ist_NoOp:
	case Ist_AbiHint:
		return NULL;
	case Ist_IMark:
		run->gva = stmt->Ist.IMark.addr;
		return NULL;
	case Ist_Put:
		return on_put(run, stmt);
	case Ist_WrTmp:
		return eval(run, stmt->Ist.WrTmp.data, &run->temps[stmt->Ist.WrTmp.tmp]);
	case Ist_Store:
		return on_store(run, stmt);
	case Ist_StoreG:
		return on_guarded_store(run, stmt->Ist.StoreG.details);
	case Ist_Exit:
		return on_exit_stmt(run, stmt);
	case Ist_Dirty:
		return error_create(ERR_UNSUPPORTED, "helper %s",
				    stmt->Ist.Dirty.details->cee->name);
	case Ist_CAS:
	case Ist_LLSC:
		return error_create(ERR_UNSUPPORTED, "a locked instruction");
	case Ist_MBE:
		return error_create(ERR_UNSUPPORTED, "a memory fence");
	case Ist_LoadG:
		return error_create(ERR_UNSUPPORTED, "a masked load");
	default:
		return error_create(ERR_UNSUPPORTED, "x87 state");
	}
}

static struct error *run_end(struct run *run)
{
	struct vex_exec *exec = run->exec;
	const IRSB *block = run->block;
	struct vex_edge edge = { 0 };
	bool inside;
	if (block->jumpkind == Ijk_Boring && block->next->tag == Iex_Const) {
		edge.direct = true;
		edge.target = block->next->Iex.Const.con->Ico.U64;
	}
	return exec->on_edge(exec->user, &edge, exec->condition, exec->cells, &inside);
}

struct error *vex_exec_block(struct vex_exec *exec, const void *irsb)
{
	AUTO(own_free) struct vex_value *temps = NULL;
	struct run run = { .exec = exec, .ir = exec->iteration->ir, .block = irsb };
	TRY(error_alloc((size_t)run.block->tyenv->types_used + 1, sizeof(*temps), &temps));
	run.temps = temps;
	for (Int i = 0; i < run.block->stmts_used && !run.left; i++)
		TRY(on_stmt(&run, run.block->stmts[i]));
	return run.left ? NULL : run_end(&run);
}
