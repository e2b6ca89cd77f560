#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mcode/image.h"
#include "mcode/program.h"
#include "mcode/text.h"
#include "mcode_random.h"

static struct random_params params_of(uint64_t seed)
{
	return (struct random_params){
		.seed = seed,
		.n_insns = 1 + (uint32_t)seed % 120,
		.jumps = seed & 1,
		.packed = seed & 2,
		.memory = seed & 4,
		.reductions = seed & 8,
		.search = seed & 16,
		.serial = seed & 32,
	};
}

static void text_round_trips(void **state)
{
	for (uint64_t seed = 0; seed < 500; seed++) {
		struct random_params params = params_of(seed);
		AUTO(own_mcode_kernel) struct mcode_kernel *kernel = random_kernel(&params);
		AUTO(own_mcode_kernel) struct mcode_kernel *back = NULL;
		AUTO(own_free) char *text = NULL;
		assert_ok(mcode_disassemble_string(kernel, &text));
		assert_ok(mcode_assemble(text, strlen(text), &back));
		assert_true(mcode_kernel_equal(kernel, back));
	}
}

static void picture_round_trips(void **state)
{
	for (uint64_t seed = 0; seed < 300; seed++) {
		struct random_params params = params_of(seed);
		AUTO(own_mcode_kernel) struct mcode_kernel *kernel = random_kernel(&params);
		AUTO(own_mcode_kernel) struct mcode_kernel *back = NULL;
		AUTO(own_free) uint8_t *png = NULL;
		size_t size;
		assert_ok(mcode_png_encode(kernel, &png, &size));
		assert_ok(mcode_png_decode(png, size, &back));
		assert_true(mcode_kernel_equal(kernel, back));
	}
}

/* Whatever one flipped word gives, it is refused or a valid kernel; never a crash. */
static void damaged_pictures_are_refused_or_valid(void **state)
{
	struct random_params params = params_of(31);
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = random_kernel(&params);
	AUTO(own_free) uint32_t *pixels = NULL;
	uint32_t count, refused = 0;
	uint64_t random = 7;
	assert_ok(mcode_pack(kernel, &pixels, &count));
	for (unsigned i = 0; i < 4000; i++) {
		AUTO(own_mcode_kernel) struct mcode_kernel *back = NULL;
		uint32_t at = (uint32_t)(random_next(&random) % count);
		uint32_t saved = pixels[at];
		pixels[at] ^= 1u << random_next(&random) % 32;
		struct error *err = mcode_unpack(pixels, count, &back);
		refused += err != NULL;
		error_destroy(err);
		pixels[at] = saved;
	}
	assert_true(refused > 1000);
	AUTO(own_mcode_kernel) struct mcode_kernel *cut = NULL;
	assert_error(mcode_unpack(pixels, count - 1, &cut), ERR_BAD_DATA);
	assert_error(mcode_png_decode((const uint8_t *)pixels, count, &cut), ERR_BAD_DATA);
}

static void refuses(const char *text, const char *message_part)
{
	struct mcode_kernel *kernel = NULL;
	struct error *err = mcode_assemble(text, strlen(text), &kernel);
	assert_non_null(err);
	if (!strstr(error_message(err), message_part))
		fail_msg("%s: got \"%s\"", text, error_message(err));
	error_destroy(err);
}

static void assembler_says_what_is_wrong(void **state)
{
	refuses("add r1, r2, r3\n", "line 1: an instruction before");
	refuses(".body\nadd r1, r2\n", "line 2: wrong number of operands");
	refuses(".body\nadd r1, r2, r32\n", "line 2: operand not understood");
	refuses(".body\nadd.7 r1, r2, r3\n", "no such instruction");
	refuses(".body\nldi.8 r1, #3\n", "no widths");
	refuses(".body\njmp nowhere\n", "line 2: no such label");
	refuses(".body\nx:\nx:\n", "line 3: label defined twice");
	refuses(".body\nld r1, s0\n", "no such stream");
	refuses(".body\nget r1, v1\n", "slot out of range");
	refuses(".body\nsplat r1, r2\n", "only packed");
	refuses(".body\nldi r1, #0x10000000000000000\n", "operand not understood");
	refuses(".bogus\n", "no such directive");
	refuses(".input v0\n", "expected a guest register");
	refuses(".stream s1 read base v0 stride 4 window 0 4\n", "expected .stream");
	refuses(".body\nnop\n.setup\n.body\n", "section given twice");
}

/* Every line of the golden file disassembles to itself; every opcode of the table that computes
 * has a line. */
static void golden_lines_disassemble_to_themselves(void **state)
{
	AUTO(own_file) FILE *file = fopen(GOLDEN_DIR "/mcode_ops.txt", "re");
	bool seen[256] = { false };
	char line[256];
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		AUTO(own_mcode_kernel) struct mcode_kernel *kernel = NULL;
		struct mcode_insn insn;
		char text[512], back[MCODE_LINE];
		*strstr(line, " ;") = 0;
		int length = snprintf(text, sizeof(text), ".body\n%s\n", line);
		assert_ok(mcode_assemble(text, (size_t)length, &kernel));
		const struct mcode_code *body = &kernel->code[MCODE_BODY];
		assert_true(mcode_decode(body->pixels, body->count, 0, &insn, NULL));
		mcode_insn_text(&insn, back);
		assert_string_equal(line, back);
		seen[insn.op] = true;
	}
	for (unsigned op = 0; op < 256; op++) {
		const struct mcode_op_info *info = mcode_op_info((uint8_t)op);
		if (info && info->form >= MCODE_FORM_RR && info->form <= MCODE_FORM_RI &&
		    !seen[op])
			fail_msg("no golden line for %s", info->name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_round_trips),
		cmocka_unit_test(picture_round_trips),
		cmocka_unit_test(damaged_pictures_are_refused_or_valid),
		cmocka_unit_test(assembler_says_what_is_wrong),
		cmocka_unit_test(golden_lines_disassemble_to_themselves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
