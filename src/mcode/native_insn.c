/* Single instructions as C: see the rules in native_source.c. */
#include "mcode/native_emit.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"

unsigned native_bits_of(unsigned width_code)
{
	return mcode_width_bits(width_code);
}

/* A register's value cut to a width, as an expression in text. */
const char *native_reg_at(const struct emitter *em, unsigned reg, unsigned width_code,
			  char text[32])
{
	const struct value *value = &em->regs[reg];
	if (em->jumps)
		snprintf(text, 32, "(u%u)r%u", native_bits_of(width_code), reg);
	else if (!value->known)
		snprintf(text, 32, "(u%u)0", native_bits_of(width_code));
	else if (value->width_code == width_code)
		snprintf(text, 32, "t%u", value->number);
	else
		snprintf(text, 32, "(u%u)t%u", native_bits_of(width_code), value->number);
	return text;
}

static const char *second_source(const struct emitter *em, const struct mcode_insn *insn,
				 unsigned width_code, char text[32])
{
	if (!insn->has_imm)
		return native_reg_at(em, insn->rs2, width_code, text);
	snprintf(text, 32, "(u%u)0x%" PRIx64 "ull", native_bits_of(width_code),
		 insn->imm & mcode_width_mask(width_code));
	return text;
}

/* Starts the definition of rd; the caller prints the expression and ";\n". */
void native_define(struct emitter *em, unsigned reg, unsigned width_code)
{
	if (em->jumps) {
		fprintf(em->to, "\tr%u = ", reg);
		return;
	}
	em->regs[reg] = (struct value){ ++em->n_temps, (uint8_t)width_code, true };
	fprintf(em->to, "\tconst u%u t%u = ", native_bits_of(width_code), em->n_temps);
}

void native_lower(const char *upper, char text[16])
{
	size_t i = 0;
	for (; upper[i] && i < 15; i++)
		text[i] = upper[i] >= 'A' && upper[i] <= 'Z' ? (char)(upper[i] + 32) : upper[i];
	text[i] = 0;
}

static bool op_compares(unsigned op)
{
	return op >= MCODE_CMPEQ && op <= MCODE_CMPLES;
}

static void emit_cmov(struct emitter *em, const struct mcode_insn *insn)
{
	char a[32], b[32], d[32];
	unsigned w = insn->width_code;
	native_reg_at(em, insn->rs1, w, a);
	native_reg_at(em, insn->rd, w, d);
	second_source(em, insn, w, b);
	native_define(em, insn->rd, w);
	fprintf(em->to, "%s ? %s : %s;\n", a, b, d);
}

static void emit_packed(struct emitter *em, const struct mcode_insn *insn)
{
	char a[32], b[32], d[32], name[16];
	const struct mcode_op_info *info = mcode_op_info(insn->op);
	native_lower(info->name, name);
	native_reg_at(em, insn->rs1, MCODE_W64, a);
	native_reg_at(em, insn->rd, MCODE_W64, d);
	second_source(em, insn, MCODE_W64, b);
	native_define(em, insn->rd, MCODE_W64);
	fprintf(em->to, "%s_p%u(%s", name, native_bits_of(insn->width_code), a);
	if (info->form == MCODE_FORM_RRR)
		fprintf(em->to, ", %s", b);
	if (insn->op == MCODE_CMOV)
		fprintf(em->to, ", %s", d);
	fprintf(em->to, ");\n");
}

static void emit_alu(struct emitter *em, const struct mcode_insn *insn)
{
	char a[32], b[32], name[16];
	const struct mcode_op_info *info = mcode_op_info(insn->op);
	unsigned w = insn->width_code;
	if (insn->packed) {
		emit_packed(em, insn);
		return;
	}
	if (insn->op == MCODE_CMOV) {
		emit_cmov(em, insn);
		return;
	}
	native_lower(info->name, name);
	native_reg_at(em, insn->rs1, insn->op == MCODE_SEXT ? MCODE_W64 : w, a);
	second_source(em, insn, w, b);
	native_define(em, insn->rd,
		      insn->op == MCODE_SEXT  ? MCODE_W64
		      : op_compares(insn->op) ? MCODE_W8
					      : w);
	if (insn->op == MCODE_MOV)
		fprintf(em->to, "%s;\n", a);
	else if (insn->op == MCODE_LDI)
		fprintf(em->to, "%s;\n", b);
	else if (info->form == MCODE_FORM_RR)
		fprintf(em->to, "%s_%u(%s);\n", name, native_bits_of(w), a);
	else
		fprintf(em->to, "%s_%u(%s, %s);\n", name, native_bits_of(w), a, b);
}

/* The pointer expression of iteration k's element plus an offset in text. */
void native_print_place(struct emitter *em, const struct mcode_insn *insn, const char *offset)
{
	const struct mcode_stream *stream = &em->kernel->streams[insn->rs1];
	fprintf(em->to, "s%u", insn->rs1);
	if (stream->stride_slot != MCODE_NO_SLOT)
		fprintf(em->to, " + %s * v%u", em->index, stream->stride_slot);
	else if (stream->stride > 0)
		fprintf(em->to, " + %s * %" PRId64 "ull", em->index, stream->stride);
	else if (stream->stride)
		fprintf(em->to, " - %s * %" PRIu64 "ull", em->index,
			0 - (uint64_t)stream->stride);
	if (offset[0])
		fprintf(em->to, " + (%s)", offset);
	if ((int64_t)insn->imm)
		fprintf(em->to, " + %" PRId64 "ll", (int64_t)insn->imm);
}

/* `const u8 iN = inside(...)` and the fault; returns N. */
static uint32_t emit_bounds(struct emitter *em, const struct mcode_insn *insn,
			    const char *index)
{
	const struct mcode_stream *stream = &em->kernel->streams[insn->rs1];
	uint32_t number = ++em->n_temps;
	fprintf(em->to, "\t%s i%u = inside(%s + %" PRId64 "ull, ",
		em->jumps ? "u8" : "const u8", number, index, (int64_t)insn->imm);
	if (stream->flags & MCODE_STREAM_REGION)
		fprintf(em->to, "0, v%u", stream->length_slot);
	else
		fprintf(em->to, "(u64)%dll, %dull", stream->low, stream->high - stream->low);
	fprintf(em->to, ", %u);\n\tf |= !i%u;\n", native_bits_of(insn->width_code) / 8, number);
	return number;
}

static void emit_access(struct emitter *em, const struct mcode_insn *insn)
{
	char index[32] = "", value[32], predicate[32];
	unsigned bits = native_bits_of(insn->width_code);
	bool load = insn->op == MCODE_LD || insn->op == MCODE_LDX;
	uint32_t check = 0;
	if (insn->op == MCODE_LDX || insn->op == MCODE_STX)
		check = emit_bounds(em, insn, native_reg_at(em, insn->rs2, MCODE_W64, index));
	if (load) {
		native_define(em, insn->rd, insn->width_code);
		if (check)
			fprintf(em->to, "!i%u ? 0 : ", check);
		fprintf(em->to, "load_%u(", bits);
		native_print_place(em, insn, index);
		fprintf(em->to, ");\n");
		return;
	}
	native_reg_at(em, insn->rd, insn->width_code, value);
	fprintf(em->to, "\t");
	if (check)
		fprintf(em->to, "if (i%u) ", check);
	if (insn->op == MCODE_STC)
		fprintf(em->to, "if (%s) ", native_reg_at(em, insn->rs2, MCODE_W64, predicate));
	fprintf(em->to, "store_%u(", bits);
	native_print_place(em, insn, index);
	fprintf(em->to, ", %s);\n", value);
}

static void emit_get(struct emitter *em, const struct mcode_insn *insn)
{
	struct value slot = em->slots[insn->rs1];
	if (em->jumps) {
		fprintf(em->to, "\tr%u = w%u;\n", insn->rd, insn->rs1);
	} else if (slot.known) {
		em->regs[insn->rd] = slot;
	} else {
		native_define(em, insn->rd, MCODE_W64);
		fprintf(em->to, "v%u;\n", insn->rs1);
	}
}

static void emit_put(struct emitter *em, const struct mcode_insn *insn)
{
	if (em->jumps) {
		fprintf(em->to, "\tw%u = r%u;\n", insn->rs1, insn->rd);
		return;
	}
	if (!em->regs[insn->rd].known) {
		native_define(em, insn->rd, MCODE_W64);
		fprintf(em->to, "0;\n");
	}
	em->slots[insn->rs1] = em->regs[insn->rd];
}

/* Label of a pixel, or of the section's end. */
static void emit_jump(struct emitter *em, const struct mcode_insn *insn, uint32_t at)
{
	char condition[32];
	native_reg_at(em, insn->rs1, MCODE_W64, condition);
	fprintf(em->to, "\t");
	if (insn->op != MCODE_JMP)
		fprintf(em->to, "if (%s%s) ", insn->op == MCODE_JZ ? "!" : "", condition);
	if (insn->imm > at)
		fprintf(em->to, "goto L%u_%u;\n", em->label_base, (unsigned)insn->imm);
	else
		fprintf(em->to, "{ if (!fuel) { f = 1; goto L%u_%u; } fuel--; goto L%u_%u; }\n",
			em->label_base, em->kernel->code[em->section].count, em->label_base,
			(unsigned)insn->imm);
}

void native_emit_insn(struct emitter *em, const struct mcode_insn *insn, uint32_t at)
{
	switch (insn->op) {
	case MCODE_NOP:
		break;
	case MCODE_JMP:
	case MCODE_JZ:
	case MCODE_JNZ:
		emit_jump(em, insn, at);
		break;
	case MCODE_LD ... MCODE_STX:
		emit_access(em, insn);
		break;
	case MCODE_GET:
		emit_get(em, insn);
		break;
	case MCODE_PUT:
		emit_put(em, insn);
		break;
	default:
		emit_alu(em, insn);
		break;
	}
}
