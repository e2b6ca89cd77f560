/* From blocks to basic blocks:
 *
 *   translated   [ A: 1000..1020 jcc 1008 ]   [ B: 1008..1020 jcc 1008 ]
 *   cut at       1000, 1008
 *   nodes        N0 1000..1008   N1 1008..1020
 *   arcs         N0 -> N1 (as often as A ran), N1 -> N1 (edges A -> B, B -> B), ...
 *
 * A translated block with count c gives c to every node it covers and to the arcs between them;
 * an edge between blocks gives its count to the arc from the last node of the first to the
 * first node of the second. Edges that the first block's last instruction cannot take
 * (interrupts) and the edges of calls and returns are left out; a call gets an arc to the place
 * behind it. */
#include "trace/graph.h"

#include <string.h>
#include <Zydis/Zydis.h>

#include "base/error.h"
#include "base/vec.h"
#include "trace/blocks.h"
#include "trace/profile.h"

struct insn {
	uint64_t gva;
	uint8_t length;
	uint8_t end_kind; /* TRACE_END_FALL for ordinary ones */
	uint8_t class;
	uint64_t target; /* of direct jumps */
};

struct block_use { /* one executed block of this space */
	uint32_t block;
	uint64_t gva, end;
	uint64_t executions;
	uint8_t end_kind;
	uint64_t target;
};

struct builder {
	const struct trace_blocks *blocks;
	VEC(struct block_use) uses; /* sorted by block id */
	VEC(uint64_t) starts; /* sorted, where nodes begin */
	VEC(struct trace_arc) arcs;
	struct trace_graph *graph;
};

static const char *const class_names[] = {
	"alu", "memory", "simd", "float", "privileged", "io"
};

const char *trace_class_name(enum trace_class class)
{
	return class_names[class];
}

static uint8_t end_of(const ZydisDecodedInstruction *insn, bool direct)
{
	switch (insn->meta.category) {
	case ZYDIS_CATEGORY_COND_BR:
		return TRACE_END_BRANCH;
	case ZYDIS_CATEGORY_UNCOND_BR:
		return direct ? TRACE_END_JUMP : TRACE_END_INDIRECT;
	case ZYDIS_CATEGORY_CALL:
		return TRACE_END_CALL;
	case ZYDIS_CATEGORY_RET:
		return insn->mnemonic == ZYDIS_MNEMONIC_RET ? TRACE_END_RETURN
							    : TRACE_END_SYSTEM;
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_INTERRUPT:
		return TRACE_END_SYSTEM;
	default:
		return insn->mnemonic == ZYDIS_MNEMONIC_HLT ? TRACE_END_SYSTEM : TRACE_END_FALL;
	}
}

static uint8_t class_of(const ZydisDecodedInstruction *insn,
			const ZydisDecodedOperand *operands)
{
	switch (insn->meta.category) {
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
		return TRACE_CLASS_IO;
	case ZYDIS_CATEGORY_X87_ALU:
		return TRACE_CLASS_FLOAT;
	default:
		break;
	}
	if (insn->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED)
		return TRACE_CLASS_PRIVILEGED;
	bool vector = false, memory = false, real = false;
	for (int i = 0; i < insn->operand_count_visible; i++) {
		const ZydisDecodedOperand *o = &operands[i];
		ZydisRegisterClass class = o->type == ZYDIS_OPERAND_TYPE_REGISTER
						   ? ZydisRegisterGetClass(o->reg.value)
						   : ZYDIS_REGCLASS_INVALID;
		vector |= class == ZYDIS_REGCLASS_XMM || class == ZYDIS_REGCLASS_YMM ||
			  class == ZYDIS_REGCLASS_ZMM;
		real |= o->element_type == ZYDIS_ELEMENT_TYPE_FLOAT32 ||
			o->element_type == ZYDIS_ELEMENT_TYPE_FLOAT64;
		memory |= o->type == ZYDIS_OPERAND_TYPE_MEMORY &&
			  o->mem.type == ZYDIS_MEMOP_TYPE_MEM;
	}
	if (vector)
		return real ? TRACE_CLASS_FLOAT : TRACE_CLASS_SIMD;
	return memory ? TRACE_CLASS_MEMORY : TRACE_CLASS_ALU;
}

static bool decode(const uint8_t *bytes, size_t n, uint64_t gva, struct insn *ret)
{
	static ZydisDecoder decoder;
	static bool ready;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	if (!ready) {
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
		ready = true;
	}
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, n, &insn, operands)))
		return false;
	bool direct =
		operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && operands[0].imm.is_relative;
	*ret = (struct insn){ .gva = gva, .length = insn.length };
	ret->end_kind = end_of(&insn, direct);
	ret->class = class_of(&insn, operands);
	if (direct)
		ret->target = gva + insn.length + (uint64_t)operands[0].imm.value.s;
	return true;
}

enum trace_class trace_classify(const uint8_t *bytes, size_t n)
{
	unsigned count[TRACE_CLASS_IO + 1] = { 0 };
	struct insn insn;
	for (size_t at = 0; at < n && decode(bytes + at, n - at, at, &insn); at += insn.length)
		count[insn.class]++;
	if (count[TRACE_CLASS_IO])
		return TRACE_CLASS_IO;
	if (count[TRACE_CLASS_PRIVILEGED])
		return TRACE_CLASS_PRIVILEGED;
	if (count[TRACE_CLASS_FLOAT])
		return TRACE_CLASS_FLOAT;
	if (count[TRACE_CLASS_SIMD])
		return TRACE_CLASS_SIMD;
	return count[TRACE_CLASS_MEMORY] ? TRACE_CLASS_MEMORY : TRACE_CLASS_ALU;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static int compare_arcs(const void *a, const void *b)
{
	const struct trace_arc *x = a, *y = b;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x->to < y->to ? -1 : x->to > y->to;
}

static const struct insn *last_insn(const struct trace_block *block, struct insn *storage)
{
	struct insn insn = { .gva = block->gva };
	for (size_t at = 0; at < block->n_bytes; at += insn.length)
		if (!decode(block->bytes + at, block->n_bytes - at, block->gva + at, &insn))
			return NULL;
	*storage = insn;
	return storage;
}

enum trace_end trace_block_end(const struct trace_block *block)
{
	struct insn storage;
	const struct insn *last = block->bytes ? last_insn(block, &storage) : NULL;
	return last ? (enum trace_end)last->end_kind : TRACE_END_INDIRECT;
}

static void describe_use(struct block_use *use, const struct trace_block *block)
{
	struct insn storage;
	const struct insn *last = block->bytes ? last_insn(block, &storage) : NULL;
	use->gva = block->gva;
	use->end = block->gva + (block->n_bytes ? block->n_bytes : 1);
	use->end_kind = last ? last->end_kind : TRACE_END_INDIRECT;
	use->target = last ? last->target : 0;
}

/* Counts per block of this space, then the list of blocks that ran. */
static struct error *collect_uses(struct builder *b, const struct trace_edge *edges, size_t n,
				  uint32_t space)
{
	AUTO(own_free) uint64_t *counts = NULL;
	TRY(error_alloc(b->blocks->count + 1, sizeof(*counts), &counts));
	for (size_t i = 0; i < n; i++)
		if (edges[i].space == space && edges[i].to < b->blocks->count)
			counts[edges[i].to] += edges[i].count;
	for (uint32_t i = 0; i < b->blocks->count; i++) {
		struct block_use use = { .block = i, .executions = counts[i] };
		if (!counts[i])
			continue;
		describe_use(&use, &b->blocks->items[i]);
		if (!VEC_PUSH(&b->uses, use) || !VEC_PUSH(&b->starts, use.gva))
			return error_create(ERR_MEMORY, "out of memory");
	}
	return NULL;
}

static const struct block_use *find_use(const struct builder *b, uint32_t block)
{
	size_t low = 0, high = b->uses.count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (b->uses.items[middle].block < block)
			low = middle + 1;
		else
			high = middle;
	}
	return low < b->uses.count && b->uses.items[low].block == block ? &b->uses.items[low]
									: NULL;
}

static void sort_starts(struct builder *b)
{
	size_t kept = 0;
	if (!b->starts.count)
		return;
	qsort(b->starts.items, b->starts.count, sizeof(uint64_t), compare_u64);
	for (size_t i = 0; i < b->starts.count; i++)
		if (!i || b->starts.items[i] != b->starts.items[i - 1])
			b->starts.items[kept++] = b->starts.items[i];
	b->starts.count = kept;
}

/* Index of the first start at or after gva. */
static size_t lower_start(const struct builder *b, uint64_t gva)
{
	size_t low = 0, high = b->starts.count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (b->starts.items[middle] < gva)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A block whose bytes run past the end of the address space has no last node: no arc leaves it.
 */
static bool add_arc(struct builder *b, uint32_t from, uint32_t to, uint64_t count)
{
	if (from >= b->starts.count || to >= b->starts.count)
		return true;
	return VEC_PUSH(&b->arcs, (struct trace_arc){ from, to, count });
}

/* Fills in one node from the part of a block that starts at byte `at`. */
static void describe_node(struct trace_node *node, const struct trace_block *block,
			  uint64_t end)
{
	struct insn insn;
	size_t at = (size_t)(node->gva - block->gva);
	size_t stop = (size_t)(end - block->gva);
	node->end = end;
	node->end_kind = TRACE_END_FALL;
	if (!block->bytes) {
		node->end_kind = TRACE_END_INDIRECT;
		node->n_insns = block->n_insns;
		return;
	}
	node->class = (uint8_t)trace_classify(block->bytes + at, stop - at);
	while (at < stop &&
	       decode(block->bytes + at, block->n_bytes - at, block->gva + at, &insn)) {
		node->n_insns++;
		node->end_kind = insn.end_kind;
		at += insn.length;
	}
}

/* Gives a block's executions to the nodes it covers and to the arcs between them. */
static struct error *cover(struct builder *b, const struct block_use *use)
{
	size_t first = lower_start(b, use->gva);
	for (size_t i = first; i < b->starts.count && b->starts.items[i] < use->end; i++) {
		struct trace_node *node = &b->graph->nodes[i];
		bool more = i + 1 < b->starts.count && b->starts.items[i + 1] < use->end;
		uint64_t end = more ? b->starts.items[i + 1] : use->end;
		if (!node->executions || end > node->end) {
			node->n_insns = 0;
			node->block = use->block;
			describe_node(node, &b->blocks->items[use->block], end);
		}
		node->executions += use->executions;
		if (i == first)
			node->entries += use->executions;
		if (more && !add_arc(b, (uint32_t)i, (uint32_t)i + 1, use->executions))
			return error_create(ERR_MEMORY, "out of memory");
	}
	return NULL;
}

static uint32_t last_node(const struct builder *b, const struct block_use *use)
{
	return (uint32_t)lower_start(b, use->end) - 1;
}

/* Whether the last instruction of a block can lead to this address in the same function. */
static bool edge_is_flow(const struct block_use *from, uint64_t to)
{
	switch (from->end_kind) {
	case TRACE_END_FALL:
		return to == from->end;
	case TRACE_END_JUMP:
		return to == from->target;
	case TRACE_END_BRANCH:
		return to == from->target || to == from->end;
	case TRACE_END_INDIRECT:
		return true;
	default:
		return false;
	}
}

static struct error *add_edges(struct builder *b, const struct trace_edge *edges, size_t n,
			       uint32_t space)
{
	for (size_t i = 0; i < n; i++) {
		const struct trace_edge *e = &edges[i];
		if (e->space != space || e->from == TRACE_NO_BLOCK)
			continue;
		const struct block_use *from = find_use(b, e->from), *to = find_use(b, e->to);
		if (!from || !to || !edge_is_flow(from, to->gva))
			continue;
		if (!add_arc(b, last_node(b, from), (uint32_t)lower_start(b, to->gva),
			     e->count))
			return error_create(ERR_MEMORY, "out of memory");
	}
	return NULL;
}

/* A call goes on behind itself, if that place ever ran. */
static struct error *add_returns(struct builder *b)
{
	for (size_t i = 0; i < b->starts.count; i++) {
		const struct trace_node *node = &b->graph->nodes[i];
		size_t next = lower_start(b, node->end);
		if (node->end_kind != TRACE_END_CALL || next >= b->starts.count ||
		    b->starts.items[next] != node->end)
			continue;
		if (!add_arc(b, (uint32_t)i, (uint32_t)next, node->executions))
			return error_create(ERR_MEMORY, "out of memory");
	}
	return NULL;
}

static struct error *finish_arcs(struct builder *b)
{
	struct trace_graph *g = b->graph;
	size_t kept = 0;
	if (b->arcs.count)
		qsort(b->arcs.items, b->arcs.count, sizeof(struct trace_arc), compare_arcs);
	for (size_t i = 0; i < b->arcs.count; i++) {
		struct trace_arc *last = kept ? &b->arcs.items[kept - 1] : NULL;
		if (last && !compare_arcs(last, &b->arcs.items[i]))
			last->count += b->arcs.items[i].count;
		else
			b->arcs.items[kept++] = b->arcs.items[i];
	}
	TRY(error_alloc(g->n_nodes + 1, sizeof(*g->first_arc), &g->first_arc));
	for (size_t i = 0; i < kept; i++)
		g->first_arc[b->arcs.items[i].from + 1]++;
	for (uint32_t i = 0; i < g->n_nodes; i++)
		g->first_arc[i + 1] += g->first_arc[i];
	g->arcs = TAKE(b->arcs.items);
	g->n_arcs = (uint32_t)kept;
	return NULL;
}

static struct error *build(struct builder *b, const struct trace_edge *edges, size_t n_edges,
			   uint32_t space)
{
	TRY(collect_uses(b, edges, n_edges, space));
	sort_starts(b);
	b->graph->space = space;
	b->graph->n_nodes = (uint32_t)b->starts.count;
	TRY(error_alloc(b->starts.count + 1, sizeof(*b->graph->nodes), &b->graph->nodes));
	for (size_t i = 0; i < b->starts.count; i++)
		b->graph->nodes[i].gva = b->starts.items[i];
	for (size_t i = 0; i < b->uses.count; i++)
		TRY(cover(b, &b->uses.items[i]));
	TRY(add_edges(b, edges, n_edges, space));
	TRY(add_returns(b));
	return finish_arcs(b);
}

struct error *trace_graph_create(const struct trace_blocks *blocks,
				 const struct trace_edge *edges, size_t n_edges, uint32_t space,
				 struct trace_graph **ret)
{
	AUTO(own_trace_graph) struct trace_graph *graph = NULL;
	TRY(error_alloc(1, sizeof(*graph), &graph));
	struct builder b = { .blocks = blocks, .graph = graph };
	struct error *err = build(&b, edges, n_edges, space);
	VEC_FREE(&b.uses);
	VEC_FREE(&b.starts);
	VEC_FREE(&b.arcs);
	if (err)
		return err;
	*ret = TAKE(graph);
	return NULL;
}

void trace_graph_destroy(struct trace_graph *graph)
{
	if (!graph)
		return;
	free(graph->nodes);
	free(graph->arcs);
	free(graph->first_arc);
	free(graph);
}

uint32_t trace_graph_find(const struct trace_graph *graph, uint64_t gva)
{
	uint32_t low = 0, high = graph->n_nodes;
	while (low < high) {
		uint32_t middle = (low + high) / 2;
		if (graph->nodes[middle].gva <= gva)
			low = middle + 1;
		else
			high = middle;
	}
	return low && gva < graph->nodes[low - 1].end ? low - 1 : UINT32_MAX;
}
