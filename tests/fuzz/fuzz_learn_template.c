/* Templates of the library on any bytes: what can be read as a program runs on any inputs, and
 * says itself again. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "learn/ssa.h"
#include "learn/synth_window.h"
#include "mcode/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Values of one and two leaves, with constants and without. */
static const char body[] = ".slots 5\n.trip v0\n.body\n\tget r1, v1\n\tget r2, v2\n"
			   "\tshr r3, r1, #24\n\tmov.8 r3, r3\n\tadd.8 r4, r3, #7\n"
			   "\txor r5, r4, r2\n\tand.32 r6, r5, #0xff00ff\n"
			   "\tminu.16x4 r7, r6, r2\n\tput v3, r7\n\tput v4, r4\n\thalt\n";

enum { MOST_VALUES = 64 };
static unsigned uses[MOST_VALUES + 1];

static struct ssa *make_body(void)
{
	static struct ssa *ssa;
	struct mcode_kernel *kernel = NULL;
	if (ssa)
		return ssa;
	CHECK(!mcode_assemble(body, sizeof(body) - 1, &kernel));
	CHECK(!ssa_create(&kernel->code[MCODE_BODY], &ssa));
	CHECK(ssa->values.count <= MOST_VALUES);
	ssa_count_uses(ssa, uses);
	mcode_kernel_destroy(kernel);
	return ssa;
}

static void try_window(const struct window *window, const char *text)
{
	struct synth_program program = { 0 }, again = { 0 };
	char written[WINDOW_PROGRAM];
	if (!window_program_read(window, text, &program))
		return;
	uint64_t leaves[SYNTH_LEAVES] = { 0 };
	for (unsigned i = 0; i < 8 && program.count; i++) {
		for (unsigned l = 0; l < SYNTH_LEAVES; l++)
			leaves[l] = leaves[l] * 6364136223846793005u + 1442695040888963407u + l;
		synth_run(&program, leaves);
	}
	if (!window_program_write(window, &program, false, written))
		return;
	CHECK(window_program_read(window, written, &again));
	CHECK(again.count == program.count);
	for (unsigned i = 0; i < program.count; i++)
		CHECK(again.insns[i].op == program.insns[i].op &&
		      again.insns[i].imm == program.insns[i].imm &&
		      again.insns[i].rs1 == program.insns[i].rs1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const struct ssa *ssa = make_body();
	char text[WINDOW_PROGRAM];
	size_t length = size < sizeof(text) - 1 ? size : sizeof(text) - 1;
	memcpy(text, bytes, length);
	text[length] = 0;
	for (int root = 0; root < (int)ssa->values.count; root++) {
		struct window windows[4];
		unsigned n = window_list(ssa, uses, root, windows, 4);
		for (unsigned i = 0; i < n; i++)
			try_window(&windows[i], text);
	}
	return 0;
}
