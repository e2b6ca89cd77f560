#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mcode/interp.h"
#include "mcode/native.h"
#include "mcode/program.h"
#include "mcode/sample.h"
#include "mcode/text.h"
#include "mcode/work_dir.h"
#include "mcode_random.h"
#include "plugin/kernel_abi.h"

static struct mcode_native *compile(const struct mcode_kernel *kernel,
				    enum mcode_native_target target)
{
	struct mcode_image image = { 0 };
	struct mcode_native *native = NULL;
	assert_ok(mcode_native_compile(kernel, target, &image));
	assert_ok(mcode_native_load(&image, &native));
	mcode_image_free(&image);
	return native;
}

/* Guest registers as the plugin holds them, and back. */
static struct gb_regs regs_of(const uint64_t *guest)
{
	struct gb_regs regs;
	memcpy(regs.gpr, guest, sizeof(regs.gpr));
	memcpy(regs.xmm, guest + MCODE_XMM, sizeof(regs.xmm));
	return regs;
}

/* host pointers as the plugin makes them from a plan. */
static void hosts_of(const struct gb_plan *plan, const struct mcode_view *views, uint8_t **host)
{
	for (uint32_t i = 0; i < plan->n_streams; i++)
		host[i] = views[i].bytes + (plan->stream[i].gva - views[i].address);
}

static void every_opcode_agrees_with_the_interpreter(void **state)
{
	enum { TRIPLES = 200 };
	uint32_t n;
	uint64_t random = 3, *in, *expected, *got;
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = golden_kernel(0, 1, &n);
	assert_ok(error_alloc(TRIPLES * 3, 8, &in));
	assert_ok(error_alloc(TRIPLES * n, 8, &expected));
	assert_ok(error_alloc(TRIPLES * n, 8, &got));
	for (uint32_t i = 0; i < TRIPLES * 3; i++)
		in[i] = random_value(&random);
	AUTO(own_mcode_interp) struct mcode_interp *interp = NULL;
	assert_ok(mcode_interp_create(kernel, &interp));
	uint64_t guest[MCODE_GUEST_REGS] = {
		[MCODE_RDI] = 0x10000, [MCODE_RSI] = 0x2000000, [MCODE_RCX] = TRIPLES
	};
	struct mcode_view views[] = {
		{ (uint8_t *)in, 0x10000, TRIPLES * 24 },
		{ (uint8_t *)expected, 0x2000000, TRIPLES * n * 8 },
	};
	assert_true(mcode_interp_run(interp, guest, views, TRIPLES, NULL, NULL));
	AUTO(own_mcode_native) struct mcode_native *native = compile(kernel, MCODE_NATIVE_HOST);
	struct gb_regs regs = regs_of(guest);
	uint8_t *host[] = { (uint8_t *)in, (uint8_t *)got };
	assert_int_equal(mcode_native_run_get(native)(&regs, host, TRIPLES), TRIPLES);
	for (uint32_t i = 0; i < TRIPLES * n; i++)
		if (got[i] != expected[i])
			fail_msg("instruction %u, triple %u: %#lx, expected %#lx", i % n, i / n,
				 (unsigned long)got[i], (unsigned long)expected[i]);
	free(in);
	free(expected);
	free(got);
}

static void compare_random(uint64_t seed)
{
	struct random_params params = {
		.seed = seed,
		.n_insns = 5 + (uint32_t)(seed * 7 % 60),
		.jumps = seed % 3 == 0,
		.nested = seed % 2,
		.packed = seed & 1,
		.memory = true,
		.reductions = seed & 2,
		.search = seed % 5 == 4,
		.serial = seed > 12,
	};
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = random_kernel(&params);
	AUTO(own_mcode_interp) struct mcode_interp *interp = NULL;
	AUTO(own_mcode_native)
	struct mcode_native *native =
		compile(kernel, seed & 4 ? MCODE_NATIVE_HOST : MCODE_NATIVE_SSE2);
	assert_ok(mcode_interp_create(kernel, &interp));
	for (uint64_t round = 0; round < 5; round++) {
		static uint8_t expected[5 * RANDOM_BYTES], got[5 * RANDOM_BYTES];
		struct mcode_view views[5];
		uint64_t guest[MCODE_GUEST_REGS], random = seed * 100 + round, done;
		uint8_t *host[5];
		struct gb_plan plan;
		random_memory(&random, expected, views, guest);
		memcpy(got, expected, sizeof(got));
		struct gb_regs regs = regs_of(guest);
		assert_true(
			mcode_interp_run(interp, guest, views, RANDOM_ITERATIONS, &done, NULL));
		assert_int_equal(mcode_native_plan_get(native)(&regs, &plan), GB_PLAN_GO);
		assert_int_equal(plan.iterations, RANDOM_ITERATIONS);
		for (unsigned i = 0; i < 5; i++)
			views[i].bytes = got + i * RANDOM_BYTES;
		hosts_of(&plan, views, host);
		uint64_t ran = mcode_native_run_get(native)(&regs, host, RANDOM_ITERATIONS);
		if (ran != done || memcmp(regs.gpr, guest, sizeof(regs.gpr)) ||
		    memcmp(got, expected, sizeof(got)))
			fail_msg("seed %lu round %lu: %lu iterations, expected %lu; memory %s",
				 (unsigned long)seed, (unsigned long)round, (unsigned long)ran,
				 (unsigned long)done,
				 memcmp(got, expected, sizeof(got)) ? "differs" : "agrees");
	}
}

static void random_kernels_agree_with_the_interpreter(void **state)
{
	for (uint64_t seed = 1; seed <= 24; seed++)
		compare_random(seed);
}

static unsigned draw(uint64_t *random, unsigned n)
{
	return (unsigned)(random_next(random) % n);
}

/* A body of packed arithmetic, such as runs four iterations at a time. */
static void random_packed_body(uint64_t *random, FILE *to)
{
	static const char *const ops[] = {
		"add",	 "sub",	  "and", "or",	"xor", "mul", "mov",
		"unpkl", "unpkh", "shl", "shr", "rol", "ror", "splat"
	};
	enum { MUL = 5, MOV, UNPKL, SHL = 9, SPLAT = 13, OPS };
	static const unsigned widths[] = { 32, 16, 8 };
	fprintf(to, "ld r1, s0\nld.32 r2, s0+8\nld.8 r3, s0-4\nget r4, v3\n");
	for (unsigned i = 0; i < 90; i++) {
		unsigned op = draw(random, OPS), w = widths[draw(random, 3)];
		unsigned rd = 1 + draw(random, 9), a = draw(random, 10);
		unsigned b = draw(random, 10), by = draw(random, w);
		bool whole = draw(random, 4) == 0 && op <= MUL;
		if (op == SPLAT)
			fprintf(to, "splat.32x2 r%u, r%u\n", rd, a);
		else if (op == MOV)
			fprintf(to, "mov.%u r%u, r%u\n", w, rd, a);
		else if (op >= SHL && draw(random, 2))
			fprintf(to, "%s.%u r%u, r%u, #%u\n", ops[op], w, rd, a, by);
		else if (op >= SHL) /* by a constant in every lane */
			fprintf(to, "ldi r10, #%#llx\n%s.%ux%u r%u, r%u, r10\n",
				by * (w == 8	? 0x101010101010101ull
				      : w == 16 ? 0x1000100010001ull
						: 0x100000001ull),
				ops[op], w, 64 / w, rd, a);
		else if (op >= UNPKL)
			fprintf(to, "%s.32x2 r%u, r%u, r%u\n", ops[op], rd, a, b);
		else if (whole)
			fprintf(to, "%s.%u r%u, r%u, #%d\n", ops[op], w, rd, a,
				(int)random_next(random));
		else
			fprintf(to, "%s.%ux%u r%u, r%u, r%u\n", ops[op], op == MUL ? 16 : w,
				64 / (op == MUL ? 16 : w), rd, a, b);
	}
	fprintf(to, "put v4, r5\nget r6, v4\nst s1, r6\nst.32 s1+8, r7\nst.16 s1+12, r8\n");
}

static void packed_bodies_run_side_by_side(void **state)
{
	enum { N = 23, IN = 12, OUT = 16 };
	static const char head[] = ".slots 5\n.trip v1\n.input v0 rsi\n.input v1 rcx\n"
				   ".input v2 rdi\n.input v3 rdx\n"
				   ".stream s0 read base v0 stride -12 window -4 12\n"
				   ".stream s1 write base v2 stride 16 window 0 16\n"
				   ".guard\nldi r0, #1\n.body\n";
	uint64_t random = 7;
	(void)state;
	for (unsigned round = 0; round < 12; round++) {
		uint8_t in[IN * N + 16], expected[OUT * N] = { 0 }, got[OUT * N] = { 0 };
		AUTO(own_free) char *text = NULL;
		AUTO(own_free) char *source = NULL;
		size_t length;
		FILE *to = open_memstream(&text, &length);
		fputs(head, to);
		random_packed_body(&random, to);
		fclose(to);
		AUTO(own_mcode_kernel) struct mcode_kernel *kernel = NULL;
		AUTO(own_mcode_interp) struct mcode_interp *interp = NULL;
		assert_ok(mcode_assemble(text, length, &kernel));
		assert_ok(mcode_interp_create(kernel, &interp));
		assert_ok(mcode_native_source(kernel, &source));
		assert_non_null(strstr(source, "k + 4 <= n"));
		for (size_t i = 0; i < sizeof(in); i++)
			in[i] = (uint8_t)random_next(&random);
		uint64_t guest[MCODE_GUEST_REGS] = { [MCODE_RSI] = 0x10000 + IN * (N - 1) + 4,
						     [MCODE_RDI] = 0x20000,
						     [MCODE_RCX] = N,
						     [MCODE_RDX] = random_next(&random) };
		struct mcode_view views[] = { { in, 0x10000, sizeof(in) },
					      { expected, 0x20000, sizeof(expected) } };
		unsigned n = round % 6 ? N : round / 6 * 4;
		struct gb_regs regs = regs_of(guest);
		AUTO(own_mcode_native)
		struct mcode_native *native =
			compile(kernel, round % 2 ? MCODE_NATIVE_HOST : MCODE_NATIVE_SSE2);
		uint8_t *host[] = { in + IN * (N - 1), got };
		assert_true(mcode_interp_run(interp, guest, views, n, NULL, NULL));
		assert_int_equal(mcode_native_run_get(native)(&regs, host, n), n);
		if (memcmp(got, expected, sizeof(got)) != 0)
			fail_msg("round %u differs:\n%s", round, text);
	}
}

/* What the plugin does: ask, run a part, ask again from the registers it left. */
static void a_plan_goes_on_from_the_registers_run_leaves(void **state)
{
	static const char text[] =
		".slots 4\n.trip v1\n.input v0 rsi\n.input v1 rcx\n.input v2 rax\n"
		".exit rax v2\n.exit rsi v0\n.exit rcx v1\n"
		".stream s0 read base v0 stride 1 window -1 1\n.reduce add v2 v3\n"
		".guard\nget r1, v1\ncmpleu r0, r1, #1000\nldi r1, #1\n"
		".body\nld.8 r1, s0\nld.8 r2, s0-1\nsub r1, r1, r2\nput v3, r1\n"
		".finish\nget r1, v0\nadd r1, r1, r0\nput v0, r1\n"
		"get r1, v1\nsub r1, r1, r0\nput v1, r1\n";
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = NULL;
	uint8_t bytes[1001];
	struct gb_plan plan;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 77);
	assert_ok(mcode_assemble(text, strlen(text), &kernel));
	AUTO(own_mcode_native) struct mcode_native *native = compile(kernel, MCODE_NATIVE_SSE2);
	struct gb_regs regs = { .gpr = { [MCODE_RSI] = 0x7001, [MCODE_RCX] = 1001 } };
	assert_int_equal(mcode_native_plan_get(native)(&regs, &plan), GB_PLAN_SHORT);
	regs.gpr[MCODE_RCX] = 1000;
	while (regs.gpr[MCODE_RCX]) {
		assert_int_equal(mcode_native_plan_get(native)(&regs, &plan), GB_PLAN_GO);
		assert_int_equal(plan.iterations, regs.gpr[MCODE_RCX]);
		assert_int_equal(plan.n_streams, 1);
		assert_int_equal(plan.stream[0].width, 2);
		assert_int_equal(plan.stream[0].write, 0);
		uint8_t *host[] = { bytes + (plan.stream[0].gva - 0x7000) };
		uint64_t n = plan.iterations < 300 ? plan.iterations : 300;
		assert_int_equal(mcode_native_run_get(native)(&regs, host, n), n);
	}
	assert_int_equal((int64_t)regs.gpr[MCODE_RAX], bytes[1000] - bytes[0]);
}

/* Every sample, its data at odd addresses and at even ones, against the interpreter: the
 * generated code must not rely on the alignment it claims. */
static void compare_sample(const struct mcode_sample *sample, unsigned shift)
{
	enum { N = 203, BYTES = 4 * N + 64 };
	static uint8_t got[3][BYTES], expected[3][BYTES];
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = NULL;
	AUTO(own_mcode_interp) struct mcode_interp *interp = NULL;
	uint64_t random = shift, done;
	for (unsigned i = 0; i < 3; i++)
		for (unsigned j = 0; j < BYTES; j++)
			got[i][j] = expected[i][j] = (uint8_t)(random_next(&random) % 254);
	got[0][150] = expected[0][150] = 0xff; /* what find_u8 looks for */
	assert_ok(mcode_assemble(sample->text, strlen(sample->text), &kernel));
	assert_ok(mcode_interp_create(kernel, &interp));
	AUTO(own_mcode_native) struct mcode_native *native = compile(kernel, MCODE_NATIVE_HOST);
	uint64_t guest[MCODE_GUEST_REGS] = { [MCODE_RAX] = sample->a, [MCODE_RCX] = N };
	const uint8_t bytes[] = { sample->read0, sample->read1, sample->written };
	const uint8_t regs_used[] = { MCODE_RDI, MCODE_RSI, MCODE_RDX };
	struct mcode_view views[3];
	uint8_t *host[3];
	unsigned n = 0;
	for (unsigned i = 0; i < 3; i++) {
		if (!bytes[i])
			continue;
		host[n] = got[i] + shift;
		views[n++] = (struct mcode_view){ expected[i], 0x1000 * i, BYTES };
		guest[regs_used[i]] = 0x1000 * i + shift;
	}
	struct gb_regs regs = regs_of(guest);
	assert_true(mcode_interp_run(interp, guest, views, N, &done, NULL));
	assert_int_equal(mcode_native_run_get(native)(&regs, host, N), done);
	assert_memory_equal(got, expected, sizeof(got));
	assert_memory_equal(regs.gpr, guest, sizeof(regs.gpr));
}

static void samples_run_at_any_alignment(void **state)
{
	for (const struct mcode_sample *sample = mcode_samples; sample->name; sample++)
		for (unsigned shift = 0; shift < 4; shift += 3)
			compare_sample(sample, shift);
}

static void what_the_plugin_cannot_place_is_refused(void **state)
{
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = NULL;
	struct mcode_image image;
	assert_ok(mcode_kernel_create(&kernel));
	kernel->n_exits = 1;
	kernel->exits[0].guest = MCODE_RSP;
	assert_error(mcode_native_compile(kernel, MCODE_NATIVE_HOST, &image), ERR_UNSUPPORTED);
	kernel->n_exits = 0;
	kernel->n_inputs = 1;
	kernel->inputs[0].guest = MCODE_EFLAGS;
	assert_error(mcode_native_compile(kernel, MCODE_NATIVE_HOST, &image), ERR_UNSUPPORTED);
}

/* Folders of processes that were killed go; those in use stay. */
static void abandoned_folders_are_removed(void **state)
{
	struct work_dir mine, *others = mmap(NULL, sizeof(*others), PROT_READ | PROT_WRITE,
					     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	(void)state;
	assert_ptr_not_equal(others, MAP_FAILED);
	pid_t child = fork();
	if (child == 0) {
		struct error *err = work_dir_make(others);
		if (!err)
			err = work_dir_write(others, "k.c", "int x;");
		_exit(err != NULL);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_null(work_dir_make(&mine));
	work_dir_sweep(3600);
	assert_int_equal(access(others->path, F_OK), 0); /* it is young */
	struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	assert_int_equal(utimensat(AT_FDCWD, others->path, old, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, mine.path, old, 0), 0);
	work_dir_sweep(3600);
	assert_int_not_equal(access(others->path, F_OK), 0);
	assert_int_equal(access(mine.path, F_OK), 0);
	work_dir_remove(&mine);
	assert_int_not_equal(access(mine.path, F_OK), 0);
	munmap(others, sizeof(*others));
}

/* The only file in a folder. */
static void only_file(const char *folder, char path[512])
{
	struct dirent *entry;
	DIR *dir = opendir(folder);
	unsigned count = 0;
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.') {
			snprintf(path, 512, "%s/%s", folder, entry->d_name);
			count++;
		}
	closedir(dir);
	assert_int_equal(count, 1);
}

static void expect_no_image(const struct mcode_kernel *kernel)
{
	struct mcode_image image = { 0 };
	assert_error(mcode_native_get(kernel, MCODE_NATIVE_SSE2, &image), ERR_NOT_FOUND);
}

/* Without a compiler, what comes out can only have been kept. */
static void what_was_compiled_is_kept(void **state)
{
	char folder[] = "/tmp/glassbox-test-XXXXXX", native[64], path[512];
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = NULL, *other = NULL;
	AUTO(mcode_image_free) struct mcode_image first = { 0 };
	AUTO(mcode_image_free) struct mcode_image second = { 0 };
	AUTO(own_free) char *search = strdup(getenv("PATH"));
	struct stat info;
	assert_non_null(mkdtemp(folder));
	setenv("XDG_CACHE_HOME", folder, 1);
	assert_ok(
		mcode_assemble(mcode_samples[0].text, strlen(mcode_samples[0].text), &kernel));
	assert_ok(mcode_assemble(mcode_samples[1].text, strlen(mcode_samples[1].text), &other));
	assert_ok(mcode_native_get(kernel, MCODE_NATIVE_SSE2, &first));
	setenv("PATH", "/nowhere", 1);
	assert_ok(mcode_native_get(kernel, MCODE_NATIVE_SSE2, &second));
	assert_int_equal(second.size_bytes, first.size_bytes);
	assert_memory_equal(second.bytes, first.bytes, first.size_bytes);
	assert_int_equal(second.run_offset, first.run_offset);
	assert_int_equal(second.in_gpr, first.in_gpr);
	expect_no_image(other);

	snprintf(native, sizeof(native), "%s/glassbox/native", folder);
	only_file(native, path);
	assert_int_equal(chmod(path, 0666), 0); /* anybody may have written it */
	expect_no_image(kernel);
	assert_int_equal(chmod(path, 0600) || stat(path, &info), 0);
	assert_int_equal(truncate(path, info.st_size - 1), 0);
	expect_no_image(kernel);
	FILE *file = fopen(path, "r+");
	assert_non_null(file);
	assert_int_equal(fseek(file, 40, SEEK_SET) || fputc('!', file) == EOF, 0); /* the key */
	assert_int_equal(fclose(file) || truncate(path, info.st_size), 0);
	expect_no_image(kernel);

	setenv("PATH", search, 1);
	unlink(path);
	rmdir(native);
	*strrchr(native, '/') = 0;
	rmdir(native);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_opcode_agrees_with_the_interpreter),
		cmocka_unit_test(random_kernels_agree_with_the_interpreter),
		cmocka_unit_test(packed_bodies_run_side_by_side),
		cmocka_unit_test(a_plan_goes_on_from_the_registers_run_leaves),
		cmocka_unit_test(samples_run_at_any_alignment),
		cmocka_unit_test(what_the_plugin_cannot_place_is_refused),
		cmocka_unit_test(abandoned_folders_are_removed),
		cmocka_unit_test(what_was_compiled_is_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
