#include "mcode/text.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "mcode/program.h"

static void put_lower(char *to, size_t size, const char *from)
{
	size_t i = 0;
	for (; from[i] && i + 1 < size; i++)
		to[i] = (char)tolower((unsigned char)from[i]);
	to[i] = 0;
}

/* "add", "add.32" or "add.8x8". */
static void op_text(unsigned op, unsigned width_code, bool packed, char ret[24])
{
	unsigned bits = mcode_width_bits(width_code);
	char name[12];
	put_lower(name, sizeof(name), mcode_op_info((uint8_t)op)->name);
	if (packed)
		snprintf(ret, 24, "%s.%ux%u", name, bits, 64 / bits);
	else if (bits != 64)
		snprintf(ret, 24, "%s.%u", name, bits);
	else
		snprintf(ret, 24, "%s", name);
}

/* Small numbers in decimal, the rest in hexadecimal; both read back exactly. */
static void imm_text(uint64_t imm, char ret[24])
{
	if ((int64_t)imm > -1000000 && (int64_t)imm < 1000000)
		snprintf(ret, 24, "#%" PRId64, (int64_t)imm);
	else
		snprintf(ret, 24, "#0x%" PRIx64, imm);
}

static void offset_text(const struct mcode_insn *insn, char ret[16])
{
	if (insn->has_imm)
		snprintf(ret, 16, "%+" PRId64, (int64_t)insn->imm);
	else
		ret[0] = 0;
}

void mcode_insn_text(const struct mcode_insn *insn, char ret[MCODE_LINE])
{
	char op[24], imm[24], off[16];
	op_text(insn->op, insn->width_code, insn->packed, op);
	imm_text(insn->imm, imm);
	offset_text(insn, off);
	unsigned d = insn->rd, b = insn->rs1, a = insn->rs2;
	switch (mcode_op_info(insn->op)->form) {
	case MCODE_FORM_RR:
		snprintf(ret, MCODE_LINE, "%s r%u, r%u", op, d, b);
		break;
	case MCODE_FORM_RRR:
		if (insn->has_imm)
			snprintf(ret, MCODE_LINE, "%s r%u, r%u, %s", op, d, b, imm);
		else
			snprintf(ret, MCODE_LINE, "%s r%u, r%u, r%u", op, d, b, a);
		break;
	case MCODE_FORM_RI:
		snprintf(ret, MCODE_LINE, "%s r%u, %s", op, d, imm);
		break;
	case MCODE_FORM_J:
		snprintf(ret, MCODE_LINE, "%s L%u", op, (unsigned)insn->imm);
		break;
	case MCODE_FORM_RJ:
		snprintf(ret, MCODE_LINE, "%s r%u, L%u", op, b, (unsigned)insn->imm);
		break;
	case MCODE_FORM_LD:
		snprintf(ret, MCODE_LINE, "%s r%u, s%u%s", op, d, b, off);
		break;
	case MCODE_FORM_LDX:
		snprintf(ret, MCODE_LINE, "%s r%u, s%u, r%u%s", op, d, b, a, off);
		break;
	case MCODE_FORM_ST:
		snprintf(ret, MCODE_LINE, "%s s%u%s, r%u", op, b, off, d);
		break;
	case MCODE_FORM_STX:
		snprintf(ret, MCODE_LINE, "%s s%u, r%u%s, r%u", op, b, a, off, d);
		break;
	case MCODE_FORM_GET:
		snprintf(ret, MCODE_LINE, "%s r%u, v%u", op, d, b);
		break;
	case MCODE_FORM_PUT:
		snprintf(ret, MCODE_LINE, "%s v%u, r%u", op, b, d);
		break;
	default:
		snprintf(ret, MCODE_LINE, "%s", op);
		break;
	}
}

static void print_stream(const struct mcode_stream *stream, uint32_t number, FILE *to)
{
	static const char *const access[] = { "none", "read", "write", "readwrite" };
	fprintf(to, ".stream s%u %s base v%u", number, access[stream->flags & 3],
		stream->base_slot);
	if (stream->flags & MCODE_STREAM_REGION) {
		fprintf(to, " length v%u\n", stream->length_slot);
		return;
	}
	if (stream->stride_slot != MCODE_NO_SLOT)
		fprintf(to, " stride v%u", stream->stride_slot);
	else
		fprintf(to, " stride %" PRId64, stream->stride);
	fprintf(to, " window %d %d\n", stream->low, stream->high);
}

static void print_header(const struct mcode_kernel *kernel, FILE *to)
{
	char name[24];
	if (kernel->name[0])
		fprintf(to, ".kernel %s\n", kernel->name);
	fprintf(to, ".slots %u\n.trip v%u\n", kernel->n_slots, kernel->trip_slot);
	if (kernel->fuel)
		fprintf(to, ".fuel %u\n", kernel->fuel);
	if (kernel->search_slot != MCODE_NO_SLOT)
		fprintf(to, ".search v%u\n", kernel->search_slot);
	if (kernel->serial)
		fprintf(to, ".serial\n");
	for (uint32_t i = 0; i < kernel->n_inputs; i++) {
		mcode_guest_reg_name(kernel->inputs[i].guest, name);
		fprintf(to, ".input v%u %s\n", kernel->inputs[i].slot, name);
	}
	for (uint32_t i = 0; i < kernel->n_exits; i++) {
		mcode_guest_reg_name(kernel->exits[i].guest, name);
		fprintf(to, ".exit %s v%u\n", name, kernel->exits[i].slot);
	}
	for (uint32_t i = 0; i < kernel->n_streams; i++)
		print_stream(&kernel->streams[i], i, to);
	for (uint32_t i = 0; i < kernel->n_reductions; i++) {
		const struct mcode_reduction *red = &kernel->reductions[i];
		op_text(red->op, red->width_code, red->packed, name);
		fprintf(to, ".reduce %s v%u v%u\n", name, red->acc_slot, red->value_slot);
	}
}

static struct error *print_section(const struct mcode_code *code, FILE *to)
{
	AUTO(own_free) bool *is_target = NULL;
	struct mcode_insn insn;
	char line[MCODE_LINE];
	TRY(error_alloc(code->count + 1, sizeof(*is_target), &is_target));
	for (uint32_t at = 0; at < code->count; at += insn.n_pixels) {
		CHECK(mcode_decode(code->pixels, code->count, at, &insn, NULL));
		unsigned form = mcode_op_info(insn.op)->form;
		if (form == MCODE_FORM_J || form == MCODE_FORM_RJ)
			is_target[insn.imm] = true;
	}
	for (uint32_t at = 0; at < code->count; at += insn.n_pixels) {
		mcode_decode(code->pixels, code->count, at, &insn, NULL);
		mcode_insn_text(&insn, line);
		if (is_target[at])
			fprintf(to, "L%u:\n", at);
		fprintf(to, "\t%s\n", line);
	}
	if (is_target[code->count])
		fprintf(to, "L%u:\n", code->count);
	return NULL;
}

struct error *mcode_disassemble(const struct mcode_kernel *kernel, FILE *to)
{
	print_header(kernel, to);
	for (int s = 0; s < MCODE_SECTIONS; s++) {
		if (!kernel->code[s].count)
			continue;
		fprintf(to, ".%s\n", mcode_section_name(s));
		TRY(print_section(&kernel->code[s], to));
	}
	if (ferror(to))
		return error_create(ERR_SYSTEM, "cannot write the listing");
	return NULL;
}

struct error *mcode_disassemble_string(const struct mcode_kernel *kernel, char **ret)
{
	AUTO(own_free) char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	if (!to)
		return error_system(errno, "cannot hold a listing");
	struct error *err = mcode_disassemble(kernel, to);
	if (fclose(to) && !err)
		err = error_create(ERR_MEMORY, "no memory for a listing");
	if (!err)
		*ret = TAKE(text);
	return err;
}
