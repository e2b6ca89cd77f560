#include "offload/gpu_run.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/error.h"
#include "gpu/batch.h"
#include "gpu/buffer.h"
#include "gpu/device.h"
#include "mcode/interp.h"
#include "mcode/program.h"
#include "mcode/spirv.h"
#include "offload/pixel_cpu.h"

#define MOST_GROUPS 4096u
#define INTERPRETER_LANES 64u /* of a work group, as shaders/pixel_cpu.wgsl says */
#define INTERPRETER_GROUPS 256u
#define SOFTWARE_FUEL 256u
#define FENCE_SPIN_NS 2000000u
#define FOLDED_BY_A_LANE 4u

/* One run on the device: what it reads and writes beside memory. */
struct flight {
	struct gpu_buffer *arguments; /* ours, written in place */
	struct gpu_buffer *table; /* the same of a paged kernel, near the device */
	struct gpu_buffer *results, *read_results;
	struct gpu_batch *batch; /* of the last run, to be used again; or NULL */
	uint64_t n; /* iterations; 0: nothing is under way */
	uint32_t parts;
	unsigned span[2]; /* the marks around the dispatch */
	uint64_t record_ns, submitted_ns;
};

struct offload_gpu_kernel {
	struct gpu *gpu;
	const struct mcode_kernel *kernel;
	struct mcode_spirv_layout layout;
	bool interpreted;
	uint32_t most_pages; /* of a paged kernel; 0: memory is linear */
	uint64_t argument_bytes;
	struct gpu_kernel *shader;
	unsigned n_flights;
	struct flight flight[OFFLOAD_GPU_FLIGHTS];
};

static struct error *compile(struct offload_gpu_kernel *kernel)
{
	AUTO(own_free) uint32_t *words = NULL;
	size_t n_words;
	unsigned flags = kernel->most_pages ? MCODE_SPIRV_PAGED : 0;
	TRY(mcode_spirv_make(kernel->kernel, flags, &words, &n_words, &kernel->layout));
	struct gpu_kernel_params params = {
		.name = kernel->kernel->name,
		.words = words,
		.n_words = n_words,
		.bindings = "sss",
	};
	return gpu_kernel_create(kernel->gpu, &params, &kernel->shader);
}

static struct error *make_flight(const struct offload_gpu_kernel *kernel, uint64_t result_bytes,
				 struct flight *f)
{
	struct gpu *gpu = kernel->gpu;
	TRY(gpu_buffer_create(gpu, GPU_BUFFER_UPLOAD, kernel->argument_bytes, &f->arguments));
	if (kernel->most_pages)
		TRY(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, kernel->argument_bytes,
				      &f->table));
	TRY(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, result_bytes, &f->results));
	return gpu_buffer_create(gpu, GPU_BUFFER_READBACK, result_bytes, &f->read_results);
}

/* parts: most partial results of each reduction. */
static struct error *make_flights(struct offload_gpu_kernel *kernel, uint64_t parts)
{
	uint64_t result_bytes =
		4 * MCODE_SPIRV_RESULT_WORDS(parts, kernel->kernel->n_reductions);
	kernel->n_flights = kernel->most_pages ? OFFLOAD_GPU_FLIGHTS : 1;
	for (unsigned i = 0; i < kernel->n_flights; i++)
		TRY(make_flight(kernel, result_bytes, &kernel->flight[i]));
	return NULL;
}

struct error *offload_gpu_kernel_create(struct gpu *gpu, const struct mcode_kernel *kernel,
					struct offload_gpu_kernel **ret)
{
	return offload_gpu_kernel_create_paged(gpu, kernel, 0, ret);
}

struct error *offload_gpu_kernel_create_paged(struct gpu *gpu,
					      const struct mcode_kernel *kernel,
					      uint32_t n_pages, struct offload_gpu_kernel **ret)
{
	AUTO(own_offload_gpu_kernel) struct offload_gpu_kernel *made = NULL;
	if (!gpu_info(gpu)->has_all_integers)
		return error_create(ERR_UNSUPPORTED, "%s lacks 8-, 16- or 64-bit integers",
				    gpu_info(gpu)->name);
	if (gpu_info(gpu)->is_software && kernel->fuel > SOFTWARE_FUEL)
		return error_create(ERR_UNSUPPORTED,
				    "%s counts loops of more than %u rounds wrong",
				    gpu_info(gpu)->name, SOFTWARE_FUEL);
	TRY(error_alloc(1, sizeof(*made), &made));
	made->gpu = gpu;
	made->kernel = kernel;
	made->most_pages = n_pages;
	TRY(compile(made));
	made->argument_bytes = UINT64_C(8) * (made->layout.argument_words + n_pages);
	TRY(make_flights(made, MOST_GROUPS));
	*ret = TAKE(made);
	return NULL;
}

static void free_flights(struct offload_gpu_kernel *kernel)
{
	for (unsigned i = 0; i < kernel->n_flights; i++) {
		struct flight *f = &kernel->flight[i];
		gpu_batch_destroy(f->batch); /* waits if it is under way */
		gpu_buffer_destroy(f->arguments);
		gpu_buffer_destroy(f->table);
		gpu_buffer_destroy(f->results);
		gpu_buffer_destroy(f->read_results);
		*f = (struct flight){ .batch = NULL };
	}
}

struct error *offload_gpu_interpreter_load(struct offload_gpu_kernel *interpreter,
					   const struct mcode_kernel *kernel)
{
	if (kernel->serial)
		return error_create(ERR_UNSUPPORTED,
				    "its iterations need each other: no work for lanes");
	free_flights(interpreter);
	interpreter->kernel = kernel;
	interpreter->layout.n_reductions = kernel->n_reductions;
	interpreter->argument_bytes =
		4 * (9 + 2 * kernel->n_slots + 10 * kernel->n_streams +
		     6 * kernel->n_reductions + kernel->code[MCODE_BODY].count);
	return make_flights(interpreter, INTERPRETER_GROUPS * INTERPRETER_LANES);
}

struct error *offload_gpu_interpreter_create(struct gpu *gpu, const struct mcode_kernel *kernel,
					     struct offload_gpu_kernel **ret)
{
	AUTO(own_offload_gpu_kernel) struct offload_gpu_kernel *made = NULL;
	if (!offload_pixel_cpu_n_words)
		return error_create(ERR_UNSUPPORTED, "built without shaders");
	TRY(error_alloc(1, sizeof(*made), &made));
	made->gpu = gpu;
	made->interpreted = true;
	struct gpu_kernel_params params = {
		.name = "pixel_cpu",
		.words = offload_pixel_cpu_words,
		.n_words = offload_pixel_cpu_n_words,
		.entry = "pixel_cpu",
		.bindings = "sss",
	};
	TRY(gpu_kernel_create(gpu, &params, &made->shader));
	TRY(offload_gpu_interpreter_load(made, kernel));
	*ret = TAKE(made);
	return NULL;
}

void offload_gpu_kernel_destroy(struct offload_gpu_kernel *kernel)
{
	if (!kernel)
		return;
	gpu_kernel_destroy(kernel->shader);
	free_flights(kernel);
	free(kernel);
}

/* Enough groups to fill a device, few enough that reading partial results is cheap: a lane has
 * some iterations before it counts as one. */
static uint32_t groups_for(const struct offload_gpu_kernel *kernel, uint64_t n)
{
	uint64_t lanes = kernel->interpreted ? INTERPRETER_LANES : MCODE_SPIRV_LANES;
	if (!kernel->interpreted && kernel->kernel->n_reductions)
		lanes *= FOLDED_BY_A_LANE;
	uint64_t wanted = (n + lanes - 1) / lanes;
	uint64_t most = kernel->interpreted	       ? INTERPRETER_GROUPS
			: kernel->kernel->n_reductions ? 1024
						       : MOST_GROUPS;
	return (uint32_t)(wanted < most ? wanted : most);
}

static uint32_t *put64(uint32_t *to, uint64_t value)
{
	*to++ = (uint32_t)value;
	*to++ = (uint32_t)(value >> 32);
	return to;
}

static uint32_t *put_stream(const struct offload_gpu_memory *memory,
			    const struct mcode_kernel *kernel, const uint64_t *slots,
			    uint32_t s, uint32_t *to)
{
	const struct mcode_stream *stream = &kernel->streams[s];
	bool region = stream->flags & MCODE_STREAM_REGION;
	to = put64(to, slots[stream->base_slot]);
	to = put64(to, stream->stride_slot == MCODE_NO_SLOT ? (uint64_t)stream->stride
							    : slots[stream->stride_slot]);
	to = put64(to, memory->offset[s] - memory->address[s]);
	to = put64(to, (uint64_t)(int64_t)stream->low);
	return put64(to, region ? slots[stream->length_slot]
				: (uint64_t)((int64_t)stream->high - stream->low));
}

/* The interpreter's arguments: a header, the tables and the program, as pixel_cpu.wgsl reads
 * them (ARG_...), then the identities of the reductions. */
static void write_program(struct offload_gpu_kernel *kernel, struct flight *f,
			  const struct offload_gpu_memory *memory, const uint64_t *slots,
			  uint64_t k0, uint64_t n)
{
	const struct mcode_kernel *k = kernel->kernel;
	const struct mcode_code *body = &k->code[MCODE_BODY];
	uint32_t *to = gpu_buffer_map(f->arguments);
	to = put64(to, k0);
	const uint32_t header[] = { (uint32_t)n,  k->n_slots,	   k->fuel,    k->search_slot,
				    k->n_streams, k->n_reductions, body->count };
	memcpy(to, header, sizeof(header));
	to += sizeof(header) / sizeof(*header);
	for (uint32_t s = 0; s < k->n_slots; s++)
		to = put64(to, slots[s]);
	for (uint32_t s = 0; s < k->n_streams; s++)
		to = put_stream(memory, k, slots, s, to);
	for (uint32_t r = 0; r < k->n_reductions; r++) {
		const struct mcode_reduction *red = &k->reductions[r];
		const uint32_t row[] = { red->op, red->width_code, red->packed,
					 red->value_slot };
		memcpy(to, row, sizeof(row));
		to += 4;
	}
	if (body->count)
		memcpy(to, body->pixels, body->count * sizeof(*to));
	to += body->count;
	for (uint32_t r = 0; r < k->n_reductions; r++)
		to = put64(to, mcode_reduction_identity(&k->reductions[r]));
}

/* Into mapped memory that the device reads: the last run's is over. */
static void write_arguments(struct offload_gpu_kernel *kernel, struct flight *f,
			    const struct offload_gpu_memory *memory, const uint64_t *slots,
			    uint64_t k0, uint64_t n)
{
	uint64_t *words = gpu_buffer_map(f->arguments);
	uint32_t at = 0;
	if (kernel->interpreted) {
		write_program(kernel, f, memory, slots, k0, n);
		return;
	}
	words[at++] = k0;
	words[at++] = n;
	for (uint32_t s = 0; s < kernel->layout.n_slots; s++)
		words[at++] = slots[s];
	for (uint32_t s = 0; s < kernel->layout.n_streams && kernel->most_pages; s++) {
		words[at++] = memory->address[s];
		words[at++] = kernel->layout.argument_words + memory->first[s];
		words[at++] = kernel->layout.argument_words + memory->first_stored[s];
	}
	for (uint32_t s = 0; s < kernel->layout.n_streams && !kernel->most_pages; s++) {
		words[at++] = memory->offset[s] - memory->address[s];
		words[at++] = 0;
		words[at++] = 0;
	}
	if (kernel->most_pages)
		memcpy(words + at, memory->page, memory->n_pages * sizeof(*memory->page));
}

static void read_results(const struct offload_gpu_kernel *kernel, const struct flight *f,
			 uint64_t *slots, struct offload_gpu_result *ret)
{
	const uint32_t *results = gpu_buffer_map(f->read_results);
	ret->fault = results[1] < results[0] && results[1] < f->n;
	ret->done = results[0] < f->n ? results[0] : f->n;
	if (ret->fault)
		ret->done = results[1];
	else
		mcode_spirv_fold(kernel->kernel, slots, results, f->parts);
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static struct error *begin(struct offload_gpu_kernel *kernel, struct flight *f)
{
	if (!f->batch)
		return gpu_batch_begin(kernel->gpu, &f->batch);
	return gpu_batch_again(f->batch);
}

/* Sleeping on a fence costs more than most runs take. A software device needs our processor. */
static struct error *wait_for(struct offload_gpu_kernel *kernel, struct flight *f)
{
	uint64_t start = now_ns();
	while (!gpu_info(kernel->gpu)->is_software && !gpu_batch_is_done(f->batch) &&
	       now_ns() - start < FENCE_SPIN_NS)
		continue;
	return gpu_batch_wait(f->batch, 0);
}

/* Records a run up to its results. */
static struct error *record(struct offload_gpu_kernel *kernel, struct flight *f,
			    const struct offload_gpu_memory *memory, uint32_t groups)
{
	struct gpu_batch *batch = f->batch;
	struct gpu_buffer *arguments = f->table ? f->table : f->arguments;
	uint64_t result_bytes =
		4 * MCODE_SPIRV_RESULT_WORDS((uint64_t)f->parts, kernel->layout.n_reductions);
	gpu_batch_fill(batch, f->results, 0, 8, UINT32_MAX);
	if (f->table)
		gpu_batch_copy(batch, f->arguments, 0, f->table, 0,
			       UINT64_C(8) * (kernel->layout.argument_words + memory->n_pages));
	const struct gpu_bind binds[MCODE_SPIRV_BINDINGS] = {
		[MCODE_SPIRV_MEMORY] = { .buffer = memory->buffer },
		[MCODE_SPIRV_ARGUMENTS] = { .buffer = arguments },
		[MCODE_SPIRV_RESULTS] = { .buffer = f->results },
	};
	f->span[0] = gpu_batch_timestamp(batch);
	TRY(gpu_batch_dispatch(batch, &(struct gpu_dispatch){ .kernel = kernel->shader,
							      .binds = binds,
							      .groups = { groups } }));
	f->span[1] = gpu_batch_timestamp(batch);
	gpu_batch_copy(batch, f->results, 0, f->read_results, 0, result_bytes);
	return NULL;
}

static struct error *submit(struct offload_gpu_kernel *kernel, struct flight *f,
			    const struct offload_gpu_memory *memory, const uint64_t *slots,
			    uint64_t k0, uint64_t n)
{
	uint32_t groups = groups_for(kernel, n);
	uint64_t begun_ns = now_ns();
	f->parts = kernel->interpreted ? groups * INTERPRETER_LANES : groups;
	TRY(begin(kernel, f));
	write_arguments(kernel, f, memory, slots, k0, n);
	TRY(record(kernel, f, memory, groups));
	TRY(gpu_batch_submit(f->batch));
	f->n = n;
	f->submitted_ns = now_ns();
	f->record_ns = f->submitted_ns - begun_ns;
	return NULL;
}

struct error *offload_gpu_start(struct offload_gpu_kernel *kernel, unsigned flight,
				const struct offload_gpu_memory *memory, const uint64_t *slots,
				uint64_t k0, uint64_t n)
{
	struct flight *f = &kernel->flight[flight];
	CHECK(flight < kernel->n_flights && !f->n && n <= offload_gpu_most(kernel));
	struct error *err = submit(kernel, f, memory, slots, k0, n);
	if (err) /* what was recorded is of no use */
		gpu_batch_destroy(TAKE(f->batch));
	return err;
}

bool offload_gpu_is_free(const struct offload_gpu_kernel *kernel, unsigned flight)
{
	return flight < kernel->n_flights && !kernel->flight[flight].n;
}

bool offload_gpu_is_done(struct offload_gpu_kernel *kernel, unsigned flight)
{
	return gpu_batch_is_done(kernel->flight[flight].batch);
}

struct error *offload_gpu_end(struct offload_gpu_kernel *kernel, unsigned flight,
			      uint64_t *slots, struct offload_gpu_result *ret)
{
	struct flight *f = &kernel->flight[flight];
	CHECK(f->n);
	struct error *err = wait_for(kernel, f);
	if (err) {
		gpu_batch_destroy(TAKE(f->batch));
	} else {
		ret->record_ns = f->record_ns;
		ret->wait_ns = now_ns() - f->submitted_ns;
		ret->ns = gpu_batch_elapsed_ns(f->batch, f->span[0], f->span[1]);
		read_results(kernel, f, slots, ret);
	}
	f->n = 0;
	return err;
}

/* llvmpipe ends every loop of a work group silently after 65535 rounds, all its lanes together,
 * so that on such a device a lane gets few iterations. */
uint64_t offload_gpu_most(const struct offload_gpu_kernel *kernel)
{
	if (!gpu_info(kernel->gpu)->is_software)
		return UINT64_C(1) << 30;
	if (kernel->interpreted)
		return INTERPRETER_GROUPS * INTERPRETER_LANES;
	return UINT64_C(16) * MCODE_SPIRV_LANES * 1024;
}

struct error *offload_gpu_run(struct offload_gpu_kernel *kernel,
			      const struct offload_gpu_memory *memory, uint64_t *slots,
			      uint64_t k0, uint64_t n, struct offload_gpu_result *ret)
{
	uint64_t most = offload_gpu_most(kernel);
	struct offload_gpu_result all = { 0 }, part;
	while (all.done < n && !all.fault) {
		uint64_t now = n - all.done < most ? n - all.done : most;
		TRY(offload_gpu_start(kernel, 0, memory, slots, k0 + all.done, now));
		TRY(offload_gpu_end(kernel, 0, slots, &part));
		all.done += part.done;
		all.ns += part.ns;
		all.record_ns += part.record_ns;
		all.wait_ns += part.wait_ns;
		all.fault = part.fault;
		if (part.done < now)
			break;
	}
	*ret = all;
	return NULL;
}

/* Views in one buffer, each at a multiple of 256 bytes plus its address's own low bits, so that
 * alignment on the device is alignment in the guest. */
struct staging {
	uint64_t address[MCODE_MAX_STREAMS], offset[MCODE_MAX_STREAMS], size_bytes;
	struct gpu_buffer *device, *back;
};

static void staging_free(struct staging *staging)
{
	gpu_buffer_destroy(staging->device);
	gpu_buffer_destroy(staging->back);
}

static void place_views(const struct mcode_kernel *kernel, const struct mcode_view *views,
			struct staging *staging)
{
	for (uint32_t s = 0; s < kernel->n_streams; s++) {
		staging->address[s] = views[s].address;
		staging->offset[s] = staging->size_bytes + (views[s].address & 255);
		staging->size_bytes = align_up(staging->offset[s] + views[s].size_bytes, 256);
	}
	if (!staging->size_bytes)
		staging->size_bytes = 256;
}

static struct error *copy_in(struct gpu *gpu, const struct mcode_kernel *kernel,
			     const struct mcode_view *views, struct staging *staging)
{
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL;
	uint8_t *room;
	TRY(gpu_buffer_create(gpu, GPU_BUFFER_DEVICE, staging->size_bytes, &staging->device));
	TRY(gpu_buffer_create(gpu, GPU_BUFFER_READBACK, staging->size_bytes, &staging->back));
	TRY(gpu_batch_begin(gpu, &batch));
	TRY(gpu_batch_stage(batch, staging->device, 0, staging->size_bytes, (void **)&room));
	for (uint32_t s = 0; s < kernel->n_streams; s++)
		memcpy(room + staging->offset[s], views[s].bytes, views[s].size_bytes);
	return gpu_batch_finish(TAKE(batch));
}

static struct error *copy_out(struct gpu *gpu, const struct mcode_kernel *kernel,
			      const struct mcode_view *views, struct staging *staging)
{
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL;
	TRY(gpu_batch_begin(gpu, &batch));
	gpu_batch_copy(batch, staging->device, 0, staging->back, 0, staging->size_bytes);
	TRY(gpu_batch_finish(TAKE(batch)));
	const uint8_t *bytes = gpu_buffer_map(staging->back);
	for (uint32_t s = 0; s < kernel->n_streams; s++)
		if (kernel->streams[s].flags & MCODE_STREAM_WRITE)
			memcpy(views[s].bytes, bytes + staging->offset[s], views[s].size_bytes);
	return NULL;
}

struct error *offload_gpu_run_staged(struct offload_gpu_kernel *kernel,
				     const struct mcode_view *views, uint64_t *slots,
				     uint64_t k0, uint64_t n, struct offload_gpu_result *ret)
{
	AUTO(staging_free) struct staging staging = { .size_bytes = 0 };
	place_views(kernel->kernel, views, &staging);
	TRY(copy_in(kernel->gpu, kernel->kernel, views, &staging));
	struct offload_gpu_memory memory = { staging.device, staging.address, staging.offset };
	TRY(offload_gpu_run(kernel, &memory, slots, k0, n, ret));
	if (ret->fault)
		return NULL;
	return copy_out(kernel->gpu, kernel->kernel, views, &staging);
}
