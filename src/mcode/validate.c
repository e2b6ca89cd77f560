#include "mcode/validate.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "mcode/program.h"

static struct error *bad(const char *what)
{
	return error_create(ERR_BAD_DATA, "%s", what);
}

static bool slot_ok(const struct mcode_kernel *kernel, unsigned slot)
{
	return slot < kernel->n_slots;
}

static bool slot_or_none_ok(const struct mcode_kernel *kernel, unsigned slot)
{
	return slot == MCODE_NO_SLOT || slot_ok(kernel, slot);
}

static struct error *check_header(const struct mcode_kernel *kernel)
{
	if (!memchr(kernel->name, 0, sizeof(kernel->name)))
		return bad("the name has no end");
	for (const char *c = kernel->name; *c; c++)
		if (*c <= ' ' || *c > '~' || *c == '"' || *c == '\\')
			return bad("the name has a character that is not allowed");
	if (kernel->n_slots < 1 || kernel->n_slots > MCODE_SLOTS)
		return bad("number of slots out of range");
	if (kernel->n_inputs > MCODE_MAX_INPUTS || kernel->n_exits > MCODE_MAX_EXITS ||
	    kernel->n_streams > MCODE_MAX_STREAMS ||
	    kernel->n_reductions > MCODE_MAX_REDUCTIONS)
		return bad("a table is too long");
	if (!slot_ok(kernel, kernel->trip_slot))
		return bad("trip slot out of range");
	if (!slot_or_none_ok(kernel, kernel->search_slot))
		return bad("search slot out of range");
	return NULL;
}

static struct error *check_bindings(const struct mcode_kernel *kernel,
				    const struct mcode_binding *bindings, uint32_t count,
				    unsigned guest_limit, const char *what)
{
	bool seen[MCODE_GUEST_REGS] = { false };
	for (uint32_t i = 0; i < count; i++) {
		if (bindings[i].guest >= guest_limit || !slot_ok(kernel, bindings[i].slot))
			return error_create(ERR_BAD_DATA, "%s %u out of range", what, i);
		if (seen[bindings[i].guest])
			return error_create(ERR_BAD_DATA, "%s %u binds a register twice", what,
					    i);
		seen[bindings[i].guest] = true;
	}
	return NULL;
}

static const char *stream_problem(const struct mcode_kernel *kernel,
				  const struct mcode_stream *stream)
{
	bool region = stream->flags & MCODE_STREAM_REGION;
	if (!slot_ok(kernel, stream->base_slot))
		return "base slot out of range";
	if (stream->flags & ~7u || !(stream->flags & 3u))
		return "flags make no sense";
	if (!slot_or_none_ok(kernel, stream->stride_slot) ||
	    !slot_or_none_ok(kernel, stream->length_slot))
		return "slot out of range";
	if (stream->stride_slot != MCODE_NO_SLOT && stream->stride)
		return "two strides";
	if (region != (stream->length_slot != MCODE_NO_SLOT))
		return "a region has a length, a stream has none";
	if (region && (stream->stride || stream->stride_slot != MCODE_NO_SLOT || stream->low ||
		       stream->high))
		return "a region has neither stride nor window";
	if (!region && (stream->low > 0 || stream->high <= 0 ||
			stream->low < -MCODE_MAX_WINDOW || stream->high > MCODE_MAX_WINDOW))
		return "window out of range";
	return NULL;
}

static struct error *check_streams(const struct mcode_kernel *kernel)
{
	for (uint32_t i = 0; i < kernel->n_streams; i++) {
		const char *problem = stream_problem(kernel, &kernel->streams[i]);
		if (problem)
			return error_create(ERR_BAD_DATA, "stream %u: %s", i, problem);
		if (kernel->search_slot != MCODE_NO_SLOT && !kernel->serial &&
		    kernel->streams[i].flags & MCODE_STREAM_WRITE)
			return bad("a search kernel that is not serial may not store");
	}
	return NULL;
}

/* A body that moved a stream under itself would make addresses depend on the order of lanes. */
static bool slot_places_a_stream(const struct mcode_kernel *kernel, unsigned slot)
{
	for (uint32_t i = 0; i < kernel->n_streams; i++)
		if (slot == kernel->streams[i].base_slot ||
		    slot == kernel->streams[i].stride_slot ||
		    slot == kernel->streams[i].length_slot)
			return true;
	return false;
}

static bool op_reduces(unsigned op)
{
	switch (op) {
	case MCODE_MOV:
	case MCODE_ADD:
	case MCODE_MUL:
	case MCODE_AND:
	case MCODE_OR:
	case MCODE_XOR:
	case MCODE_MINU:
	case MCODE_MINS:
	case MCODE_MAXU:
	case MCODE_MAXS:
		return true;
	default:
		return false;
	}
}

static struct error *check_reductions(const struct mcode_kernel *kernel)
{
	bool taken[MCODE_SLOTS] = { false };
	if (kernel->n_reductions && kernel->search_slot != MCODE_NO_SLOT && !kernel->serial)
		return bad("a search kernel that is not serial may not reduce");
	for (uint32_t i = 0; i < kernel->n_reductions; i++) {
		const struct mcode_reduction *red = &kernel->reductions[i];
		if (!op_reduces(red->op) || red->width_code > MCODE_W8 || red->packed > 1 ||
		    red->unused || (red->packed && red->width_code == MCODE_W64) ||
		    !slot_ok(kernel, red->acc_slot) || !slot_ok(kernel, red->value_slot))
			return error_create(ERR_BAD_DATA, "reduction %u is malformed", i);
		if (red->op == MCODE_MOV && (!kernel->serial || red->packed))
			return error_create(
				ERR_BAD_DATA,
				"reduction %u carries state, in a kernel of any order", i);
		if (kernel->serial && slot_places_a_stream(kernel, red->acc_slot))
			return error_create(ERR_BAD_DATA, "reduction %u moves a stream", i);
		if (taken[red->acc_slot])
			return error_create(ERR_BAD_DATA, "reduction %u shares its accumulator",
					    i);
		taken[red->acc_slot] = true;
	}
	return NULL;
}

static const char *access_problem(const struct mcode_kernel *kernel,
				  const struct mcode_op_info *info,
				  const struct mcode_insn *insn)
{
	bool store = info->class == MCODE_CLASS_STORE;
	bool indexed = insn->op == MCODE_LDX || insn->op == MCODE_STX;
	if (insn->rs1 >= kernel->n_streams)
		return "no such stream";
	const struct mcode_stream *stream = &kernel->streams[insn->rs1];
	if (!(stream->flags & (store ? MCODE_STREAM_WRITE : MCODE_STREAM_READ)))
		return "the stream's flags forbid this access";
	if (indexed)
		return NULL; /* checked when it runs */
	if (stream->flags & MCODE_STREAM_REGION)
		return "a region is accessed by index only";
	int64_t offset = (int64_t)insn->imm;
	if (offset < stream->low ||
	    offset + (int64_t)(mcode_width_bits(insn->width_code) / 8) > stream->high)
		return "access outside the stream's window";
	return NULL;
}

static const char *insn_in_kernel_problem(const struct mcode_kernel *kernel,
					  enum mcode_section section,
					  const struct mcode_insn *insn)
{
	const struct mcode_op_info *info = mcode_op_info(insn->op);
	switch (info->form) {
	case MCODE_FORM_LD:
	case MCODE_FORM_LDX:
	case MCODE_FORM_ST:
	case MCODE_FORM_STX:
		if (section != MCODE_BODY)
			return "memory access outside the body";
		return access_problem(kernel, info, insn);
	case MCODE_FORM_PUT:
		if (section == MCODE_BODY && slot_places_a_stream(kernel, insn->rs1))
			return "the body may not change where a stream is";
		return slot_ok(kernel, insn->rs1) ? NULL : "slot out of range";
	case MCODE_FORM_GET:
		return slot_ok(kernel, insn->rs1) ? NULL : "slot out of range";
	default:
		return NULL;
	}
}

static struct error *bad_at(enum mcode_section section, uint32_t at, const char *why)
{
	return error_create(ERR_BAD_DATA, "%s, pixel %u: %s", mcode_section_name(section), at,
			    why);
}

/* starts[at]: an instruction begins at this pixel; the end of the section is a target too. */
static struct error *check_jumps(const struct mcode_code *code, enum mcode_section section,
				 const bool *starts)
{
	struct mcode_insn insn;
	for (uint32_t at = 0; at < code->count; at += insn.n_pixels) {
		CHECK(mcode_decode(code->pixels, code->count, at, &insn, NULL));
		if (mcode_is_jump(insn.op) && (insn.imm > code->count || !starts[insn.imm]))
			return bad_at(section, at, "jump to no instruction");
	}
	return NULL;
}

static struct error *check_section(const struct mcode_kernel *kernel,
				   enum mcode_section section)
{
	const struct mcode_code *code = &kernel->code[section];
	const char *why = NULL;
	struct mcode_insn insn;
	if (code->count > MCODE_MAX_PIXELS)
		return bad_at(section, code->count, "too many pixels");
	AUTO(own_free) bool *starts = NULL;
	TRY(error_alloc(code->count + 1, sizeof(*starts), &starts));
	for (uint32_t at = 0; at < code->count; at += insn.n_pixels) {
		if (!mcode_decode(code->pixels, code->count, at, &insn, &why))
			return bad_at(section, at, why);
		starts[at] = true;
		why = insn_in_kernel_problem(kernel, section, &insn);
		if (why)
			return bad_at(section, at, why);
	}
	starts[code->count] = true;
	return check_jumps(code, section, starts);
}

struct error *mcode_validate(const struct mcode_kernel *kernel)
{
	TRY(check_header(kernel));
	TRY(check_bindings(kernel, kernel->inputs, kernel->n_inputs, MCODE_GUEST_REGS,
			   "input"));
	TRY(check_bindings(kernel, kernel->exits, kernel->n_exits, MCODE_EFLAGS, "exit"));
	TRY(check_streams(kernel));
	TRY(check_reductions(kernel));
	for (int s = 0; s < MCODE_SECTIONS; s++)
		TRY(check_section(kernel, s));
	return NULL;
}
