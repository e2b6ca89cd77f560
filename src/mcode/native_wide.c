/* Bodies of much packed arithmetic, four iterations at a time. A value of the body is a vector
 * of four 64-bit numbers then, one of each iteration, so that lanes of lanes (a ChaCha20 state
 * in SSE2 registers) fill the host's vectors; gcc does not find that by itself, since packed
 * arithmetic on 64-bit numbers is opaque to its vectoriser.
 *
 *     for (; k + 4 <= n; k += 4) { body on vectors }     what is left goes one by one */
#include <inttypes.h>
#include <stdlib.h>

#include "mcode/native_emit.h"

enum {
	AT_ONCE = 4,
	PACKED_LEAST = 32,
	PACKED_PER_ACCESS = 6, /* below, memory decides, in which iterations lie side by side */
};

/* Registers that hold constants: what is shifted by. */
struct constants {
	bool known[MCODE_REGISTERS];
	uint64_t value[MCODE_REGISTERS];
};

static void note_result(struct constants *c, const struct mcode_insn *insn)
{
	if (insn->op == MCODE_ST || insn->op == MCODE_PUT || insn->op == MCODE_NOP)
		return;
	c->known[insn->rd] = insn->op == MCODE_LDI;
	c->value[insn->rd] = insn->imm;
}

/* How far a shift goes, if that is a constant, the same in all lanes and less than a lane. */
static bool shift_of(const struct constants *c, const struct mcode_insn *insn, unsigned *ret)
{
	unsigned bits = mcode_width_bits(insn->width_code);
	uint64_t mask = mcode_width_mask(insn->width_code);
	if (!insn->has_imm && !c->known[insn->rs2])
		return false;
	uint64_t by = insn->has_imm ? insn->imm : c->value[insn->rs2], first = by & mask;
	for (unsigned at = bits; insn->packed && at < 64; at += bits)
		if ((by >> at & mask) != first)
			return false;
	*ret = (unsigned)first;
	return first < bits;
}

static bool shifts(unsigned op)
{
	return op == MCODE_SHL || op == MCODE_SHR || op == MCODE_ROL || op == MCODE_ROR;
}

/* Whether the vector form has it. */
static bool has_form(const struct constants *c, const struct mcode_insn *insn)
{
	unsigned bits = mcode_width_bits(insn->width_code), by;
	switch (insn->op) {
	case MCODE_NOP:
	case MCODE_HALT:
	case MCODE_LDI:
	case MCODE_GET:
	case MCODE_PUT:
	case MCODE_LD:
	case MCODE_ST:
	case MCODE_MOV:
	case MCODE_ADD:
	case MCODE_SUB:
	case MCODE_AND:
	case MCODE_OR:
	case MCODE_XOR:
		return true;
	case MCODE_MUL:
		return !insn->packed || bits > 8;
	case MCODE_SHL:
	case MCODE_SHR:
	case MCODE_ROL:
	case MCODE_ROR:
		return shift_of(c, insn, &by);
	case MCODE_SPLAT:
	case MCODE_UNPKL:
	case MCODE_UNPKH:
		return bits == 32;
	default:
		return false;
	}
}

bool native_wide_suits(const struct mcode_kernel *kernel)
{
	const struct mcode_code *code = &kernel->code[MCODE_BODY];
	unsigned packed = 0, accesses = 1;
	struct constants c = { 0 };
	struct mcode_insn insn;
	if (kernel->serial || kernel->n_reductions || kernel->search_slot != MCODE_NO_SLOT)
		return false;
	for (uint32_t at = 0; at < code->count; at += insn.n_pixels) {
		if (!mcode_decode(code->pixels, code->count, at, &insn, NULL) ||
		    !has_form(&c, &insn))
			return false;
		note_result(&c, &insn);
		packed += insn.packed;
		accesses += insn.op == MCODE_LD || insn.op == MCODE_ST;
	}
	return packed >= PACKED_LEAST && packed / accesses >= PACKED_PER_ACCESS;
}

/* A register cut to a width, as a vector. */
static const char *wide_reg(const struct emitter *em, unsigned reg, unsigned width_code,
			    char text[64])
{
	const struct value *value = &em->regs[reg];
	if (!value->known)
		snprintf(text, 64, "WIDE(0)");
	else if (mcode_width_bits(value->width_code) <= mcode_width_bits(width_code))
		snprintf(text, 64, "t%u", value->number);
	else
		snprintf(text, 64, "(t%u & 0x%" PRIx64 "ull)", value->number,
			 mcode_width_mask(width_code));
	return text;
}

static void define(struct emitter *em, unsigned reg, unsigned width_code)
{
	em->regs[reg] = (struct value){ ++em->n_temps, (uint8_t)width_code, true };
	fprintf(em->to, "\tconst wide t%u = ", em->n_temps);
}

static void wide_access(struct emitter *em, const struct mcode_insn *insn)
{
	static const char *const index[AT_ONCE] = { "k", "(k + 1)", "(k + 2)", "(k + 3)" };
	unsigned bits = native_bits_of(insn->width_code);
	char value[64];
	bool load = insn->op == MCODE_LD;
	wide_reg(em, insn->rd, insn->width_code, value);
	if (load) {
		define(em, insn->rd, insn->width_code);
		fprintf(em->to, "{ ");
	}
	for (unsigned i = 0; i < AT_ONCE; i++) {
		em->index = index[i];
		fprintf(em->to, load ? "load_%u(" : "\tstore_%u(", bits);
		native_print_place(em, insn, "");
		if (load)
			fprintf(em->to, i + 1 < AT_ONCE ? "), " : ") };\n");
		else
			fprintf(em->to, ", (u%u)(%s)[%u]);\n", bits, value, i);
	}
	em->index = "k";
}

/* The second operand, or how far it is shifted. */
static const char *wide_second(const struct emitter *em, const struct constants *c,
			       const struct mcode_insn *insn, unsigned width_code,
			       char text[64])
{
	unsigned by;
	if (shifts(insn->op) && shift_of(c, insn, &by))
		snprintf(text, 64, "%u", by);
	else if (insn->has_imm)
		snprintf(text, 64, "WIDE(0x%" PRIx64 "ull)",
			 insn->imm & mcode_width_mask(width_code));
	else
		wide_reg(em, insn->rs2, width_code, text);
	return text;
}

static const char *symbol(unsigned op)
{
	switch (op) {
	case MCODE_ADD:
		return "+";
	case MCODE_SUB:
		return "-";
	case MCODE_MUL:
		return "*";
	case MCODE_AND:
		return "&";
	case MCODE_OR:
		return "|";
	case MCODE_XOR:
		return "^";
	case MCODE_SHL:
		return "<<";
	default:
		return ">>";
	}
}

/* Both halves of a rotation, in lanes or in the low bits of each number. */
static void wide_turn(struct emitter *em, const struct mcode_insn *insn, const char *a,
		      const char *by)
{
	unsigned bits = native_bits_of(insn->width_code), left = (unsigned)atoi(by);
	if (insn->op == MCODE_ROR)
		left = (bits - left) % bits;
	if (left == 0)
		fprintf(em->to, "%s;\n", a);
	else if (insn->packed)
		fprintf(em->to, "(wide)((wide%u)%s << %u | (wide%u)%s >> %u);\n", bits, a, left,
			bits, a, bits - left);
	else
		fprintf(em->to, "(%s << %u | %s >> %u) & 0x%" PRIx64 "ull;\n", a, left, a,
			bits - left, mcode_width_mask(insn->width_code));
}

static void wide_packed(struct emitter *em, const struct constants *c,
			const struct mcode_insn *insn)
{
	char a[64], b[64];
	unsigned bits = native_bits_of(insn->width_code);
	wide_reg(em, insn->rs1, MCODE_W64, a);
	wide_second(em, c, insn, MCODE_W64, b);
	define(em, insn->rd, MCODE_W64);
	if (insn->op == MCODE_UNPKL)
		fprintf(em->to, "(%s & 0xffffffffull) | %s << 32;\n", a, b);
	else if (insn->op == MCODE_UNPKH)
		fprintf(em->to, "%s >> 32 | (%s & ~0xffffffffull);\n", a, b);
	else if (insn->op == MCODE_SPLAT)
		fprintf(em->to, "(%s & 0xffffffffull) * 0x100000001ull;\n", a);
	else if (insn->op == MCODE_ROL || insn->op == MCODE_ROR)
		wide_turn(em, insn, a, b);
	else if (shifts(insn->op))
		fprintf(em->to, "(wide)((wide%u)%s %s %s);\n", bits, a, symbol(insn->op), b);
	else
		fprintf(em->to, "(wide)((wide%u)%s %s (wide%u)%s);\n", bits, a,
			symbol(insn->op), bits, b);
}

static void wide_alu(struct emitter *em, const struct constants *c,
		     const struct mcode_insn *insn)
{
	char a[64], b[64];
	unsigned w = insn->width_code;
	bool grows = insn->op == MCODE_ADD || insn->op == MCODE_SUB || insn->op == MCODE_MUL ||
		     insn->op == MCODE_SHL;
	wide_reg(em, insn->rs1, w, a);
	wide_second(em, c, insn, w, b);
	define(em, insn->rd, w);
	if (insn->op == MCODE_MOV)
		fprintf(em->to, "%s;\n", a);
	else if (insn->op == MCODE_ROL || insn->op == MCODE_ROR)
		wide_turn(em, insn, a, b);
	else
		fprintf(em->to, "(%s %s %s) & 0x%" PRIx64 "ull;\n", a, symbol(insn->op), b,
			grows ? mcode_width_mask(w) : UINT64_MAX);
}

static void wide_insn(struct emitter *em, const struct constants *c,
		      const struct mcode_insn *insn)
{
	switch (insn->op) {
	case MCODE_NOP:
		break;
	case MCODE_LDI:
		define(em, insn->rd, MCODE_W64);
		fprintf(em->to, "WIDE(0x%" PRIx64 "ull);\n", insn->imm);
		break;
	case MCODE_GET:
		if (em->slots[insn->rs1].known) {
			em->regs[insn->rd] = em->slots[insn->rs1];
			break;
		}
		define(em, insn->rd, MCODE_W64);
		fprintf(em->to, "WIDE(v%u);\n", insn->rs1);
		break;
	case MCODE_PUT:
		if (!em->regs[insn->rd].known) {
			define(em, insn->rd, MCODE_W64);
			fprintf(em->to, "WIDE(0);\n");
		}
		em->slots[insn->rs1] = em->regs[insn->rd];
		break;
	case MCODE_LD:
	case MCODE_ST:
		wide_access(em, insn);
		break;
	default:
		if (insn->packed)
			wide_packed(em, c, insn);
		else
			wide_alu(em, c, insn);
	}
}

void native_emit_wide(struct emitter *em)
{
	const struct mcode_code *code = &em->kernel->code[MCODE_BODY];
	struct constants c = { 0 };
	struct mcode_insn insn;
	fprintf(em->to, "\tfor (; k + %d <= n; k += %d) {\n", AT_ONCE, AT_ONCE);
	define(em, 0, MCODE_W64);
	fprintf(em->to, "{ k, k + 1, k + 2, k + 3 };\n");
	for (uint32_t at = 0; at < code->count; at += insn.n_pixels) {
		mcode_decode(code->pixels, code->count, at, &insn, NULL);
		if (insn.op == MCODE_HALT)
			break;
		wide_insn(em, &c, &insn);
		note_result(&c, &insn);
	}
	fprintf(em->to, "\t}\n");
}
