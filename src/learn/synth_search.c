/* Depth 1: each form over the leaves, with constants. Depth 2: each different result of depth 1
 * is given a name, and depth 1 is searched again for an instruction that uses it. Constants of
 * the last instruction are worked out where the operation can be turned round (x ^ c = y gives
 * c), so that they need not be guessed; all examples then confirm or refuse them. */
#include "learn/synth_search.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "mcode/alu.h"

enum { TEMPS_MAX = 6000, FORMS_MAX = 400, TABLE = 1 << 14 };

struct form {
	uint8_t op, width_code, weight;
	bool packed, unary, commutes;
};

struct forms {
	unsigned count;
	struct form items[FORMS_MAX];
};

/* Products of 64 bits keep compilers from doing several iterations at once: dearer than the two
 * instructions that a narrower one may need around it. */
unsigned synth_weight(const struct mcode_insn *insn)
{
	bool is_wide_product = insn->op == MCODE_MUL && !insn->packed &&
			       mcode_width_bits(insn->width_code) == 64;
	return 2u * mcode_op_info(insn->op)->cost + 1 + (is_wide_product ? 3 : 0);
}

uint64_t synth_eval(const struct mcode_insn *insn, uint64_t a, uint64_t b)
{
	return mcode_alu(insn->op, insn->width_code, insn->packed, a,
			 insn->has_imm ? insn->imm : b, 0);
}

uint64_t synth_run(const struct synth_program *program, const uint64_t *leaves)
{
	uint64_t values[SYNTH_LEAVES + SYNTH_PROGRAM] = { 0 };
	memcpy(values, leaves, SYNTH_LEAVES * sizeof(*values));
	for (unsigned i = 0; i < program->count; i++)
		values[SYNTH_TEMP + i] =
			synth_eval(&program->insns[i], values[program->insns[i].rs1],
				   values[program->insns[i].rs2]);
	return values[SYNTH_TEMP + program->count - 1];
}

static void add_form(struct forms *forms, const struct mcode_op_info *info, unsigned width_code,
		     bool packed)
{
	uint32_t pixel = info->code | (width_code << 13) | (packed ? MCODE_G_PACKED << 8 : 0);
	struct mcode_insn insn;
	if (forms->count == FORMS_MAX || !mcode_decode(&pixel, 1, 0, &insn, NULL))
		return;
	forms->items[forms->count++] =
		(struct form){ .op = info->code,
			       .width_code = (uint8_t)width_code,
			       .weight = (uint8_t)synth_weight(&insn),
			       .packed = packed,
			       .unary = info->form == MCODE_FORM_RR,
			       .commutes = info->flags & MCODE_COMMUTES };
}

/* Divisions never pay, and CMOV has three operands. */
static bool is_searched(const struct mcode_op_info *info)
{
	return (info->form == MCODE_FORM_RR || info->form == MCODE_FORM_RRR) &&
	       info->class != MCODE_CLASS_DIV && info->code != MCODE_CMOV;
}

static const struct forms *all_forms(void)
{
	static struct forms forms;
	if (forms.count)
		return &forms;
	for (unsigned op = 0; op < 256; op++) {
		const struct mcode_op_info *info = mcode_op_info((uint8_t)op);
		if (!info || !is_searched(info))
			continue;
		for (unsigned w = 0; w < 4; w++) {
			add_form(&forms, info, w, false);
			add_form(&forms, info, w, true);
		}
	}
	return &forms;
}

/* One operand's values over the examples. */
struct operand {
	uint8_t number;
	const uint64_t *values;
};

struct search {
	const struct synth_spec *spec;
	const struct forms *forms;
	struct synth_program *best; /* count 0: none yet */
	unsigned limit; /* weight to stay below */
	struct mcode_insn first; /* of a program of two */
	unsigned first_weight; /* 0: looking for programs of one */
};

static bool fits(const struct search *s, const struct mcode_insn *insn, const uint64_t *a,
		 const uint64_t *b)
{
	for (unsigned i = 0; i < s->spec->n_examples; i++)
		if (synth_eval(insn, a[i], b ? b[i] : 0) != s->spec->out[i])
			return false;
	return true;
}

static void keep(struct search *s, const struct mcode_insn *insn)
{
	unsigned weight = s->first_weight + synth_weight(insn);
	if (weight >= s->limit)
		return;
	s->limit = weight;
	s->best->count = 0;
	if (s->first_weight)
		s->best->insns[s->best->count++] = s->first;
	s->best->insns[s->best->count++] = *insn;
}

static struct mcode_insn insn_of(const struct form *form, uint8_t a, uint8_t b)
{
	return (struct mcode_insn){ .op = form->op,
				    .width_code = form->width_code,
				    .packed = form->packed,
				    .rs1 = a,
				    .rs2 = b };
}

/* Which of a's lanes an output lane is in all examples; 0x80..: it is always 0. */
static bool solve_perm(const struct search *s, const struct form *form, const uint64_t *a,
		       uint64_t *ret)
{
	unsigned lane = mcode_width_bits(form->width_code), count = 64 / lane;
	uint64_t mask = mcode_width_mask(form->width_code), result = 0;
	for (unsigned to = 0; to < count; to++) {
		unsigned from = 0;
		for (; from <= count; from++) {
			bool same = true;
			for (unsigned i = 0; same && i < s->spec->n_examples; i++)
				same = (from == count ? 0 : a[i] >> (from * lane) & mask) ==
				       (s->spec->out[i] >> (to * lane) & mask);
			if (same)
				break;
		}
		if (from > count)
			return false;
		uint64_t index = from == count ? 1ull << (lane - 1) : from;
		result |= index << (to * lane);
	}
	*ret = result;
	return true;
}

/* A constant that the first example demands; all examples are checked after. */
static bool solve_constant(const struct search *s, const struct form *form, const uint64_t *a,
			   uint64_t *ret)
{
	const struct synth_spec *spec = s->spec;
	uint64_t ones = 0, zeros = ~0ull;
	switch (form->op) {
	case MCODE_PERM:
		return solve_perm(s, form, a, ret);
	case MCODE_XOR:
		*ret = a[0] ^ spec->out[0];
		return !form->packed;
	case MCODE_ADD:
		*ret = spec->out[0] - a[0];
		return !form->packed;
	case MCODE_AND:
		for (unsigned i = 0; i < spec->n_examples; i++)
			ones |= spec->out[i];
		*ret = ones;
		return !form->packed;
	case MCODE_OR:
		for (unsigned i = 0; i < spec->n_examples; i++)
			zeros &= spec->out[i];
		*ret = zeros;
		return !form->packed;
	default:
		return false;
	}
}

static bool is_shift(uint8_t op)
{
	return op == MCODE_SHL || op == MCODE_SHR || op == MCODE_SAR || op == MCODE_ROL ||
	       op == MCODE_ROR;
}

static void try_imm(struct search *s, const struct form *form, const struct operand *a,
		    uint64_t imm)
{
	struct mcode_insn insn = insn_of(form, a->number, 0);
	insn.has_imm = true;
	if (!form->packed) { /* as the assembler would have it: sign-extended */
		unsigned drop = 64 - mcode_width_bits(form->width_code);
		imm = (uint64_t)((int64_t)(imm << drop) >> drop);
	}
	insn.imm = imm;
	if (fits(s, &insn, a->values, NULL))
		keep(s, &insn);
}

static void try_constants(struct search *s, const struct form *form, const struct operand *a)
{
	uint64_t solved;
	if (solve_constant(s, form, a->values, &solved)) {
		try_imm(s, form, a, solved);
		return;
	}
	if (is_shift(form->op) && !form->packed) {
		for (unsigned n = 1; n < mcode_width_bits(form->width_code); n++)
			try_imm(s, form, a, n);
		return;
	}
	for (unsigned i = 0; i < s->spec->n_constants; i++)
		try_imm(s, form, a, s->spec->constants[i]);
}

static void try_pair(struct search *s, const struct form *form, const struct operand *a,
		     const struct operand *b)
{
	struct mcode_insn insn = insn_of(form, a->number, b->number);
	if (fits(s, &insn, a->values, b->values))
		keep(s, &insn);
}

/* One instruction that uses `must` (or anything, when it is NULL) and gives the result. */
static void finish(struct search *s, const struct operand *operands, unsigned count,
		   const struct operand *must)
{
	for (unsigned f = 0; f < s->forms->count; f++) {
		const struct form *form = &s->forms->items[f];
		if (s->first_weight + form->weight >= s->limit)
			continue;
		for (unsigned i = 0; i < count; i++) {
			const struct operand *a = &operands[i];
			bool has_must = !must || a == must;
			if (form->unary && has_must) {
				struct mcode_insn insn = insn_of(form, a->number, 0);
				if (fits(s, &insn, a->values, NULL))
					keep(s, &insn);
			}
			if (form->unary)
				continue;
			if (has_must)
				try_constants(s, form, a);
			for (unsigned j = form->commutes ? i : 0; j < count; j++)
				if (has_must || &operands[j] == must)
					try_pair(s, form, a, &operands[j]);
		}
	}
}

/* Results of the first instruction, told apart by their values. */
struct temps {
	unsigned count;
	uint16_t table[TABLE]; /* number + 1 */
	struct {
		struct mcode_insn insn;
		uint64_t values[SYNTH_EXAMPLES];
	} items[TEMPS_MAX];
};

static void add_temp(struct temps *temps, const struct synth_spec *spec,
		     const struct mcode_insn *insn, const uint64_t *a, const uint64_t *b)
{
	uint64_t values[SYNTH_EXAMPLES], hash = 0;
	size_t bytes = spec->n_examples * sizeof(*values);
	bool leaf[SYNTH_LEAVES] = { true, true }, constant = true;
	for (unsigned i = 0; i < spec->n_examples; i++) {
		values[i] = synth_eval(insn, a[i], b ? b[i] : 0);
		hash = (hash ^ values[i]) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 29;
		constant &= values[i] == values[0];
		for (unsigned l = 0; l < spec->n_leaves; l++)
			leaf[l] &= values[i] == spec->in[l][i];
	}
	for (unsigned l = 0; l < spec->n_leaves; l++)
		constant |= leaf[l];
	if (constant || temps->count == TEMPS_MAX)
		return;
	unsigned at = (unsigned)(hash % TABLE);
	for (; temps->table[at]; at = (at + 1) % TABLE)
		if (!memcmp(temps->items[temps->table[at] - 1].values, values, bytes))
			return;
	temps->table[at] = (uint16_t)(temps->count + 1);
	temps->items[temps->count].insn = *insn;
	memcpy(temps->items[temps->count++].values, values, bytes);
}

static void make_temps_of(const struct search *s, const struct form *form,
			  const struct operand *operands, unsigned count, struct temps *temps)
{
	for (unsigned i = 0; i < count; i++) {
		const struct operand *a = &operands[i];
		struct mcode_insn insn = insn_of(form, a->number, 0);
		if (form->unary) {
			add_temp(temps, s->spec, &insn, a->values, NULL);
			continue;
		}
		for (unsigned j = form->commutes ? i : 0; j < count; j++) {
			insn.rs2 = operands[j].number;
			add_temp(temps, s->spec, &insn, a->values, operands[j].values);
		}
		insn.rs2 = 0;
		insn.has_imm = true;
		for (unsigned c = 0; c < s->spec->n_constants; c++) {
			insn.imm = s->spec->constants[c];
			add_temp(temps, s->spec, &insn, a->values, NULL);
		}
	}
}

static void search_two(struct search *s, const struct operand *operands, unsigned count)
{
	AUTO(own_free) struct temps *temps = calloc(1, sizeof(*temps));
	struct operand all[SYNTH_LEAVES + 1];
	if (!temps)
		return;
	for (unsigned f = 0; f < s->forms->count; f++)
		if (s->forms->items[f].weight + 1u < s->limit)
			make_temps_of(s, &s->forms->items[f], operands, count, temps);
	memcpy(all, operands, count * sizeof(*all));
	for (unsigned t = 0; t < temps->count; t++) {
		s->first = temps->items[t].insn;
		s->first_weight = synth_weight(&s->first);
		if (s->first_weight + 1u >= s->limit)
			continue;
		all[count] = (struct operand){ SYNTH_TEMP, temps->items[t].values };
		finish(s, all, count + 1, &all[count]);
	}
}

bool synth_search(const struct synth_spec *spec, struct synth_program *ret)
{
	struct operand operands[SYNTH_LEAVES];
	struct search s = {
		.spec = spec, .forms = all_forms(), .best = ret, .limit = spec->weight
	};
	ret->count = 0;
	for (unsigned i = 0; i < spec->n_leaves; i++)
		operands[i] = (struct operand){ (uint8_t)i, spec->in[i] };
	finish(&s, operands, spec->n_leaves, NULL);
	if (!ret->count || s.limit > 4)
		search_two(&s, operands, spec->n_leaves);
	return ret->count > 0;
}
