/* mov (%rsi,%rax,4),%r8d; xor (%rdx,%rax,4),%r8d; mov %r8d,(%rdi,%rax,4); add $1,%rax;
 * cmp %rax,%rcx; jne: written by hand, to test the plugin without the learner. */
#include "plugin/kernel_abi.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 };

static int apart(uint64_t a, uint64_t b, uint64_t bytes)
{
	return a + bytes <= b || b + bytes <= a;
}

uint32_t plan(const struct gb_regs *in, struct gb_plan *out)
{
	uint64_t i = in->gpr[RAX], n = in->gpr[RCX] - i, bytes = n * 4;
	uint64_t from = in->gpr[RSI] + i * 4, with = in->gpr[RDX] + i * 4,
		 to = in->gpr[RDI] + i * 4;
	out->iterations = n;
	if (n < 2)
		return GB_PLAN_SHORT;
	if (n >> 40 || from + bytes < from || with + bytes < with || to + bytes < to)
		return GB_PLAN_WRAP;
	if (!apart(to, from, bytes) || !apart(to, with, bytes))
		return GB_PLAN_OVERLAP;
	out->n_streams = 3;
	out->stream[0] = (struct gb_stream){ from, 4, 4, 0 };
	out->stream[1] = (struct gb_stream){ with, 4, 4, 0 };
	out->stream[2] = (struct gb_stream){ to, 4, 4, 1 };
	return GB_PLAN_GO;
}

uint64_t run(struct gb_regs *state, uint8_t *const host[], uint64_t n)
{
	const uint32_t *from = (const uint32_t *)host[0], *with = (const uint32_t *)host[1];
	uint32_t *restrict to = (uint32_t *)host[2];
	for (uint64_t i = 0; i < n; i++)
		to[i] = from[i] ^ with[i];
	state->gpr[R8] = to[n - 1];
	state->gpr[RAX] += n;
	return n;
}
