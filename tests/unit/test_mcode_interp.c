#include "test.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mcode/alu.h"
#include "mcode/interp.h"
#include "mcode/program.h"
#include "mcode/text.h"

static struct mcode_kernel *assemble(const char *text)
{
	struct mcode_kernel *kernel = NULL;
	assert_ok(mcode_assemble(text, strlen(text), &kernel));
	return kernel;
}

/* The golden file was computed by other means (mcode_ops.py). */
static void every_opcode_computes_its_golden_lines(void **state)
{
	AUTO(own_file) FILE *file = fopen(GOLDEN_DIR "/mcode_ops.txt", "re");
	char line[256];
	unsigned lines = 0;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		uint64_t a, b, d, expected;
		char text[512];
		char *semicolon = strstr(line, " ;");
		assert_int_equal(sscanf(semicolon,
					" ; %" SCNx64 " %" SCNx64 " %" SCNx64 " -> %" SCNx64,
					&a, &b, &d, &expected),
				 4);
		*semicolon = 0;
		snprintf(text, sizeof(text),
			 ".slots 4\n.trip v0\n.input v0 rax\n.input v1 rcx\n.input v2 rdx\n"
			 ".exit rbx v3\n.guard\nldi r0, #1\n.finish\n"
			 "get r1, v0\nget r2, v1\nget r3, v2\n%s\nput v3, r3\n",
			 line);
		AUTO(own_mcode_kernel) struct mcode_kernel *kernel = assemble(text);
		AUTO(own_mcode_interp) struct mcode_interp *interp = NULL;
		assert_ok(mcode_interp_create(kernel, &interp));
		uint64_t guest[MCODE_GUEST_REGS] = { a, b, d };
		assert_true(mcode_interp_run(interp, guest, NULL, 0, NULL, NULL));
		if (guest[MCODE_RBX] != expected)
			fail_msg("%s ; %#" PRIx64 " %#" PRIx64 " %#" PRIx64 " gives %#" PRIx64
				 ", not %#" PRIx64,
				 line, a, b, d, guest[MCODE_RBX], expected);
		lines++;
	}
	assert_true(lines > 1000);
}

static const char sum_text[] = ".slots 4\n.trip v1\n"
			       ".input v0 rsi\n.input v1 rcx\n.input v2 rax\n"
			       ".exit rax v2\n.exit rsi v0\n.exit rcx v1\n"
			       ".stream s0 read base v0 stride 1 window 0 1\n"
			       ".reduce add v2 v3\n"
			       ".guard\n get r1, v1\n cmpltu r0, r1, #1000\n ldi r1, #1\n"
			       ".body\n ld.8 r1, s0\n put v3, r1\n"
			       ".finish\n get r1, v0\n add r1, r1, r0\n put v0, r1\n"
			       " get r1, v1\n sub r1, r1, r0\n put v1, r1\n";

static void a_reduction_in_parts_equals_the_whole(void **state)
{
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = assemble(sum_text);
	AUTO(own_mcode_interp) struct mcode_interp *interp = NULL;
	uint8_t bytes[100];
	uint64_t sum = 5, done;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		sum += bytes[i] = (uint8_t)(i * 37);
	struct mcode_view view = { bytes, 0x7000, sizeof(bytes) };
	assert_ok(mcode_interp_create(kernel, &interp));
	uint64_t guest[MCODE_GUEST_REGS] = {
		[MCODE_RAX] = 5, [MCODE_RSI] = 0x7000, [MCODE_RCX] = 100
	};
	for (unsigned part = 0; guest[MCODE_RCX]; part++) {
		assert_true(mcode_interp_run(interp, guest, &view, 33, &done, NULL));
		assert_int_equal(done, part < 3 ? 33 : 1);
	}
	assert_true(guest[MCODE_RAX] == sum);
	assert_true(guest[MCODE_RSI] == 0x7064);
}

static void a_refused_guard_changes_nothing_and_says_why(void **state)
{
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = assemble(sum_text);
	AUTO(own_mcode_interp) struct mcode_interp *interp = NULL;
	uint64_t guest[MCODE_GUEST_REGS] = { [MCODE_RCX] = 1000 }, reason = 0;
	assert_ok(mcode_interp_create(kernel, &interp));
	assert_false(mcode_interp_guard(interp, guest, &reason));
	assert_int_equal(reason, 1);
	assert_false(mcode_interp_run(interp, guest, NULL, 10, NULL, NULL));
	assert_int_equal(guest[MCODE_RCX], 1000);
}

static void a_fault_ends_before_its_iteration(void **state)
{
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = assemble(sum_text);
	AUTO(own_mcode_interp) struct mcode_interp *interp = NULL;
	uint8_t bytes[10] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
	struct mcode_view view = { bytes, 0x7000, sizeof(bytes) };
	uint64_t guest[MCODE_GUEST_REGS] = { [MCODE_RSI] = 0x7000, [MCODE_RCX] = 100 }, done;
	bool fault = false;
	assert_ok(mcode_interp_create(kernel, &interp));
	assert_true(mcode_interp_run(interp, guest, &view, 100, &done, &fault));
	assert_int_equal(done, 10);
	assert_true(fault);
	assert_int_equal(guest[MCODE_RAX], 10);
	assert_int_equal(guest[MCODE_RCX], 90);
}

static void a_search_stops_at_the_first_hit(void **state)
{
	AUTO(own_mcode_kernel)
	struct mcode_kernel *kernel = assemble(
		".slots 3\n.trip v1\n.search v2\n.input v0 rdi\n.input v1 rcx\n.exit rdi v0\n"
		".stream s0 read base v0 stride 1 window 0 1\n.guard\nldi r0, #1\n"
		".body\nld.8 r1, s0\ncmpeq.8 r1, r1, #0\nput v2, r1\n"
		".finish\nget r1, v0\nadd r1, r1, r0\nput v0, r1\n");
	AUTO(own_mcode_interp) struct mcode_interp *interp = NULL;
	char text[] = "hello";
	struct mcode_view view = { (uint8_t *)text, 0x100, sizeof(text) };
	uint64_t guest[MCODE_GUEST_REGS] = { [MCODE_RDI] = 0x100, [MCODE_RCX] = UINT64_MAX };
	uint64_t done;
	bool fault = true;
	assert_ok(mcode_interp_create(kernel, &interp));
	assert_true(mcode_interp_run(interp, guest, &view, UINT64_MAX, &done, &fault));
	assert_int_equal(done, 5);
	assert_false(fault);
	assert_int_equal(guest[MCODE_RDI], 0x105);
}

static void fuel_bounds_backward_jumps(void **state)
{
	AUTO(own_mcode_kernel)
	struct mcode_kernel *kernel =
		assemble(".slots 2\n.trip v0\n.fuel 9\n.input v0 rcx\n.exit rax v1\n"
			 ".guard\nldi r0, #1\n"
			 ".finish\nagain:\nadd r1, r1, #1\nput v1, r1\njmp again\n");
	AUTO(own_mcode_interp) struct mcode_interp *interp = NULL;
	uint64_t guest[MCODE_GUEST_REGS] = { 0 };
	assert_ok(mcode_interp_create(kernel, &interp));
	assert_true(mcode_interp_run(interp, guest, NULL, 0, NULL, NULL));
	assert_int_equal(guest[MCODE_RAX], 10);
}

/* Each memory opcode, two iterations, then one whose index leaves the table. */
static void memory_opcodes_do_what_the_table_says(void **state)
{
	AUTO(own_mcode_kernel)
	struct mcode_kernel *kernel =
		assemble(".slots 4\n.trip v1\n.input v0 rdi\n.input v1 rcx\n.input v2 "
			 "rsi\n.input v3 rdx\n"
			 ".stream s0 readwrite base v0 stride 8 window 0 8\n"
			 ".stream s1 read base v2 length v3\n.guard\nldi r0, #1\n.body\n"
			 "ld.16 r1, s0+2\n"
			 "ldx.8 r2, s1, r0+1\n"
			 "st.8 s0, r2\n"
			 "cmpeq r3, r0, #1\n"
			 "stc.16 s0, r3+4, r1\n"
			 "ldi r4, #6\n"
			 "stx.8 s0, r4+1, r2\n");
	AUTO(own_mcode_interp) struct mcode_interp *interp = NULL;
	uint8_t memory[24] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
	static const uint8_t expected[24] = { 0xa1, 1, 2,  3,  4,  5,  6,  0xa1,
					      0xa2, 9, 10, 11, 10, 11, 14, 0xa2 };
	uint8_t table[3] = { 0xa0, 0xa1, 0xa2 };
	struct mcode_view views[] = { { memory, 0x100, sizeof(memory) },
				      { table, 0x900, sizeof(table) } };
	uint64_t guest[MCODE_GUEST_REGS] = {
		[MCODE_RDI] = 0x100, [MCODE_RCX] = 3, [MCODE_RSI] = 0x900, [MCODE_RDX] = 3
	};
	uint64_t done;
	bool fault = false;
	assert_ok(mcode_interp_create(kernel, &interp));
	assert_true(mcode_interp_run(interp, guest, views, 3, &done, &fault));
	assert_int_equal(done, 2);
	assert_true(fault);
	assert_memory_equal(memory, expected, sizeof(memory));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_opcode_computes_its_golden_lines),
		cmocka_unit_test(a_reduction_in_parts_equals_the_whole),
		cmocka_unit_test(a_refused_guard_changes_nothing_and_says_why),
		cmocka_unit_test(a_fault_ends_before_its_iteration),
		cmocka_unit_test(a_search_stops_at_the_first_hit),
		cmocka_unit_test(fuel_bounds_backward_jumps),
		cmocka_unit_test(memory_opcodes_do_what_the_table_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
