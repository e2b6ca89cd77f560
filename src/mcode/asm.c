/* The assembler. A line is cut into words (separated by blanks and commas); the first word says
 * what the line is. Labels are collected per section and jumps patched when it ends: a jump's
 * target always takes one immediate pixel, so that sizes do not depend on labels. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/vec.h"
#include "mcode/program.h"
#include "mcode/text.h"
#include "mcode/validate.h"

#define MAX_WORDS 12
#define MAX_TEXT_BYTES (16u << 20)

struct word {
	const char *at;
	size_t length;
};

struct label {
	struct word name;
	uint32_t target;
};

struct jump {
	struct word name;
	uint32_t pixel; /* its immediate */
	unsigned line;
};

struct assembler {
	struct mcode_kernel *kernel;
	VEC(struct label) labels;
	VEC(struct jump) jumps;
	unsigned line;
	int section; /* -1 before the first */
	struct word words[MAX_WORDS];
	unsigned n_words;
};

static struct error *bad_line(const struct assembler *as, const char *what)
{
	return error_create(ERR_BAD_DATA, "line %u: %s", as->line, what);
}

static bool word_is(struct word word, const char *text)
{
	return word.length == strlen(text) && !memcmp(word.at, text, word.length);
}

/* Whole word as a number, C syntax, with sign. */
static bool word_number(struct word word, int64_t *ret)
{
	char text[32];
	char *end;
	if (!word.length || word.length >= sizeof(text))
		return false;
	memcpy(text, word.at, word.length);
	text[word.length] = 0;
	bool negative = text[0] == '-';
	const char *digits = text + (negative || text[0] == '+');
	if (!isdigit((unsigned char)digits[0]))
		return false;
	errno = 0;
	uint64_t value = strtoull(digits, &end, 0);
	if (*end || errno)
		return false;
	*ret = (int64_t)(negative ? 0 - value : value);
	return true;
}

/* "r12", "s3", "v250": a letter and a decimal number below limit. */
static bool word_numbered(struct word word, char letter, unsigned limit, unsigned *ret)
{
	unsigned value = 0;
	if (word.length < 2 || word.length > 4 || word.at[0] != letter)
		return false;
	for (size_t i = 1; i < word.length; i++) {
		if (!isdigit((unsigned char)word.at[i]))
			return false;
		value = value * 10 + (unsigned)(word.at[i] - '0');
	}
	*ret = value;
	return value < limit;
}

static bool word_reg(struct word word, uint8_t *ret)
{
	unsigned value;
	if (!word_numbered(word, 'r', MCODE_REGISTERS, &value))
		return false;
	*ret = (uint8_t)value;
	return true;
}

static bool word_slot(struct word word, uint16_t *ret)
{
	unsigned value;
	if (!word_numbered(word, 'v', MCODE_SLOTS, &value))
		return false;
	*ret = (uint16_t)value;
	return true;
}

/* "s3+8" or "r2-4": splits the offset off; it must fit 32 bits. */
static bool split_offset(struct word *word, struct mcode_insn *insn)
{
	for (size_t i = 1; i < word->length; i++) {
		int64_t offset;
		if (word->at[i] != '+' && word->at[i] != '-')
			continue;
		if (!word_number((struct word){ word->at + i, word->length - i }, &offset) ||
		    offset != (int32_t)offset)
			return false;
		insn->has_imm = true;
		insn->imm = (uint64_t)offset;
		word->length = i;
		break;
	}
	return true;
}

static bool word_stream(struct word word, uint8_t *ret)
{
	unsigned value;
	if (!word_numbered(word, 's', MCODE_MAX_STREAMS, &value))
		return false;
	*ret = (uint8_t)value;
	return true;
}

static bool word_imm(struct word word, struct mcode_insn *insn)
{
	int64_t value;
	if (word.length < 2 || word.at[0] != '#' ||
	    !word_number((struct word){ word.at + 1, word.length - 1 }, &value))
		return false;
	insn->has_imm = true;
	insn->imm = (uint64_t)value;
	return true;
}

/* "add", "add.32", "add.8x8". */
static bool parse_op(struct word word, uint8_t *op_ret, uint8_t *width_ret, bool *packed_ret)
{
	static const struct {
		const char *text;
		uint8_t width_code;
		bool packed;
	} suffixes[] = {
		{ ".64", MCODE_W64, false },  { ".32", MCODE_W32, false },
		{ ".16", MCODE_W16, false },  { ".8", MCODE_W8, false },
		{ ".32x2", MCODE_W32, true }, { ".16x4", MCODE_W16, true },
		{ ".8x8", MCODE_W8, true },
	};
	const char *dot = memchr(word.at, '.', word.length);
	size_t name_length = dot ? (size_t)(dot - word.at) : word.length;
	const struct mcode_op_info *info = mcode_op_by_name(word.at, (unsigned)name_length);
	if (!info)
		return false;
	*op_ret = info->code;
	*width_ret = MCODE_W64;
	*packed_ret = false;
	if (!dot)
		return true;
	struct word suffix = { dot, word.length - name_length };
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		if (!word_is(suffix, suffixes[i].text))
			continue;
		*width_ret = suffixes[i].width_code;
		*packed_ret = suffixes[i].packed;
		return true;
	}
	return false;
}

static unsigned operands_of(unsigned form)
{
	static const uint8_t counts[] = {
		[MCODE_FORM_NONE] = 0, [MCODE_FORM_RR] = 2,  [MCODE_FORM_RRR] = 3,
		[MCODE_FORM_RI] = 2,   [MCODE_FORM_J] = 1,   [MCODE_FORM_RJ] = 2,
		[MCODE_FORM_LD] = 2,   [MCODE_FORM_LDX] = 3, [MCODE_FORM_ST] = 2,
		[MCODE_FORM_STX] = 3,  [MCODE_FORM_GET] = 2, [MCODE_FORM_PUT] = 2,
	};
	return counts[form];
}

static bool parse_slot_operand(struct word word, struct mcode_insn *insn)
{
	uint16_t slot;
	if (!word_slot(word, &slot))
		return false;
	insn->rs1 = (uint8_t)slot;
	return true;
}

static bool parse_operands(struct word *w, unsigned form, struct mcode_insn *insn)
{
	switch (form) {
	case MCODE_FORM_NONE:
		return true;
	case MCODE_FORM_RR:
		return word_reg(w[0], &insn->rd) && word_reg(w[1], &insn->rs1);
	case MCODE_FORM_RRR:
		return word_reg(w[0], &insn->rd) && word_reg(w[1], &insn->rs1) &&
		       (word_imm(w[2], insn) || word_reg(w[2], &insn->rs2));
	case MCODE_FORM_RI:
		return word_reg(w[0], &insn->rd) && word_imm(w[1], insn);
	case MCODE_FORM_J:
		insn->has_imm = true;
		return true;
	case MCODE_FORM_RJ:
		insn->has_imm = true;
		return word_reg(w[0], &insn->rs1);
	case MCODE_FORM_LD:
		return split_offset(&w[1], insn) && word_reg(w[0], &insn->rd) &&
		       word_stream(w[1], &insn->rs1);
	case MCODE_FORM_LDX:
		return split_offset(&w[2], insn) && word_reg(w[0], &insn->rd) &&
		       word_stream(w[1], &insn->rs1) && word_reg(w[2], &insn->rs2);
	case MCODE_FORM_ST:
		return split_offset(&w[0], insn) && word_stream(w[0], &insn->rs1) &&
		       word_reg(w[1], &insn->rd);
	case MCODE_FORM_STX:
		return split_offset(&w[1], insn) && word_stream(w[0], &insn->rs1) &&
		       word_reg(w[1], &insn->rs2) && word_reg(w[2], &insn->rd);
	case MCODE_FORM_GET:
		return word_reg(w[0], &insn->rd) && parse_slot_operand(w[1], insn);
	default:
		return parse_slot_operand(w[0], insn) && word_reg(w[1], &insn->rd);
	}
}

/* Encodes and decodes once: what the decoder refuses the assembler refuses. */
static struct error *emit_checked(struct assembler *as, const struct mcode_insn *insn)
{
	struct mcode_code *code = &as->kernel->code[as->section];
	uint32_t a = insn->rs2 | (insn->has_imm ? MCODE_A_IMM : 0);
	uint32_t pixels[2] = { insn->op | (uint32_t)insn->rd << 8 |
				       (uint32_t)insn->width_code << 13 |
				       (insn->packed ? 1u << 15 : 0) |
				       (uint32_t)insn->rs1 << 16 | a << 24,
			       0 };
	struct mcode_insn decoded;
	const char *why;
	if (!mcode_decode(pixels, 2, 0, &decoded, &why))
		return bad_line(as, why);
	return mcode_emit(code, insn);
}

static struct error *parse_insn(struct assembler *as)
{
	struct mcode_insn insn = { 0 };
	struct word *operands = as->words + 1;
	if (as->section < 0)
		return bad_line(as, "an instruction before .guard, .setup, .body or .finish");
	if (!parse_op(as->words[0], &insn.op, &insn.width_code, &insn.packed))
		return bad_line(as, "no such instruction");
	unsigned form = mcode_op_info(insn.op)->form;
	if (as->n_words - 1 != operands_of(form))
		return bad_line(as, "wrong number of operands");
	if (!parse_operands(operands, form, &insn))
		return bad_line(as, "operand not understood");
	TRY(emit_checked(as, &insn));
	if (form != MCODE_FORM_J && form != MCODE_FORM_RJ)
		return NULL;
	struct jump jump = { operands[form == MCODE_FORM_RJ],
			     as->kernel->code[as->section].count - 1, as->line };
	if (!VEC_PUSH(&as->jumps, jump))
		return error_create(ERR_MEMORY, "no memory for jumps");
	return NULL;
}

static struct error *patch_jump(struct assembler *as, const struct jump *jump)
{
	for (size_t i = 0; i < as->labels.count; i++) {
		const struct label *label = &as->labels.items[i];
		if (label->name.length != jump->name.length ||
		    memcmp(label->name.at, jump->name.at, jump->name.length))
			continue;
		as->kernel->code[as->section].pixels[jump->pixel] = label->target;
		return NULL;
	}
	return error_create(ERR_BAD_DATA, "line %u: no such label in this section", jump->line);
}

static struct error *end_section(struct assembler *as)
{
	for (size_t i = 0; i < as->jumps.count; i++)
		TRY(patch_jump(as, &as->jumps.items[i]));
	as->jumps.count = as->labels.count = 0;
	return NULL;
}

static struct error *parse_label(struct assembler *as)
{
	struct word name = { as->words[0].at, as->words[0].length - 1 };
	if (as->section < 0 || as->n_words != 1 || !name.length)
		return bad_line(as, "a label stands alone, inside a section");
	if (as->labels.count >= 4096)
		return bad_line(as, "too many labels");
	for (size_t i = 0; i < as->labels.count; i++)
		if (as->labels.items[i].name.length == name.length &&
		    !memcmp(as->labels.items[i].name.at, name.at, name.length))
			return bad_line(as, "label defined twice");
	struct label label = { name, as->kernel->code[as->section].count };
	if (!VEC_PUSH(&as->labels, label))
		return error_create(ERR_MEMORY, "no memory for labels");
	return NULL;
}

static struct error *parse_binding(struct assembler *as, struct word guest, struct word slot,
				   struct mcode_binding *table, uint32_t *count, uint32_t limit)
{
	int number = mcode_guest_reg_by_name(guest.at, guest.length);
	struct mcode_binding binding = { .guest = (uint16_t)number };
	if (as->n_words != 3 || number < 0 || !word_slot(slot, &binding.slot))
		return bad_line(as, "expected a guest register and a slot");
	if (*count == limit)
		return bad_line(as, "too many of these");
	table[(*count)++] = binding;
	return NULL;
}

static bool parse_stride(struct word word, struct mcode_stream *stream)
{
	return word_slot(word, &stream->stride_slot) || word_number(word, &stream->stride);
}

static bool parse_window(const struct word *w, struct mcode_stream *stream)
{
	int64_t low, high;
	if (!word_number(w[0], &low) || !word_number(w[1], &high) || low != (int32_t)low ||
	    high != (int32_t)high)
		return false;
	stream->low = (int32_t)low;
	stream->high = (int32_t)high;
	return true;
}

static bool parse_access(struct word word, uint16_t *flags)
{
	*flags = word_is(word, "read")	  ? MCODE_STREAM_READ
		 : word_is(word, "write") ? MCODE_STREAM_WRITE
					  : MCODE_STREAM_READ | MCODE_STREAM_WRITE;
	return *flags != 3 || word_is(word, "readwrite");
}

/* .stream sN ACCESS base vN stride N|vN window LOW HIGH
 * .stream sN ACCESS base vN length vN */
static struct error *parse_stream(struct assembler *as)
{
	const struct word *w = as->words;
	struct mcode_kernel *kernel = as->kernel;
	struct mcode_stream stream = { .stride_slot = MCODE_NO_SLOT,
				       .length_slot = MCODE_NO_SLOT };
	uint8_t number;
	if (as->n_words < 7 || !word_stream(w[1], &number) || number != kernel->n_streams ||
	    !parse_access(w[2], &stream.flags) || !word_is(w[3], "base") ||
	    !word_slot(w[4], &stream.base_slot))
		return bad_line(as, "expected .stream sN read|write|readwrite base vN ...");
	if (as->n_words == 7 && word_is(w[5], "length") &&
	    word_slot(w[6], &stream.length_slot)) {
		stream.flags |= MCODE_STREAM_REGION;
	} else if (as->n_words != 10 || !word_is(w[5], "stride") ||
		   !parse_stride(w[6], &stream) || !word_is(w[7], "window") ||
		   !parse_window(&w[8], &stream)) {
		return bad_line(as, "expected stride and window, or length");
	}
	kernel->streams[kernel->n_streams++] = stream;
	return NULL;
}

static struct error *parse_reduce(struct assembler *as)
{
	const struct word *w = as->words;
	struct mcode_kernel *kernel = as->kernel;
	struct mcode_reduction red = { 0 };
	bool packed;
	if (as->n_words != 4 || !parse_op(w[1], &red.op, &red.width_code, &packed) ||
	    !word_slot(w[2], &red.acc_slot) || !word_slot(w[3], &red.value_slot))
		return bad_line(as, "expected .reduce OP vACC vVALUE");
	if (kernel->n_reductions == MCODE_MAX_REDUCTIONS)
		return bad_line(as, "too many reductions");
	red.packed = packed;
	kernel->reductions[kernel->n_reductions++] = red;
	return NULL;
}

static struct error *parse_number(struct assembler *as, uint32_t *ret)
{
	int64_t value;
	if (as->n_words != 2 || !word_number(as->words[1], &value) || value < 0 ||
	    value > UINT32_MAX)
		return bad_line(as, "expected a number");
	*ret = (uint32_t)value;
	return NULL;
}

static struct error *parse_serial(struct assembler *as)
{
	if (as->n_words != 1)
		return bad_line(as, "words after .serial");
	as->kernel->serial = true;
	return NULL;
}

static struct error *parse_slot_line(struct assembler *as, uint16_t *ret)
{
	if (as->n_words != 2 || !word_slot(as->words[1], ret))
		return bad_line(as, "expected a slot");
	return NULL;
}

static struct error *parse_name(struct assembler *as)
{
	struct word name = as->words[1];
	if (as->n_words != 2 || name.length >= sizeof(as->kernel->name))
		return bad_line(as, "expected a name of at most 63 characters");
	memset(as->kernel->name, 0, sizeof(as->kernel->name));
	memcpy(as->kernel->name, name.at, name.length);
	return NULL;
}

static struct error *parse_section(struct assembler *as, bool *is_section_ret)
{
	*is_section_ret = false;
	for (int s = 0; s < MCODE_SECTIONS; s++) {
		struct word rest = { as->words[0].at + 1, as->words[0].length - 1 };
		if (!word_is(rest, mcode_section_name(s)))
			continue;
		*is_section_ret = true;
		if (as->n_words != 1)
			return bad_line(as, "words after the section's name");
		if (as->section >= 0)
			TRY(end_section(as));
		if (as->kernel->code[s].count)
			return bad_line(as, "section given twice");
		as->section = s;
	}
	return NULL;
}

static struct error *parse_directive(struct assembler *as)
{
	struct mcode_kernel *kernel = as->kernel;
	struct word first = as->words[0];
	bool is_section;
	TRY(parse_section(as, &is_section));
	if (is_section)
		return NULL;
	if (word_is(first, ".kernel"))
		return parse_name(as);
	if (word_is(first, ".slots"))
		return parse_number(as, &kernel->n_slots);
	if (word_is(first, ".fuel"))
		return parse_number(as, &kernel->fuel);
	if (word_is(first, ".trip"))
		return parse_slot_line(as, &kernel->trip_slot);
	if (word_is(first, ".search"))
		return parse_slot_line(as, &kernel->search_slot);
	if (word_is(first, ".serial"))
		return parse_serial(as);
	if (word_is(first, ".input"))
		return parse_binding(as, as->words[2], as->words[1], kernel->inputs,
				     &kernel->n_inputs, MCODE_MAX_INPUTS);
	if (word_is(first, ".exit"))
		return parse_binding(as, as->words[1], as->words[2], kernel->exits,
				     &kernel->n_exits, MCODE_MAX_EXITS);
	if (word_is(first, ".stream"))
		return parse_stream(as);
	if (word_is(first, ".reduce"))
		return parse_reduce(as);
	return bad_line(as, "no such directive");
}

static bool is_separator(char c)
{
	return c == ' ' || c == '\t' || c == ',' || c == '\r';
}

/* Cuts [line, end) into words; a comment runs from ';' to the end. */
static bool split_words(struct assembler *as, const char *line, const char *end)
{
	as->n_words = 0;
	memset(as->words, 0, sizeof(as->words));
	while (line < end && *line != ';') {
		if (is_separator(*line)) {
			line++;
			continue;
		}
		const char *start = line;
		while (line < end && !is_separator(*line) && *line != ';')
			line++;
		if (as->n_words == MAX_WORDS)
			return false;
		as->words[as->n_words++] = (struct word){ start, (size_t)(line - start) };
	}
	return true;
}

static struct error *parse_line(struct assembler *as, const char *line, const char *end)
{
	if (!split_words(as, line, end))
		return bad_line(as, "too many words");
	if (!as->n_words)
		return NULL;
	struct word first = as->words[0];
	if (first.at[0] == '.')
		return parse_directive(as);
	if (first.at[first.length - 1] == ':')
		return parse_label(as);
	return parse_insn(as);
}

static struct error *parse_text(struct assembler *as, const char *text, const char *end)
{
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *line_end = newline ? newline : end;
		as->line++;
		TRY(parse_line(as, text, line_end));
		text = newline ? newline + 1 : end;
	}
	return as->section >= 0 ? end_section(as) : NULL;
}

struct error *mcode_assemble(const char *text, size_t length_bytes, struct mcode_kernel **ret)
{
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = NULL;
	if (length_bytes > MAX_TEXT_BYTES)
		return error_create(ERR_LIMIT, "microcode text of more than 16 MiB");
	TRY(mcode_kernel_create(&kernel));
	struct assembler as = { .kernel = kernel, .section = -1 };
	struct error *err = parse_text(&as, text, text + length_bytes);
	VEC_FREE(&as.labels);
	VEC_FREE(&as.jumps);
	TRY(err);
	TRY(mcode_validate(kernel));
	*ret = TAKE(kernel);
	return NULL;
}
