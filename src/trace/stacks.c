/* Folded stacks. Each vCPU has one stack of callers per address space it is seen in (user code;
 * the kernel has one of its own per vCPU). A block that ends in a call pushes the address
 * behind it, a block that starts at one of the uppermost pushed addresses pops down to it.
 * Stacks are kept as a tree of functions; a node adds up instructions. */
#include "trace/export.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/vec.h"
#include "plugin/control.h"
#include "plugin/record.h"
#include "trace/blocks.h"
#include "trace/graph.h"
#include "trace/profile.h"

enum { MAX_DEPTH = 256, MAX_SPACES = 64, SEARCH_DEPTH = 16, SHORT_CALL = 32 };
enum { END_SHORT_CALL = 100 }; /* beside enum trace_end */

struct frame_node {
	uint64_t function; /* address of its first block */
	uint64_t cr3;
	uint64_t instructions;
	uint32_t parent, child, sibling; /* 0: none; node 0 is the root */
};

struct call_stack {
	uint64_t cr3; /* 0: the kernel */
	unsigned depth;
	uint64_t return_to[MAX_DEPTH];
	uint32_t node[MAX_DEPTH + 1]; /* node[0]: outermost function */
	bool called; /* the next block begins a function */
	bool returned; /* the last block ended in a return */
	bool thunk; /* a short call came before */
};

struct lane {
	uint64_t partial[GB_REC_MAX_WORDS];
	unsigned n_partial;
	uint64_t cr3;
	uint64_t clock;
	uint32_t last; /* block */
	struct call_stack stacks[MAX_SPACES];
	uint64_t used[MAX_SPACES];
	unsigned n_stacks;
};

struct trace_stacks {
	const struct trace_blocks *blocks;
	uint8_t *ends; /* enum trace_end per block */
	VEC(struct frame_node) nodes;
	struct lane *lanes[GB_MAX_VCPUS];
};

/* call rel32 to a place just behind itself. */
static bool is_short_call(const struct trace_block *b)
{
	if (b->n_bytes < 5 || b->bytes[b->n_bytes - 5] != 0xe8)
		return false;
	return load_u32(b->bytes + b->n_bytes - 4) - 1 < SHORT_CALL;
}

static uint8_t end_of_block(const struct trace_block *b)
{
	enum trace_end end = trace_block_end(b);
	return end == TRACE_END_CALL && is_short_call(b) ? END_SHORT_CALL : (uint8_t)end;
}

struct error *trace_stacks_create(const struct trace_blocks *blocks, struct trace_stacks **ret)
{
	AUTO(own_trace_stacks) struct trace_stacks *s = NULL;
	TRY(error_alloc(1, sizeof(*s), &s));
	TRY(error_alloc(blocks->count + 1, 1, &s->ends));
	s->blocks = blocks;
	for (uint32_t i = 0; i < blocks->count; i++)
		s->ends[i] = end_of_block(&blocks->items[i]);
	if (!VEC_PUSH(&s->nodes, (struct frame_node){ 0 }))
		return error_create(ERR_MEMORY, "out of memory");
	*ret = TAKE(s);
	return NULL;
}

void trace_stacks_destroy(struct trace_stacks *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < GB_MAX_VCPUS; i++)
		free(s->lanes[i]);
	free(s->ends);
	VEC_FREE(&s->nodes);
	free(s);
}

static struct call_stack *stack_of(struct lane *lane, uint64_t cr3)
{
	unsigned oldest = 0;
	lane->clock++;
	for (unsigned i = 0; i < lane->n_stacks; i++) {
		if (lane->stacks[i].cr3 == cr3) {
			lane->used[i] = lane->clock;
			return &lane->stacks[i];
		}
		if (lane->used[i] < lane->used[oldest])
			oldest = i;
	}
	unsigned at = lane->n_stacks < MAX_SPACES ? lane->n_stacks++ : oldest;
	lane->stacks[at] = (struct call_stack){ .cr3 = cr3, .called = true };
	lane->used[at] = lane->clock;
	return &lane->stacks[at];
}

/* Child of parent for a function; made if it is new. 0 without memory. */
static uint32_t child_of(struct trace_stacks *s, uint32_t parent, uint64_t cr3,
			 uint64_t function)
{
	uint32_t at = s->nodes.items[parent].child;
	for (; at; at = s->nodes.items[at].sibling)
		if (s->nodes.items[at].function == function && s->nodes.items[at].cr3 == cr3)
			return at;
	struct frame_node fresh = { .function = function, .cr3 = cr3, .parent = parent };
	fresh.sibling = s->nodes.items[parent].child;
	if (!VEC_PUSH(&s->nodes, fresh))
		return 0;
	s->nodes.items[parent].child = (uint32_t)s->nodes.count - 1;
	return (uint32_t)s->nodes.count - 1;
}

/* A return that jumps to one of the uppermost return addresses ends all calls above it. */
static bool pop_to(struct call_stack *stack, uint64_t gva)
{
	for (unsigned back = 1; back <= SEARCH_DEPTH && back <= stack->depth; back++) {
		if (stack->return_to[stack->depth - back] == gva) {
			stack->depth -= back;
			return true;
		}
	}
	return false;
}

/* Where a return led that is not to a caller. */
static void lost_return(struct call_stack *stack)
{
	if (!stack->thunk)
		stack->depth = 0;
	stack->called = true;
}

static void enter_function(struct trace_stacks *s, struct call_stack *stack, uint64_t gva)
{
	uint32_t parent = stack->depth ? stack->node[stack->depth - 1] : 0;
	stack->node[stack->depth] = child_of(s, parent, stack->cr3, gva);
	stack->called = false;
}

static void add_block(struct trace_stacks *s, struct lane *lane, uint32_t id)
{
	lane->last = id;
	if (id >= s->blocks->count)
		return;
	const struct trace_block *b = &s->blocks->items[id];
	struct call_stack *stack = stack_of(lane, b->flags & GB_BLOCK_KERNEL ? 0 : lane->cr3);
	if (!stack->called && !pop_to(stack, b->gva) && stack->returned)
		lost_return(stack);
	if (stack->called)
		enter_function(s, stack, b->gva);
	s->nodes.items[stack->node[stack->depth]].instructions += b->n_insns;
	stack->returned = s->ends[id] == TRACE_END_RETURN;
	stack->thunk = s->ends[id] == END_SHORT_CALL || (stack->thunk && stack->returned);
	if (s->ends[id] == TRACE_END_CALL && stack->depth < MAX_DEPTH) {
		stack->return_to[stack->depth++] = b->gva + b->n_bytes;
		stack->node[stack->depth] = stack->node[stack->depth - 1];
		stack->called = true;
	}
}

/* A block that repeats itself neither calls nor returns. */
static void add_repeats(struct trace_stacks *s, struct lane *lane, uint64_t times)
{
	if (lane->last >= s->blocks->count)
		return;
	const struct trace_block *b = &s->blocks->items[lane->last];
	struct call_stack *stack = stack_of(lane, b->flags & GB_BLOCK_KERNEL ? 0 : lane->cr3);
	s->nodes.items[stack->node[stack->depth]].instructions += times * b->n_insns;
}

static void add_record(struct trace_stacks *s, struct lane *lane, const uint64_t *words)
{
	switch (gb_record_kind(words[0])) {
	case GB_REC_BLOCK:
		add_block(s, lane, gb_record_block(words[0]));
		return;
	case GB_REC_REPEAT:
		add_repeats(s, lane, gb_record_payload(words[0]));
		return;
	case GB_REC_CR3:
		lane->cr3 = gb_record_payload(words[0]) << 12;
		return;
	case GB_REC_DROP: /* what was missed may have called or returned */
		lane->n_stacks = 0;
		lane->last = TRACE_NO_BLOCK;
		return;
	default:
		return;
	}
}

struct error *trace_stacks_add(struct trace_stacks *s, unsigned vcpu, const uint64_t *words,
			       size_t n)
{
	vcpu %= GB_MAX_VCPUS;
	if (!s->lanes[vcpu])
		TRY(error_alloc(1, sizeof(struct lane), &s->lanes[vcpu]));
	struct lane *lane = s->lanes[vcpu];
	for (size_t i = 0; i < n; i++) {
		lane->partial[lane->n_partial++] = words[i];
		unsigned length = gb_record_words(lane->partial[0]);
		if (length > lane->n_partial)
			continue;
		if (length)
			add_record(s, lane, lane->partial);
		lane->n_partial = 0;
	}
	return NULL;
}

static void write_names(const struct trace_stacks *s, uint32_t at, FILE *out, trace_namer *name,
			void *user)
{
	uint32_t path[MAX_DEPTH + 2];
	unsigned depth = 0;
	for (; at && depth < MAX_DEPTH + 2; at = s->nodes.items[at].parent)
		path[depth++] = at;
	while (depth) {
		const struct frame_node *node = &s->nodes.items[path[--depth]];
		char text[256] = "";
		name(user, node->cr3, node->function, text, sizeof(text));
		for (char *p = text; *p; p++)
			if (*p == ';' || *p == ' ' || *p == '\n')
				*p = '_';
		if (text[0])
			fputs(text, out);
		else
			fprintf(out, "0x%" PRIx64, node->function);
		fputc(depth ? ';' : ' ', out);
	}
}

struct error *trace_stacks_write(const struct trace_stacks *s, FILE *out, trace_namer *name,
				 void *user)
{
	for (uint32_t i = 1; i < s->nodes.count; i++) {
		if (!s->nodes.items[i].instructions)
			continue;
		write_names(s, i, out, name, user);
		fprintf(out, "%" PRIu64 "\n", s->nodes.items[i].instructions);
	}
	return ferror(out) ? error_system(errno, "cannot write folded stacks") : NULL;
}
