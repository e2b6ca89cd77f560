#include "mcode/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

struct error *mcode_kernel_create(struct mcode_kernel **ret)
{
	struct mcode_kernel *kernel;
	TRY(error_alloc(1, sizeof(*kernel), &kernel));
	kernel->n_slots = 1;
	kernel->search_slot = MCODE_NO_SLOT;
	*ret = kernel;
	return NULL;
}

void mcode_kernel_destroy(struct mcode_kernel *kernel)
{
	if (!kernel)
		return;
	for (int s = 0; s < MCODE_SECTIONS; s++)
		mcode_code_free(&kernel->code[s]);
	free(kernel);
}

void mcode_code_free(struct mcode_code *code)
{
	free(code->pixels);
	*code = (struct mcode_code){ 0 };
}

static struct error *code_copy(const struct mcode_code *from, struct mcode_code *to)
{
	*to = (struct mcode_code){ 0 };
	if (!from->count)
		return NULL;
	TRY(error_alloc(from->count, sizeof(*from->pixels), &to->pixels));
	memcpy(to->pixels, from->pixels, from->count * sizeof(*from->pixels));
	to->count = to->capacity = from->count;
	return NULL;
}

struct error *mcode_kernel_copy(const struct mcode_kernel *kernel, struct mcode_kernel **ret)
{
	AUTO(own_mcode_kernel) struct mcode_kernel *copy = NULL;
	TRY(mcode_kernel_create(&copy));
	*copy = *kernel;
	memset(copy->code, 0, sizeof(copy->code));
	for (int s = 0; s < MCODE_SECTIONS; s++)
		TRY(code_copy(&kernel->code[s], &copy->code[s]));
	*ret = TAKE(copy);
	return NULL;
}

static bool code_equal(const struct mcode_code *a, const struct mcode_code *b)
{
	return a->count == b->count &&
	       (!a->count || !memcmp(a->pixels, b->pixels, a->count * sizeof(*a->pixels)));
}

bool mcode_kernel_equal(const struct mcode_kernel *a, const struct mcode_kernel *b)
{
	for (int s = 0; s < MCODE_SECTIONS; s++)
		if (!code_equal(&a->code[s], &b->code[s]))
			return false;
	/* Every member of the table structs is packed without padding. */
	return !strcmp(a->name, b->name) && a->n_inputs == b->n_inputs &&
	       a->n_exits == b->n_exits && a->n_streams == b->n_streams &&
	       a->n_reductions == b->n_reductions && a->n_slots == b->n_slots &&
	       a->fuel == b->fuel && a->trip_slot == b->trip_slot &&
	       a->search_slot == b->search_slot && a->serial == b->serial &&
	       !memcmp(a->inputs, b->inputs, a->n_inputs * sizeof(a->inputs[0])) &&
	       !memcmp(a->exits, b->exits, a->n_exits * sizeof(a->exits[0])) &&
	       !memcmp(a->streams, b->streams, a->n_streams * sizeof(a->streams[0])) &&
	       !memcmp(a->reductions, b->reductions,
		       a->n_reductions * sizeof(a->reductions[0]));
}
_Static_assert(sizeof(struct mcode_binding) == 4, "no padding");
_Static_assert(sizeof(struct mcode_stream) == 24, "no padding");
_Static_assert(sizeof(struct mcode_reduction) == 8, "no padding");

/* What each operand byte of a form holds, apart from the G width bits and A immediate bits. */
enum field { FIELD_NONE, FIELD_REG, FIELD_STREAM, FIELD_SLOT };
struct form_fields {
	uint8_t g, b, a;
	bool imm_may, imm_must, imm_is_target, imm_is_offset;
};

static const struct form_fields form_fields[] = {
	[MCODE_FORM_NONE] = { FIELD_NONE, FIELD_NONE, FIELD_NONE },
	[MCODE_FORM_RR] = { FIELD_REG, FIELD_REG, FIELD_NONE },
	[MCODE_FORM_RRR] = { FIELD_REG, FIELD_REG, FIELD_REG, .imm_may = true },
	[MCODE_FORM_RI] = { FIELD_REG, FIELD_NONE, FIELD_NONE, .imm_must = true },
	[MCODE_FORM_J] = { FIELD_NONE, FIELD_NONE, FIELD_NONE, .imm_must = true,
			   .imm_is_target = true },
	[MCODE_FORM_RJ] = { FIELD_NONE, FIELD_REG, FIELD_NONE, .imm_must = true,
			    .imm_is_target = true },
	[MCODE_FORM_LD] = { FIELD_REG, FIELD_STREAM, FIELD_NONE, .imm_may = true,
			    .imm_is_offset = true },
	[MCODE_FORM_LDX] = { FIELD_REG, FIELD_STREAM, FIELD_REG, .imm_may = true,
			     .imm_is_offset = true },
	[MCODE_FORM_ST] = { FIELD_REG, FIELD_STREAM, FIELD_NONE, .imm_may = true,
			    .imm_is_offset = true },
	[MCODE_FORM_STX] = { FIELD_REG, FIELD_STREAM, FIELD_REG, .imm_may = true,
			     .imm_is_offset = true },
	[MCODE_FORM_GET] = { FIELD_REG, FIELD_SLOT, FIELD_NONE },
	[MCODE_FORM_PUT] = { FIELD_REG, FIELD_SLOT, FIELD_NONE },
};

static bool field_fits(enum field kind, unsigned value)
{
	switch (kind) {
	case FIELD_NONE:
		return value == 0;
	case FIELD_REG:
		return value < MCODE_REGISTERS;
	case FIELD_STREAM:
		return value < MCODE_MAX_STREAMS;
	case FIELD_SLOT:
		return value < MCODE_SLOTS;
	}
	return false;
}

static const char *width_problem(const struct mcode_op_info *info, unsigned width_code,
				 bool packed)
{
	if (width_code != MCODE_W64 && !(info->flags & (MCODE_WIDE | MCODE_CROSS)))
		return "this opcode has no widths";
	if (packed && !(info->flags & (MCODE_PACK | MCODE_CROSS)))
		return "this opcode has no packed form";
	if (packed && width_code == MCODE_W64)
		return "packed lanes of 64 bits";
	if (!packed && (info->flags & MCODE_CROSS))
		return "this opcode exists only packed";
	if (width_code == MCODE_W8 && (info->flags & MCODE_NOT8))
		return "this opcode has no 8-bit form";
	if (width_code == MCODE_W32 && (info->flags & MCODE_NOT32))
		return "this opcode has no 32-bit form";
	return NULL;
}

static bool imm_short(uint64_t imm)
{
	return (int64_t)imm == (int32_t)imm;
}

/* NULL, or why these fields are no instruction. */
static const char *insn_problem(const struct mcode_insn *insn)
{
	const struct mcode_op_info *info = mcode_op_info(insn->op);
	if (!info)
		return "no such opcode";
	const struct form_fields *fields = &form_fields[info->form];
	if (insn->width_code > MCODE_W8)
		return "no such width";
	const char *problem = width_problem(info, insn->width_code, insn->packed);
	if (problem)
		return problem;
	if (insn->has_imm && !fields->imm_may && !fields->imm_must)
		return "this opcode takes no immediate";
	if (!insn->has_imm && fields->imm_must)
		return "immediate missing";
	/* An immediate that is no offset stands in the second source's place. */
	enum field a = insn->has_imm && !fields->imm_is_offset ? FIELD_NONE : fields->a;
	if (!field_fits(fields->g, insn->rd) || !field_fits(fields->b, insn->rs1) ||
	    !field_fits(a, insn->rs2))
		return "operand out of range";
	if (insn->has_imm && fields->imm_is_target && insn->imm > INT32_MAX)
		return "jump target out of range";
	if (insn->has_imm && fields->imm_is_offset && !imm_short(insn->imm))
		return "offset out of range";
	return NULL;
}

static bool give_up(const char *why, const char **why_ret)
{
	if (why_ret)
		*why_ret = why;
	return false;
}

bool mcode_decode(const uint32_t *pixels, uint32_t count, uint32_t at, struct mcode_insn *ret,
		  const char **why_ret)
{
	if (at >= count)
		return give_up("past the end", why_ret);
	uint32_t pixel = pixels[at];
	unsigned g = pixel >> 8 & 0xff, a = pixel >> 24;
	struct mcode_insn insn = {
		.op = (uint8_t)pixel,
		.rs1 = (uint8_t)(pixel >> 16),
		.width_code = (uint8_t)(g >> 5 & 3),
		.packed = g & MCODE_G_PACKED,
		.rd = g & 0x1f,
		.has_imm = a & MCODE_A_IMM,
		.rs2 = (uint8_t)(a & ~(MCODE_A_IMM | MCODE_A_IMM64)),
		.n_pixels = 1,
	};
	if ((a & MCODE_A_IMM64) && !insn.has_imm)
		return give_up("64-bit mark without an immediate", why_ret);
	if (insn.has_imm)
		insn.n_pixels = a & MCODE_A_IMM64 ? 3 : 2;
	if (insn.n_pixels > count - at)
		return give_up("immediate cut short", why_ret);
	if (insn.n_pixels == 2)
		insn.imm = (uint64_t)(int64_t)(int32_t)pixels[at + 1];
	if (insn.n_pixels == 3)
		insn.imm = pixels[at + 1] | (uint64_t)pixels[at + 2] << 32;
	if (insn.n_pixels == 3 && imm_short(insn.imm))
		return give_up("64-bit immediate that fits 32 bits", why_ret);
	const char *problem = insn_problem(&insn);
	if (problem)
		return give_up(problem, why_ret);
	*ret = insn;
	return true;
}

static struct error *code_push(struct mcode_code *code, uint32_t pixel)
{
	if (code->count == code->capacity) {
		uint32_t wanted = code->capacity ? code->capacity * 2 : 32;
		uint32_t *grown = reallocarray(code->pixels, wanted, sizeof(*grown));
		if (!grown)
			return error_create(ERR_MEMORY, "no memory for %u pixels", wanted);
		code->pixels = grown;
		code->capacity = wanted;
	}
	code->pixels[code->count++] = pixel;
	return NULL;
}

struct error *mcode_emit(struct mcode_code *code, const struct mcode_insn *insn)
{
	CHECK(!insn_problem(insn));
	if (code->count > MCODE_MAX_PIXELS - 3)
		return error_create(ERR_LIMIT, "a section has at most %u pixels",
				    MCODE_MAX_PIXELS);
	bool wide = insn->has_imm && !imm_short(insn->imm);
	uint32_t g = insn->rd | (uint32_t)insn->width_code << 5 |
		     (insn->packed ? MCODE_G_PACKED : 0);
	uint32_t a = insn->rs2 | (insn->has_imm ? MCODE_A_IMM : 0) | (wide ? MCODE_A_IMM64 : 0);
	TRY(code_push(code, insn->op | g << 8 | (uint32_t)insn->rs1 << 16 | a << 24));
	if (insn->has_imm)
		TRY(code_push(code, (uint32_t)insn->imm));
	if (wide)
		TRY(code_push(code, (uint32_t)(insn->imm >> 32)));
	return NULL;
}

uint32_t mcode_code_instructions(const struct mcode_code *code)
{
	struct mcode_insn insn;
	uint32_t n = 0;
	for (uint32_t at = 0; at < code->count; at += insn.n_pixels, n++)
		if (!mcode_decode(code->pixels, code->count, at, &insn, NULL))
			return 0;
	return n;
}

bool mcode_body_jumps(const struct mcode_kernel *kernel)
{
	const struct mcode_code *code = &kernel->code[MCODE_BODY];
	struct mcode_insn insn;
	for (uint32_t at = 0; at < code->count; at += insn.n_pixels)
		if (!mcode_decode(code->pixels, code->count, at, &insn, NULL) ||
		    mcode_is_jump(insn.op))
			return true;
	return false;
}

uint32_t mcode_code_cost(const struct mcode_code *code)
{
	struct mcode_insn insn;
	uint32_t cost = 0;
	for (uint32_t at = 0; at < code->count; at += insn.n_pixels) {
		if (!mcode_decode(code->pixels, code->count, at, &insn, NULL))
			return 0;
		cost += mcode_op_info(insn.op)->cost;
	}
	return cost;
}

const char *mcode_section_name(enum mcode_section section)
{
	static const char *const names[MCODE_SECTIONS] = { "guard", "setup", "body", "finish" };
	return (unsigned)section < MCODE_SECTIONS ? names[section] : "?";
}

bool mcode_guest_reg_name(unsigned guest, char ret[12])
{
	static const char *const gpr[] = { "rax", "rcx", "rdx", "rbx",
					   "rsp", "rbp", "rsi", "rdi" };
	static const char *const other[] = { "eflags", "fs_base", "gs_base" };
	if (guest < MCODE_R8)
		snprintf(ret, 12, "%s", gpr[guest]);
	else if (guest < MCODE_XMM)
		snprintf(ret, 12, "r%u", guest);
	else if (guest < MCODE_EFLAGS)
		snprintf(ret, 12, "xmm%u.%s", (guest - MCODE_XMM) / 2, guest & 1 ? "hi" : "lo");
	else if (guest < MCODE_GUEST_REGS)
		snprintf(ret, 12, "%s", other[guest - MCODE_EFLAGS]);
	else
		return false;
	return true;
}

int mcode_guest_reg_by_name(const char *name, size_t length)
{
	char known[12];
	for (unsigned guest = 0; mcode_guest_reg_name(guest, known); guest++)
		if (strlen(known) == length && !memcmp(known, name, length))
			return (int)guest;
	return -1;
}
