/* Loads and stores of the body, in an order in which every load finds what it would find in the
 * original. */
#include "base/error.h"
#include "learn/translate_internal.h"

struct error *translate_load(void *user, struct emit *emit, ir_ref ref, unsigned rd)
{
	const struct translation *build = user;
	const struct ir_node *node = ir_get(build->loop->ir, ref);
	if (node->op != IR_LOAD || !build->in_body)
		return error_create(ERR_UNSUPPORTED, "a value from nowhere (%s)",
				    ir_op_name(node->op));
	const struct loop_access *access = build->load_access[node->imm];
	CHECK(access);
	struct mcode_insn insn = { .op = MCODE_LD,
				   .width_code = (uint8_t)mcode_width_code(node->width),
				   .rd = (uint8_t)rd,
				   .rs1 = (uint8_t)access->stream };
	if (access->index != IR_NONE) {
		unsigned index;
		TRY(emit_value(emit, access->index, &index));
		insn.op = MCODE_LDX;
		insn.rs2 = (uint8_t)index;
	}
	insn.has_imm = access->offset != 0;
	insn.imm = (uint64_t)(int64_t)access->offset;
	TRY(emit_insn(emit, &insn));
	if (access->index != IR_NONE)
		emit_done(emit, access->index);
	return NULL;
}

/* Loads of bytes that this store is about to change must be done before it. */
static struct error *flush_loads(struct translation *build, struct emit *emit,
				 const struct loop_access *store)
{
	const struct loop *loop = build->loop;
	const struct iteration_event *events = loop->iteration->events.items;
	for (unsigned i = 0; i < loop->n_accesses; i++) {
		const struct loop_access *a = &loop->accesses[i];
		const struct iteration_event *load = &events[a->event];
		bool overlaps = a->offset < store->offset + events[store->event].width / 8 &&
				store->offset < a->offset + load->width / 8;
		unsigned reg;
		bool table = loop->streams[store->stream].region;
		if (!load->store && a->event < store->event && a->stream == store->stream &&
		    (table || overlaps) && emit_is_live(emit, load->data))
			TRY(emit_value(emit, load->data, &reg));
	}
	return NULL;
}

/* Into a table: what is not to be stored is what is there. */
static struct error *emit_table_store(struct translation *build, struct emit *emit,
				      const struct loop_access *access, bool plain)
{
	unsigned value, index, condition = 0;
	struct mcode_insn insn = {
		.op = MCODE_STX,
		.width_code =
			(uint8_t)mcode_width_code(ir_width(build->loop->ir, access->data)),
		.rs1 = (uint8_t)access->stream,
		.has_imm = access->offset != 0,
		.imm = (uint64_t)(int64_t)access->offset,
	};
	for (unsigned i = 0; i < 2; i++) { /* the later ones may have pushed it out */
		TRY(emit_value(emit, access->data, &value));
		TRY(emit_value(emit, access->index, &index));
		if (!plain)
			TRY(emit_value(emit, access->condition, &condition));
	}
	if (!plain) {
		struct mcode_insn old = insn;
		unsigned scratch;
		TRY(emit_scratch(emit, &scratch));
		old.op = MCODE_LDX;
		old.rd = (uint8_t)scratch;
		old.rs2 = (uint8_t)index;
		TRY(emit_insn(emit, &old));
		TRY(emit_insn(emit, &(struct mcode_insn){ .op = MCODE_CMOV,
							  .rd = (uint8_t)scratch,
							  .rs1 = (uint8_t)condition,
							  .rs2 = (uint8_t)value }));
		value = scratch;
	}
	insn.rd = (uint8_t)value;
	insn.rs2 = (uint8_t)index;
	TRY(emit_insn(emit, &insn));
	emit_done(emit, access->data);
	emit_done(emit, access->index);
	if (!plain)
		emit_done(emit, access->condition);
	return NULL;
}

struct error *translate_store(struct translation *build, struct emit *emit,
			      const struct loop_access *access)
{
	const struct ir *ir = build->loop->ir;
	unsigned value, condition = 0;
	uint64_t always = 0;
	bool plain = ir_is_const(ir, access->condition, &always);
	if (plain && !always)
		return NULL;
	TRY(flush_loads(build, emit, access));
	if (access->index != IR_NONE)
		return emit_table_store(build, emit, access, plain);
	TRY(emit_value(emit, access->data, &value));
	if (!plain) {
		TRY(emit_value(emit, access->condition, &condition));
		TRY(emit_value(emit, access->data, &value));
	}
	struct mcode_insn insn = {
		.op = plain ? MCODE_ST : MCODE_STC,
		.width_code = (uint8_t)mcode_width_code(ir_width(ir, access->data)),
		.rd = (uint8_t)value,
		.rs1 = (uint8_t)access->stream,
		.rs2 = (uint8_t)condition,
		.has_imm = access->offset != 0,
		.imm = (uint64_t)(int64_t)access->offset,
	};
	TRY(emit_insn(emit, &insn));
	emit_done(emit, access->data);
	if (!plain)
		emit_done(emit, access->condition);
	return NULL;
}
