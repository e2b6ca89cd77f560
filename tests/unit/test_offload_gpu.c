#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "gpu/buffer.h"
#include "gpu/device.h"
#include "mcode/interp.h"
#include "mcode/program.h"
#include "mcode/sample.h"
#include "mcode/spirv.h"
#include "mcode/text.h"
#include "mcode_random.h"
#include "offload/gpu_run.h"
#include "offload/pixel_cpu.h"
#include "offload/pixel_request.h"

static struct gpu *gpu;
/* If set, runs programs instead of their own shaders. */
static struct offload_gpu_kernel *interpreter;

static int open_gpu(void **state)
{
	struct gpu_params params = { .validate = true };
	struct error *err = gpu_create(&params, &gpu);
	if (err)
		print_message("no GPU: %s\n", error_message(err));
	error_destroy(err);
	return 0;
}

static int close_gpu(void **state)
{
	if (gpu && gpu_messages(gpu))
		fail_msg("validation: %s", gpu_last_message(gpu));
	gpu_destroy(gpu);
	return 0;
}

#define NEED_GPU()                                            \
	do {                                                  \
		if (!gpu || !gpu_info(gpu)->has_all_integers) \
			skip();                               \
	} while (0)

/* Runs n iterations on the interpreter (views) and on the GPU (gpu_bytes instead of the views'
 * own) and compares slots that reductions end in and the number done. False after a fault, when
 * memory need not agree. */
static bool compare(const struct mcode_kernel *kernel, const uint64_t *guest,
		    const struct mcode_view *views, const struct mcode_view *gpu_views,
		    uint64_t n)
{
	AUTO(own_mcode_interp) struct mcode_interp *interp = NULL;
	AUTO(own_offload_gpu_kernel) struct offload_gpu_kernel *compiled = NULL;
	uint64_t slots[MCODE_SLOTS], gpu_slots[MCODE_SLOTS];
	struct offload_gpu_result result;
	bool fault;
	assert_ok(mcode_interp_create(kernel, &interp));
	if (interpreter)
		assert_ok(offload_gpu_interpreter_load(interpreter, kernel));
	else
		assert_ok(offload_gpu_kernel_create(gpu, kernel, &compiled));
	struct offload_gpu_kernel *on_gpu = interpreter ? interpreter : compiled;
	mcode_interp_setup(interp, guest, slots);
	memcpy(gpu_slots, slots, sizeof(slots));
	uint64_t done = mcode_interp_iterate(interp, slots, views, 0, n, &fault);
	assert_ok(offload_gpu_run_staged(on_gpu, gpu_views, gpu_slots, 0, n, &result));
	if (result.done != done || result.fault != fault)
		fail_msg("%s: %lu done (fault %d), expected %lu (%d)", kernel->name,
			 (unsigned long)result.done, result.fault, (unsigned long)done, fault);
	if (!fault)
		assert_memory_equal(gpu_slots, slots, sizeof(slots));
	return !fault;
}

static void compare_golden(uint32_t part, uint32_t parts)
{
	enum { TRIPLES = 200 };
	uint32_t n;
	uint64_t random = 5, *in, *expected, *got;
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = golden_kernel(part, parts, &n);
	assert_ok(error_alloc(TRIPLES * 3, 8, &in));
	assert_ok(error_alloc(TRIPLES * n, 8, &expected));
	assert_ok(error_alloc(TRIPLES * n, 8, &got));
	for (uint32_t i = 0; i < TRIPLES * 3; i++)
		in[i] = random_value(&random);
	uint64_t guest[MCODE_GUEST_REGS] = {
		[MCODE_RDI] = 0x10000, [MCODE_RSI] = 0x2000000, [MCODE_RCX] = TRIPLES
	};
	struct mcode_view views[] = {
		{ (uint8_t *)in, 0x10000, TRIPLES * 24 },
		{ (uint8_t *)expected, 0x2000000, TRIPLES * n * 8 },
	};
	struct mcode_view gpu_views[] = { views[0], views[1] };
	gpu_views[1].bytes = (uint8_t *)got;
	compare(kernel, guest, views, gpu_views, TRIPLES);
	for (uint32_t i = 0; i < TRIPLES * n; i++)
		if (got[i] != expected[i])
			fail_msg("instruction %u, triple %u: %#lx, expected %#lx",
				 i % n * parts + part, i / n, (unsigned long)got[i],
				 (unsigned long)expected[i]);
	free(in);
	free(expected);
	free(got);
}

/* In parts, since a driver's time grows faster than a shader's length. */
static void every_opcode_agrees_with_the_interpreter(void **state)
{
	NEED_GPU();
	for (uint32_t part = 0; part < 16; part++)
		compare_golden(part, 16);
}

static void compare_random(uint64_t seed)
{
	static uint8_t expected[5 * RANDOM_BYTES], got[5 * RANDOM_BYTES];
	struct random_params params = {
		.seed = seed,
		.n_insns = 5 + (uint32_t)(seed * 7 % 50),
		.jumps = seed % 3 == 0,
		.nested = seed % 2,
		.packed = seed & 1,
		.memory = true,
		.aligned = !interpreter,
		.reductions = seed & 2,
		.search = seed % 5 == 4,
	};
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = random_kernel(&params);
	struct mcode_view views[5], gpu_views[5];
	uint64_t guest[MCODE_GUEST_REGS], random = seed;
	random_memory(&random, expected, views, guest);
	memcpy(got, expected, sizeof(got));
	memcpy(gpu_views, views, sizeof(views));
	for (unsigned i = 0; i < 5; i++)
		gpu_views[i].bytes = got + i * RANDOM_BYTES;
	if (compare(kernel, guest, views, gpu_views, RANDOM_ITERATIONS))
		assert_memory_equal(got, expected, sizeof(got));
}

/* Lanes run in any order. */
static void serial_kernels_are_refused(void **state)
{
	struct random_params params = {
		.seed = 1, .n_insns = 9, .reductions = true, .serial = true
	};
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = random_kernel(&params);
	struct offload_gpu_kernel *made = NULL;
	struct error *err;
	(void)state;
	NEED_GPU();
	err = interpreter ? offload_gpu_interpreter_create(gpu, kernel, &made)
			  : offload_gpu_kernel_create(gpu, kernel, &made);
	assert_non_null(err);
	assert_int_equal(error_kind(err), ERR_UNSUPPORTED);
	error_destroy(err);
}

static void random_kernels_agree_with_the_interpreter(void **state)
{
	NEED_GPU();
	for (uint64_t seed = 1; seed <= 12; seed++)
		compare_random(seed);
}

static void samples_agree_over_many_groups(void **state)
{
	enum { N = 20011, BYTES = 4 * N };
	static uint8_t buffers[6][BYTES];
	NEED_GPU();
	for (const struct mcode_sample *sample = mcode_samples; sample->name; sample++) {
		AUTO(own_mcode_kernel) struct mcode_kernel *kernel = NULL;
		const uint8_t bytes[] = { sample->read0, sample->read1, sample->written };
		const uint8_t regs[] = { MCODE_RDI, MCODE_RSI, MCODE_RDX };
		uint64_t guest[MCODE_GUEST_REGS] = { [MCODE_RAX] = sample->a, [MCODE_RCX] = N };
		struct mcode_view views[3], gpu_views[3];
		uint64_t random = 9;
		unsigned n = 0;
		for (unsigned i = 0; i < BYTES; i++)
			buffers[0][i] = buffers[1][i] = (uint8_t)(random_next(&random) % 255);
		buffers[0][15000] = 0xff; /* what find_u8 looks for */
		memset(buffers[2], 0, BYTES);
		memset(buffers[3], 0, BYTES);
		assert_ok(mcode_assemble(sample->text, strlen(sample->text), &kernel));
		for (unsigned i = 0; i < 3; i++) {
			if (!bytes[i])
				continue;
			guest[regs[i]] = 0x100000 * (i + 1);
			views[n] = (struct mcode_view){ buffers[i], 0x100000 * (i + 1), BYTES };
			gpu_views[n] = views[n];
			if (i == 2)
				gpu_views[n].bytes = buffers[3];
			n++;
		}
		compare(kernel, guest, views, gpu_views, N);
		assert_memory_equal(buffers[2], buffers[3], BYTES);
	}
}

static void the_interpreter_in_wgsl_agrees(void **state)
{
	AUTO(own_mcode_kernel) struct mcode_kernel *empty = NULL;
	NEED_GPU();
	if (!offload_pixel_cpu_n_words)
		skip();
	assert_ok(mcode_kernel_create(&empty));
	assert_ok(offload_gpu_interpreter_create(gpu, empty, &interpreter));
	every_opcode_agrees_with_the_interpreter(state);
	random_kernels_agree_with_the_interpreter(state);
	samples_agree_over_many_groups(state);
	offload_gpu_kernel_destroy(TAKE(interpreter));
}

/* c[i] += 3 over two pages, listed in reverse: loads by one page table, stores by another. */
static const char add_text[] =
	".trip v3\n.slots 8\n.input v0 rdi\n.input v3 rcx\n"
	".stream s0 readwrite base v0 stride 4 window 0 4\n.guard\nldi r0, #1\n.body\n"
	"ld.32 r1, s0\nadd.32 r1, r1, #3\nst.32 s0, r1\n";
static const char load_after_store[] =
	".trip v3\n.slots 8\n.input v0 rdi\n.input v3 rcx\n"
	".stream s0 readwrite base v0 stride 4 window 0 4\n.guard\nldi r0, #1\n.body\n"
	"st.32 s0, r0\nld.32 r1, s0\nst.32 s0, r1\n";

static void loads_and_stores_have_their_own_pages(void **state)
{
	enum { WORDS = 2048, PAGE = MCODE_SPIRV_PAGE };
	NEED_GPU();
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = NULL, *other = NULL;
	AUTO(own_offload_gpu_kernel) struct offload_gpu_kernel *compiled = NULL;
	AUTO(own_gpu_buffer) struct gpu_buffer *buffer = NULL;
	struct offload_gpu_result result;
	uint64_t slots[MCODE_SLOTS] = { [0] = 0x10000, [3] = WORDS };
	assert_ok(mcode_assemble(load_after_store, strlen(load_after_store), &other));
	assert_ok(mcode_assemble(add_text, strlen(add_text), &kernel));
	assert_true(pixel_kernel_suits(kernel) && pixel_kernel_loads_first(kernel));
	assert_false(pixel_kernel_loads_first(other));
	assert_ok(offload_gpu_kernel_create_paged(gpu, kernel, 4, &compiled));
	assert_ok(gpu_buffer_create(gpu, GPU_BUFFER_READBACK, 4 * PAGE, &buffer));
	uint32_t *words = gpu_buffer_map(buffer);
	const uint64_t address = 0x10000, page[] = { PAGE, 0, 2 * PAGE, 3 * PAGE };
	const uint32_t first = 0, first_stored = 2;
	struct offload_gpu_memory memory = { .buffer = buffer,
					     .address = &address,
					     .page = page,
					     .first = &first,
					     .first_stored = &first_stored,
					     .n_pages = 4 };
	for (uint32_t round = 0; round < 3; round++) { /* the same objects each time */
		for (uint32_t i = 0; i < WORDS; i++)
			words[i] = i * 7 + round;
		assert_ok(offload_gpu_run(compiled, &memory, slots, 0, WORDS, &result));
		assert_int_equal(result.done, WORDS);
		for (uint32_t i = 0; i < WORDS; i++) {
			uint32_t before = (i ^ 1024) * 7 + round;
			assert_int_equal(words[i], i * 7 + round);
			assert_int_equal(words[WORDS + i], before + 3);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads_and_stores_have_their_own_pages),
		cmocka_unit_test(every_opcode_agrees_with_the_interpreter),
		cmocka_unit_test(serial_kernels_are_refused),
		cmocka_unit_test(random_kernels_agree_with_the_interpreter),
		cmocka_unit_test(samples_agree_over_many_groups),
		cmocka_unit_test(the_interpreter_in_wgsl_agrees),
	};
	return cmocka_run_group_tests(tests, open_gpu, close_gpu);
}
