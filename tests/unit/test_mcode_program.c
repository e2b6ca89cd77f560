#include "test.h"

#include <string.h>

#include "mcode/program.h"
#include "mcode/validate.h"

static void table_names_are_found_in_either_case(void **state)
{
	const struct mcode_op_info *info = mcode_op_by_name("mulhu", 5);
	assert_non_null(info);
	assert_int_equal(info->code, MCODE_MULHU);
	assert_ptr_equal(info, mcode_op_by_name("MULHU", 5));
	assert_ptr_equal(info, mcode_op_info(MCODE_MULHU));
	assert_null(mcode_op_by_name("mul", 2));
	assert_null(mcode_op_by_name("mulhux", 6));
	assert_null(mcode_op_info(0xff));
}

static void round_trip(const struct mcode_insn *insn, unsigned n_pixels)
{
	struct mcode_code code = { 0 };
	struct mcode_insn back;
	assert_ok(mcode_emit(&code, insn));
	assert_int_equal(code.count, n_pixels);
	assert_true(mcode_decode(code.pixels, code.count, 0, &back, NULL));
	struct mcode_insn expected = *insn;
	expected.n_pixels = (uint8_t)n_pixels;
	assert_int_equal(back.op, expected.op);
	assert_int_equal(back.width_code, expected.width_code);
	assert_int_equal(back.packed, expected.packed);
	assert_int_equal(back.rd, expected.rd);
	assert_int_equal(back.rs1, expected.rs1);
	assert_int_equal(back.rs2, expected.rs2);
	assert_int_equal(back.has_imm, expected.has_imm);
	assert_true(back.imm == expected.imm);
	for (uint32_t cut = 1; cut < n_pixels; cut++)
		assert_false(mcode_decode(code.pixels, cut, 0, &back, NULL));
	mcode_code_free(&code);
}

static void instructions_survive_encoding(void **state)
{
	round_trip(&(struct mcode_insn){ .op = MCODE_ADD, .rd = 31, .rs1 = 30, .rs2 = 29 }, 1);
	round_trip(&(struct mcode_insn){ .op = MCODE_ADD,
					 .width_code = MCODE_W8,
					 .packed = true,
					 .has_imm = true,
					 .imm = (uint64_t)-2 },
		   2);
	round_trip(
		&(struct mcode_insn){
			.op = MCODE_LDI, .rd = 3, .has_imm = true, .imm = 0x80000000u },
		3);
	round_trip(&(struct mcode_insn){ .op = MCODE_LDX,
					 .width_code = MCODE_W16,
					 .rd = 1,
					 .rs1 = 31,
					 .rs2 = 7,
					 .has_imm = true,
					 .imm = (uint64_t)-64 },
		   2);
	round_trip(&(struct mcode_insn){ .op = MCODE_PUT, .rd = 1, .rs1 = 255 }, 1);
}

static void the_plain_form_is_the_plain_pixel(void **state)
{
	struct mcode_code code = { 0 };
	assert_ok(mcode_emit(
		&code, &(struct mcode_insn){ .op = MCODE_ADD, .rd = 1, .rs1 = 2, .rs2 = 3 }));
	assert_int_equal(code.pixels[0], 0x03020102);
	mcode_code_free(&code);
}

static void nonsense_does_not_decode(void **state)
{
	static const uint32_t bad[][3] = {
		{ 0x000000ff }, /* no such opcode */
		{ 0x20000002 }, /* rs2 = 32 */
		{ 0x00200002 }, /* rs1 = 32 */
		{ 0x00008002 }, /* packed lanes of 64 bits */
		{ 0x00000048 }, /* SPLAT without the packed bit */
		{ 0x00000006 }, /* JMP without a target */
		{ 0x80000006, 0xffffffff }, /* JMP to a negative target */
		{ 0x40000002 }, /* 64-bit mark alone */
		{ 0xc0000002, 1, 0 }, /* long form of a short immediate */
		{ 0x80000001, 1 }, /* MOV takes no immediate */
		{ 0x00006044 }, /* BSWAP of 8 bits */
		{ 0x00002008 }, /* LDI has no widths */
	};
	struct mcode_insn insn;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *why = NULL;
		assert_false(mcode_decode(bad[i], 3, 0, &insn, &why));
		assert_non_null(why);
	}
}

static struct mcode_kernel *xor_kernel(void)
{
	struct mcode_kernel *kernel = NULL;
	assert_ok(mcode_kernel_create(&kernel));
	strcpy(kernel->name, "xor");
	kernel->n_slots = 3;
	kernel->trip_slot = 2;
	kernel->n_inputs = 1;
	kernel->inputs[0] = (struct mcode_binding){ MCODE_RCX, 2 };
	kernel->n_streams = 1;
	kernel->streams[0] = (struct mcode_stream){
		.base_slot = 0,
		.stride_slot = MCODE_NO_SLOT,
		.length_slot = MCODE_NO_SLOT,
		.flags = MCODE_STREAM_READ,
		.stride = 4,
		.high = 4,
	};
	assert_ok(mcode_emit(
		&kernel->code[MCODE_BODY],
		&(struct mcode_insn){ .op = MCODE_LD, .width_code = MCODE_W32, .rd = 1 }));
	return kernel;
}

static void validator_accepts_and_copy_is_equal(void **state)
{
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = xor_kernel();
	AUTO(own_mcode_kernel) struct mcode_kernel *copy = NULL;
	assert_ok(mcode_validate(kernel));
	assert_ok(mcode_kernel_copy(kernel, &copy));
	assert_true(mcode_kernel_equal(kernel, copy));
	copy->code[MCODE_BODY].pixels[0] ^= 0x100;
	assert_false(mcode_kernel_equal(kernel, copy));
}

/* Each line breaks the kernel in one way that the validator must see. */
#define REFUSES(...)                                                               \
	do {                                                                       \
		AUTO(own_mcode_kernel) struct mcode_kernel *kernel = xor_kernel(); \
		__VA_ARGS__;                                                       \
		assert_error(mcode_validate(kernel), ERR_BAD_DATA);                \
	} while (0)

static void validator_refuses(void **state)
{
	REFUSES(kernel->n_slots = 0);
	REFUSES(kernel->n_slots = 257);
	REFUSES(kernel->n_inputs = 65);
	REFUSES(kernel->trip_slot = 3);
	REFUSES(kernel->search_slot = 3);
	REFUSES(kernel->inputs[0].guest = MCODE_GUEST_REGS);
	REFUSES(kernel->inputs[0].slot = 3);
	REFUSES(kernel->n_streams = 0);
	REFUSES(kernel->streams[0].base_slot = 3);
	REFUSES(kernel->streams[0].high = 3);
	REFUSES(kernel->streams[0].low = 1);
	REFUSES(kernel->streams[0].flags = MCODE_STREAM_WRITE);
	REFUSES(kernel->streams[0].flags = MCODE_STREAM_READ | MCODE_STREAM_REGION);
	REFUSES(kernel->streams[0].stride_slot = 1);
	REFUSES(memset(kernel->name, 'x', sizeof(kernel->name)));
	REFUSES(kernel->name[0] = '\n');
	REFUSES(kernel->code[MCODE_BODY].pixels[0] = 0xff);
	REFUSES(kernel->n_reductions = 1);
	/* state, in a kernel of any order; and state that would move a stream */
	REFUSES(kernel->reductions[kernel->n_reductions++] =
			(struct mcode_reduction){ .op = MCODE_MOV, .acc_slot = 1 });
	REFUSES(kernel->serial = true;
		kernel->reductions[kernel->n_reductions++] = (struct mcode_reduction){
			.op = MCODE_MOV, .acc_slot = kernel->streams[0].base_slot });
	REFUSES(assert_ok(mcode_emit(&kernel->code[MCODE_SETUP],
				     &(struct mcode_insn){ .op = MCODE_LD })));
	REFUSES(assert_ok(mcode_emit(
		&kernel->code[MCODE_BODY],
		&(struct mcode_insn){ .op = MCODE_JMP, .has_imm = true, .imm = 2 })));
	REFUSES(assert_ok(mcode_emit(&kernel->code[MCODE_BODY],
				     &(struct mcode_insn){ .op = MCODE_GET, .rs1 = 3 })));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_names_are_found_in_either_case),
		cmocka_unit_test(instructions_survive_encoding),
		cmocka_unit_test(the_plain_form_is_the_plain_pixel),
		cmocka_unit_test(nonsense_does_not_decode),
		cmocka_unit_test(validator_accepts_and_copy_is_equal),
		cmocka_unit_test(validator_refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
