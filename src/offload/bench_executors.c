#include "offload/bench_executors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/bytes.h"
#include "base/error.h"
#include "gpu/batch.h"
#include "gpu/buffer.h"
#include "gpu/device.h"
#include "mcode/interp.h"
#include "mcode/native.h"
#include "mcode/program.h"
#include "mcode/sample.h"
#include "mcode/text.h"
#include "offload/gpu_run.h"
#include "plugin/kernel_abi.h"

#define RUNS 5
#define INTERPRETED 4096u /* iterations of the slow executor */

/* Three buffers, one after the other in one mapping that a GPU can import. */
struct bench {
	const struct offload_bench_params *params;
	const struct mcode_sample *sample;
	struct mcode_kernel *kernel;
	struct mcode_interp *interp;
	struct gpu *gpu; /* or NULL */
	struct gpu_buffer *device, *imported; /* or NULL */
	uint8_t *bytes, *parts[3];
	uint64_t part_bytes, n;
	uint64_t guest[MCODE_GUEST_REGS], slots[MCODE_SLOTS];
	double c_ns;
};

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void report(struct bench *bench, const char *executor, double ns, uint64_t n)
{
	struct offload_bench_result result = { executor, bench->sample->name, ns / (double)n,
					       bench->c_ns, bench->n };
	bench->params->result(bench->params->user, &result);
}

static double time_c(struct bench *bench)
{
	double best = 0;
	for (int i = 0; i < RUNS; i++) {
		double start = now_ns();
		volatile uint64_t sink =
			bench->sample->c(bench->parts, bench->n, bench->sample->a);
		double took = now_ns() - start;
		(void)sink;
		best = !i || took < best ? took : best;
	}
	return best;
}

/* The sample's streams, in its order, as host pointers; returns how many. */
static unsigned streams_of(const struct bench *bench, uint8_t **host)
{
	const struct mcode_sample *s = bench->sample;
	const uint8_t used[] = { s->read0, s->read1, s->written };
	unsigned n = 0;
	for (unsigned i = 0; i < 3; i++)
		if (used[i])
			host[n++] = bench->parts[i];
	return n;
}

static void time_interpreter(struct bench *bench)
{
	uint8_t *host[3];
	struct mcode_view views[3];
	uint64_t slots[MCODE_SLOTS], n = bench->n < INTERPRETED ? bench->n : INTERPRETED;
	unsigned n_streams = streams_of(bench, host);
	for (unsigned i = 0; i < n_streams; i++)
		views[i] =
			(struct mcode_view){ host[i], (uintptr_t)host[i], bench->part_bytes };
	memcpy(slots, bench->slots, sizeof(slots));
	double start = now_ns();
	mcode_interp_iterate(bench->interp, slots, views, 0, n, NULL);
	report(bench, "interpreter", now_ns() - start, n);
}

static struct error *time_native(struct bench *bench)
{
	struct mcode_image image = { 0 };
	AUTO(own_mcode_native) struct mcode_native *native = NULL;
	uint8_t *host[3];
	double best = 0;
	struct error *err = mcode_native_compile(bench->kernel, MCODE_NATIVE_HOST, &image);
	if (error_catch(&err, ERR_NOT_FOUND))
		return NULL;
	TRY(err);
	err = mcode_native_load(&image, &native);
	mcode_image_free(&image);
	TRY(err);
	streams_of(bench, host);
	for (int i = 0; i < RUNS; i++) {
		struct gb_regs regs;
		memcpy(regs.gpr, bench->guest, sizeof(regs.gpr));
		memset(regs.xmm, 0, sizeof(regs.xmm));
		double start = now_ns();
		mcode_native_run_get(native)(&regs, host, bench->n);
		double took = now_ns() - start;
		best = !i || took < best ? took : best;
	}
	report(bench, "native", best, bench->n);
	return NULL;
}

/* Device time and wall time of runs over memory that stays where it is. */
static struct error *time_gpu(struct bench *bench, struct offload_gpu_kernel *kernel,
			      struct gpu_buffer *buffer, const char *const names[2])
{
	uint64_t address[3], offset[3], slots[MCODE_SLOTS];
	uint8_t *host[3];
	unsigned n_streams = streams_of(bench, host);
	double best_wall = 0, best_device = 0;
	for (unsigned i = 0; i < n_streams; i++) {
		address[i] = (uintptr_t)host[i];
		offset[i] = (uint64_t)(host[i] - bench->bytes);
	}
	struct offload_gpu_memory memory = { buffer, address, offset };
	for (int i = 0; i < RUNS; i++) {
		struct offload_gpu_result result;
		memcpy(slots, bench->slots, sizeof(slots));
		double start = now_ns();
		TRY(offload_gpu_run(kernel, &memory, slots, 0, bench->n, &result));
		double took = now_ns() - start;
		best_wall = !i || took < best_wall ? took : best_wall;
		best_device =
			!i || (double)result.ns < best_device ? (double)result.ns : best_device;
	}
	if (best_device > 0)
		report(bench, names[0], best_device, bench->n);
	report(bench, names[1], best_wall, bench->n);
	return NULL;
}

static struct error *time_gpus(struct bench *bench)
{
	static const char *const device[] = { "gpu", "gpu with launch" };
	static const char *const imported[] = { "gpu imported", "gpu imported with launch" };
	AUTO(own_offload_gpu_kernel) struct offload_gpu_kernel *kernel = NULL;
	struct error *err = offload_gpu_kernel_create(bench->gpu, bench->kernel, &kernel);
	if (error_catch(&err, ERR_UNSUPPORTED))
		return NULL;
	TRY(err);
	TRY(time_gpu(bench, kernel, bench->device, device));
	if (bench->imported)
		TRY(time_gpu(bench, kernel, bench->imported, imported));
	return NULL;
}

static struct error *bench_sample(struct bench *bench)
{
	static const uint8_t regs[] = { MCODE_RDI, MCODE_RSI, MCODE_RDX };
	const char *text = bench->sample->text;
	TRY(mcode_assemble(text, strlen(text), &bench->kernel));
	TRY(mcode_interp_create(bench->kernel, &bench->interp));
	memset(bench->guest, 0, sizeof(bench->guest));
	for (unsigned i = 0; i < 3; i++)
		bench->guest[regs[i]] = (uintptr_t)bench->parts[i];
	bench->guest[MCODE_RAX] = bench->sample->a;
	bench->guest[MCODE_RCX] = bench->n;
	mcode_interp_setup(bench->interp, bench->guest, bench->slots);
	bench->c_ns = time_c(bench) / (double)bench->n;
	time_interpreter(bench);
	TRY(time_native(bench));
	return bench->gpu ? time_gpus(bench) : NULL;
}

/* 0 .. 254, so that the byte that find_u8 looks for does not occur. */
static void fill(uint8_t *bytes, uint64_t size)
{
	uint64_t state = 1;
	for (uint64_t i = 0; i < size; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = (uint8_t)((state >> 33) % 255);
	}
}

static struct error *open_gpu(struct bench *bench)
{
	struct gpu_params params = { .device = bench->params->device, .allow_import = true };
	struct gpu_import_probe probe = { 0 };
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL;
	struct error *err = gpu_create(&params, &bench->gpu);
	if (error_catch(&err, ERR_UNSUPPORTED))
		return NULL;
	TRY(err);
	uint64_t size = 3 * bench->part_bytes;
	TRY(gpu_buffer_create(bench->gpu, GPU_BUFFER_DEVICE, size, &bench->device));
	TRY(gpu_batch_begin(bench->gpu, &batch));
	TRY(gpu_batch_upload(batch, bench->device, 0, bench->bytes, size));
	TRY(gpu_batch_finish(TAKE(batch)));
	error_destroy(gpu_probe_import(bench->params->device, &probe));
	if (probe.read_write && gpu_info(bench->gpu)->can_import)
		error_destroy(
			gpu_buffer_import(bench->gpu, bench->bytes, size, &bench->imported));
	return NULL;
}

struct error *offload_bench_executors(const struct offload_bench_params *params)
{
	struct bench bench = { .params = params, .n = params->n ? params->n : 4u << 20 };
	bench.part_bytes = align_up(4 * bench.n, 2u << 20);
	void *bytes = mmap(NULL, 3 * bench.part_bytes, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (bytes == MAP_FAILED)
		return error_system(errno, "no memory to measure in");
	bench.bytes = bytes;
	fill(bench.bytes, 3 * bench.part_bytes);
	for (unsigned i = 0; i < 3; i++)
		bench.parts[i] = bench.bytes + i * bench.part_bytes;
	struct error *err = open_gpu(&bench);
	for (bench.sample = mcode_samples; !err && bench.sample->name; bench.sample++) {
		err = error_wrap(bench_sample(&bench), "sample %s", bench.sample->name);
		mcode_interp_destroy(TAKE(bench.interp));
		mcode_kernel_destroy(TAKE(bench.kernel));
	}
	gpu_buffer_destroy(bench.imported);
	gpu_buffer_destroy(bench.device);
	gpu_destroy(bench.gpu);
	munmap(bytes, 3 * bench.part_bytes);
	return err;
}
