#include "learn/synth_window.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "mcode/alu.h"

static bool is_constant(const struct ssa *ssa, int value)
{
	return value >= 0 && ssa->values.items[value].insn.op == MCODE_LDI;
}

static bool can_open(const struct ssa *ssa, int value)
{
	return value >= 0 &&
	       (ssa_is_pure(&ssa->values.items[value]) || is_constant(ssa, value));
}

static bool has(const int *list, unsigned count, int value)
{
	for (unsigned i = 0; i < count; i++)
		if (list[i] == value)
			return true;
	return false;
}

/* Grows a window upwards, always through the youngest value at its edge. */
struct growth {
	const struct ssa *ssa;
	unsigned n_nodes, n_edge;
	int nodes[WINDOW_NODES], edge[WINDOW_NODES * 2];
};

static void add_edge(struct growth *g, int value)
{
	if (value == SSA_NONE || has(g->edge, g->n_edge, value) ||
	    has(g->nodes, g->n_nodes, value))
		return;
	g->edge[g->n_edge++] = value;
}

static void open_node(struct growth *g, int value)
{
	const struct ssa_value *v = &g->ssa->values.items[value];
	g->nodes[g->n_nodes++] = value;
	add_edge(g, v->a);
	add_edge(g, v->b);
	add_edge(g, v->d);
}

static bool grow(struct growth *g)
{
	int best = -1;
	for (unsigned i = 0; i < g->n_edge; i++)
		if (can_open(g->ssa, g->edge[i]) && (best < 0 || g->edge[i] > g->edge[best]))
			best = (int)i;
	if (best < 0 || g->n_nodes == WINDOW_NODES)
		return false;
	int value = g->edge[best];
	g->edge[best] = g->edge[--g->n_edge];
	open_node(g, value);
	return true;
}

static int by_value(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

int window_constant(const struct window *window, uint64_t value)
{
	for (unsigned i = 0; i < window->n_constants; i++)
		if (window->constants[i] == value)
			return (int)i;
	return -1;
}

static void note_constant(struct window *window, const struct mcode_insn *insn)
{
	if (insn->has_imm && window->n_constants < SYNTH_CONSTANTS - 2 &&
	    window_constant(window, insn->imm) < 0)
		window->constants[window->n_constants++] = insn->imm;
}

/* What nobody outside needs goes with the window. */
static void weigh(const struct ssa *ssa, const unsigned *uses, struct window *window)
{
	bool dies[WINDOW_NODES] = { false };
	for (unsigned i = window->n_nodes; i-- > 0;) {
		unsigned inside = 0;
		for (unsigned j = i + 1; j < window->n_nodes; j++) {
			const struct ssa_value *v = &ssa->values.items[window->nodes[j]];
			if (dies[j])
				inside += (unsigned)((v->a == window->nodes[i]) +
						     (v->b == window->nodes[i]) +
						     (v->d == window->nodes[i]));
		}
		dies[i] = i == window->n_nodes - 1 || inside == uses[window->nodes[i]];
		if (!dies[i])
			continue;
		window->weight += synth_weight(&ssa->values.items[window->nodes[i]].insn);
		window->insns++;
	}
}

static bool make_window(const struct growth *g, const unsigned *uses, struct window *ret)
{
	if (g->n_edge > SYNTH_LEAVES || g->n_edge == 0)
		return false;
	memset(ret, 0, sizeof(*ret));
	ret->n_nodes = g->n_nodes;
	ret->n_leaves = g->n_edge;
	memcpy(ret->nodes, g->nodes, g->n_nodes * sizeof(int));
	qsort(ret->nodes, ret->n_nodes, sizeof(int), by_value);
	memcpy(ret->leaves, g->edge, g->n_edge * sizeof(int));
	qsort(ret->leaves, ret->n_leaves, sizeof(int), by_value);
	for (unsigned i = 0; i < ret->n_leaves; i++)
		ret->leaf_bits[i] =
			ret->leaves[i] >= 0 ? g->ssa->values.items[ret->leaves[i]].bits : 64;
	for (unsigned i = 0; i < ret->n_nodes; i++)
		note_constant(ret, &g->ssa->values.items[ret->nodes[i]].insn);
	weigh(g->ssa, uses, ret);
	return ret->weight >
		       synth_weight(&g->ssa->values.items[ret->nodes[ret->n_nodes - 1]].insn) ||
	       ret->insns > 1;
}

unsigned window_list(const struct ssa *ssa, const unsigned *uses, int root, struct window *ret,
		     unsigned most)
{
	struct growth g = { .ssa = ssa };
	unsigned count = 0;
	open_node(&g, root);
	while (grow(&g)) {
		struct window window;
		if (!make_window(&g, uses, &window))
			continue;
		if (count == most && ret[most - 1].weight >= window.weight)
			continue;
		unsigned at = count < most ? count++ : most - 1;
		for (; at > 0 && ret[at - 1].weight < window.weight; at--)
			ret[at] = ret[at - 1];
		ret[at] = window;
	}
	return count;
}

static uint64_t value_of(const struct window *window, const uint64_t *values,
			 const uint64_t *leaves, int value)
{
	for (unsigned i = 0; i < window->n_leaves; i++)
		if (window->leaves[i] == value)
			return leaves[i];
	for (unsigned i = 0; i < window->n_nodes; i++)
		if (window->nodes[i] == value)
			return values[i];
	return 0;
}

uint64_t window_eval(const struct ssa *ssa, const struct window *window, const uint64_t *leaves)
{
	uint64_t values[WINDOW_NODES];
	for (unsigned i = 0; i < window->n_nodes; i++) {
		const struct ssa_value *v = &ssa->values.items[window->nodes[i]];
		uint64_t b =
			v->insn.has_imm ? v->insn.imm : value_of(window, values, leaves, v->b);
		values[i] = mcode_alu(v->insn.op, v->insn.width_code, v->insn.packed,
				      value_of(window, values, leaves, v->a), b,
				      value_of(window, values, leaves, v->d));
	}
	return values[window->n_nodes - 1];
}

/* Text that stops growing when it is full. */
struct text {
	char *at;
	size_t left;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format,
						      ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(text->at, text->left, format, args);
	va_end(args);
	size_t step = n < 0 || (size_t)n >= text->left ? text->left : (size_t)n;
	text->at += step;
	text->left -= step;
}

static void put_operand(struct text *text, const struct window *window, int value)
{
	if (value == SSA_NONE)
		return;
	for (unsigned i = 0; i < window->n_leaves; i++)
		if (window->leaves[i] == value)
			put(text, " l%u", i);
	for (unsigned i = 0; i < window->n_nodes; i++)
		if (window->nodes[i] == value)
			put(text, " t%u", i);
}

static void put_constant(struct text *text, const struct window *window, uint64_t value,
			 bool open)
{
	if (open)
		put(text, " #%c", 'A' + window_constant(window, value));
	else
		put(text, " #%" PRIx64, value);
}

static void put_op(struct text *text, const struct mcode_insn *insn)
{
	put(text, "%s%s%u", mcode_op_info(insn->op)->name, insn->packed ? ".p" : ".",
	    mcode_width_bits(insn->width_code));
}

bool window_key(const struct ssa *ssa, const struct window *window, bool open, char *ret)
{
	struct text text = { ret, WINDOW_KEY };
	for (unsigned i = 0; i < window->n_leaves; i++)
		put(&text, "l%u:%u ", i, window->leaf_bits[i]);
	for (unsigned i = 0; i < window->n_nodes; i++) {
		const struct ssa_value *v = &ssa->values.items[window->nodes[i]];
		put(&text, "; ");
		put_op(&text, &v->insn);
		put_operand(&text, window, v->d);
		put_operand(&text, window, v->a);
		put_operand(&text, window, v->b);
		if (v->insn.has_imm && open && window_constant(window, v->insn.imm) < 0)
			return false;
		if (v->insn.has_imm)
			put_constant(&text, window, v->insn.imm, open);
	}
	return text.left > 0;
}

bool window_program_write(const struct window *window, const struct synth_program *program,
			  bool open, char *ret)
{
	struct text text = { ret, WINDOW_PROGRAM };
	*ret = 0;
	for (unsigned i = 0; i < program->count; i++) {
		const struct mcode_insn *insn = &program->insns[i];
		int number = window_constant(window, insn->imm);
		put(&text, "%u %u %u %u ", insn->op, insn->width_code, insn->packed, insn->rs1);
		if (!insn->has_imm)
			put(&text, "r%u;", insn->rs2);
		else if (!open)
			put(&text, "#%" PRIx64 ";", insn->imm);
		else if (number >= 0)
			put(&text, "c%x;", (unsigned)number);
		else
			return false;
	}
	return text.left > 0;
}

/* One instruction of a stored program; what does not decode or reads nothing is refused. */
static bool read_insn(const struct window *window, const char *text, unsigned position,
		      struct mcode_insn *ret)
{
	unsigned op, width, packed, rs1;
	char kind;
	uint64_t last;
	if (sscanf(text, "%u %u %u %u %c%" SCNx64, &op, &width, &packed, &rs1, &kind, &last) !=
		    6 ||
	    op > 255 || width > 3 || packed > 1 || !mcode_op_info((uint8_t)op))
		return false;
	unsigned form = mcode_op_info((uint8_t)op)->form;
	uint32_t pixel = op | width << 13 | (packed ? MCODE_G_PACKED << 8 : 0);
	bool temp = position > 0;
	if ((form != MCODE_FORM_RR && form != MCODE_FORM_RRR) || op == MCODE_CMOV ||
	    !mcode_decode(&pixel, 1, 0, ret, NULL))
		return false;
	ret->rs1 = (uint8_t)rs1;
	if (kind == 'r')
		ret->rs2 = (uint8_t)last;
	else if (kind == '#' || (kind == 'c' && last < window->n_constants))
		ret->imm = kind == 'c' ? window->constants[last] : last;
	else
		return false;
	ret->has_imm = kind != 'r';
	bool a_ok = rs1 < window->n_leaves || (temp && rs1 == SYNTH_TEMP);
	bool b_ok = ret->has_imm || last < window->n_leaves || (temp && last == SYNTH_TEMP);
	return a_ok && b_ok && !(ret->has_imm && form == MCODE_FORM_RR);
}

bool window_program_read(const struct window *window, const char *text,
			 struct synth_program *ret)
{
	ret->count = 0;
	while (*text) {
		if (ret->count == SYNTH_PROGRAM ||
		    !read_insn(window, text, ret->count, &ret->insns[ret->count]))
			return false;
		ret->count++;
		text = strchr(text, ';');
		if (!text)
			return false;
		text++;
	}
	return true;
}
