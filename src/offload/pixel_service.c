/* One loop: answer what is asked, then wait on the doorbell, at most a tenth of a second; in
 * between show that we live and look for new kernels, the end of offload and of QEMU.
 *
 * Where the driver imports host memory, guest RAM and the data of the requests are mapped one
 * behind the other and imported as one buffer, which shaders see as a list of pages:
 *
 *     | guest RAM (only read) | data of request 0 | 1 | 2 | 3 |
 *
 * Else, or where the device cannot bind so much, pages are copied to a buffer of the device and
 * written ones from there to the request's data ("staged"). */
#include "offload/pixel_service.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "gpu/buffer.h"
#include "gpu/device.h"
#include "learn/library.h"
#include "mcode/interp.h"
#include "mcode/program.h"
#include "mcode/spirv.h"
#include "offload/gpu_run.h"
#include "offload/pixel_file.h"
#include "offload/pixel_request.h"
#include "offload/slots.h"
#include "plugin/pixel.h"
#include "trace/source.h"

OWN_DECLARE(own_json, json_t *, json_decref)

enum {
	SPIN_NS = 50 * 1000, /* after the last request, before sleeping */
	LONG_SPIN_NS = 2000 * 1000, /* the same where processors are many */
	MANY_PROCESSORS = 4,
	TICK_NS = 100 * 1000 * 1000,
	HARDWARE_DEADLINE_US = 20 * 1000,
	SOFTWARE_DEADLINE_US = 1000 * 1000,
};

struct prepared { /* a kernel of a slot */
	uint32_t serial; /* 0: none; also of one that cannot run here */
	struct mcode_kernel *kernel; /* NULL: cannot */
	struct mcode_interp *interp;
	struct offload_gpu_kernel *gpu;
	bool loads_first; /* no load sees what its iteration stored */
};

struct service {
	const struct pixel_service_params *params;
	struct trace_source *source;
	struct library *library;
	int pixel_fd, ram_fd;
	struct gb_pixel *shared;
	uint8_t *memory; /* guest RAM, then the requests' data */
	uint64_t ram_bytes;
	struct gpu *gpu;
	struct gpu_buffer *buffer; /* memory, imported; or the staging buffer */
	bool imported;
	struct prepared prepared[GB_KERNEL_SLOTS];
	/* The request at hand. */
	struct gb_pixel_request request;
	uint64_t taken_ns;
	uint32_t pages[GB_PIXEL_PAGES];
	uint64_t offsets[GB_PIXEL_PAGES + GB_PIXEL_DATA_PAGES];
	uint32_t first_stored[MCODE_MAX_STREAMS]; /* place of the pages that stores go to */
	uint32_t n_offsets;
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void set_state(struct service *s, enum gb_pixel_service state)
{
	__atomic_store_n(&s->shared->heartbeat_ns, now_ns(), __ATOMIC_RELAXED);
	__atomic_store_n(&s->shared->service, state, __ATOMIC_RELEASE); /* pairs: plugin */
}

/* --- kernels */

static void forget(struct service *s, unsigned i)
{
	struct prepared *p = &s->prepared[i];
	__atomic_store_n(&s->shared->serial[i], 0, __ATOMIC_RELEASE);
	offload_gpu_kernel_destroy(p->gpu);
	mcode_interp_destroy(p->interp);
	mcode_kernel_destroy(p->kernel);
	*p = (struct prepared){ 0 };
}

static struct error *prepare(struct service *s, const struct gb_kernel *slot,
			     struct prepared *p)
{
	AUTO(own_json) json_t *doc = NULL;
	char id[17];
	snprintf(id, sizeof(id), "%016llx", (unsigned long long)slot->id);
	TRY(library_load(s->library, id, &doc));
	TRY(library_kernel(doc, &p->kernel));
	if (!pixel_kernel_suits(p->kernel))
		return error_create(ERR_UNSUPPORTED,
				    "it is serial, or what it writes has gaps");
	TRY(mcode_interp_create(p->kernel, &p->interp));
	p->loads_first = pixel_kernel_loads_first(p->kernel);
	return offload_gpu_kernel_create_paged(s->gpu, p->kernel,
					       GB_PIXEL_PAGES + GB_PIXEL_DATA_PAGES, &p->gpu);
}

/* Compiling takes time in which nothing is answered: the plugin is told not to ask. */
static struct error *look_at_slot(struct service *s, unsigned i)
{
	struct gb_kernel slot;
	bool used;
	struct prepared *p = &s->prepared[i];
	TRY(offload_slot(s->source, i, &slot, &used));
	bool wanted = used && slot.state == GB_KERNEL_LOADED;
	if (p->serial && (!wanted || p->serial != slot.serial))
		forget(s, i);
	if (!wanted || p->serial)
		return NULL;
	set_state(s, GB_PIXEL_STARTING);
	p->serial = slot.serial;
	struct error *err = prepare(s, &slot, p);
	if (!err)
		__atomic_store_n(&s->shared->serial[i], slot.serial, __ATOMIC_RELEASE);
	error_destroy(err); /* such a kernel stays native */
	return NULL;
}

static struct error *look_at_slots(struct service *s)
{
	for (unsigned i = 0; i < GB_KERNEL_SLOTS; i++)
		TRY(look_at_slot(s, i));
	set_state(s, GB_PIXEL_READY);
	return NULL;
}

/* --- one request */

static struct gb_pixel_request *request_at(struct service *s, unsigned i)
{
	return (void *)((uint8_t *)s->shared + GB_PAGE + (size_t)i * GB_PIXEL_SLOT_BYTES);
}

static uint8_t *data_of(struct service *s, unsigned i)
{
	return s->memory + s->ram_bytes + i * GB_PIXEL_DATA_BYTES;
}

static bool change(struct gb_pixel_request *r, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(&r->state, &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

static void to_guest(const struct gb_regs *regs, uint64_t *guest)
{
	memset(guest, 0, MCODE_GUEST_REGS * sizeof(*guest));
	memcpy(guest, regs->gpr, sizeof(regs->gpr));
	memcpy(guest + MCODE_XMM, regs->xmm, sizeof(regs->xmm));
}

static void from_guest(const uint64_t *guest, struct gb_regs *regs)
{
	memcpy(regs->gpr, guest, sizeof(regs->gpr));
	memcpy(regs->xmm, guest + MCODE_XMM, sizeof(regs->xmm));
}

/* Loads read guest RAM where it is, stores go to the copies: nothing need be copied first. */
static void place_imported(struct service *s, const struct prepared *p, unsigned index,
			   uint32_t i)
{
	const struct gb_pixel_stream *st = &s->request.stream[i];
	bool reads = p->kernel->streams[i].flags & MCODE_STREAM_READ;
	bool split = st->write && reads && p->loads_first;
	uint64_t data = (uint64_t)(data_of(s, index) - s->memory) + st->data_page * GB_PAGE;
	s->first_stored[i] = split ? s->n_offsets : st->first;
	for (uint32_t k = 0; k < st->n_pages; k++) {
		uint64_t ram = s->pages[st->first + k] * (uint64_t)GB_PAGE;
		uint64_t copy = data + k * GB_PAGE;
		if (st->write && reads && !split)
			memcpy(s->memory + copy, s->memory + ram, GB_PAGE);
		s->offsets[st->first + k] = st->write && !split ? copy : ram;
		if (split)
			s->offsets[s->n_offsets++] = copy;
	}
}

static void place_staged(struct service *s, uint32_t i, uint64_t *at)
{
	const struct gb_pixel_stream *st = &s->request.stream[i];
	uint8_t *staged = gpu_buffer_map(s->buffer);
	s->first_stored[i] = st->first;
	for (uint32_t k = 0; k < st->n_pages; k++, *at += GB_PAGE) {
		memcpy(staged + *at, s->memory + s->pages[st->first + k] * (uint64_t)GB_PAGE,
		       GB_PAGE);
		s->offsets[st->first + k] = *at;
	}
}

/* Where each listed page is in the device's buffer; pages that the device is to find there are
 * copied to it. */
static void place_pages(struct service *s, const struct prepared *p, unsigned index)
{
	uint64_t at = 0;
	s->n_offsets = s->request.n_pages;
	for (uint32_t i = 0; i < p->kernel->n_streams; i++)
		if (s->imported)
			place_imported(s, p, index, i);
		else
			place_staged(s, i, &at);
}

static void fetch_written(struct service *s, unsigned index)
{
	const uint8_t *staged = s->imported ? NULL : gpu_buffer_map(s->buffer);
	for (uint32_t i = 0; staged && i < s->request.n_streams; i++) {
		const struct gb_pixel_stream *st = &s->request.stream[i];
		for (uint32_t k = 0; st->write && k < st->n_pages; k++)
			memcpy(data_of(s, index) + (st->data_page + k) * GB_PAGE,
			       staged + s->offsets[st->first + k], GB_PAGE);
	}
}

static struct error *run_on_gpu(struct service *s, const struct prepared *p, uint64_t *slots,
				struct offload_gpu_result *ret)
{
	uint64_t address[MCODE_MAX_STREAMS];
	uint32_t first[MCODE_MAX_STREAMS];
	for (uint32_t i = 0; i < p->kernel->n_streams; i++) {
		address[i] = s->request.stream[i].gva;
		first[i] = s->request.stream[i].first;
	}
	struct offload_gpu_memory memory = { .buffer = s->buffer,
					     .address = address,
					     .page = s->offsets,
					     .first = first,
					     .first_stored = s->first_stored,
					     .n_pages = s->n_offsets };
	return offload_gpu_run(p->gpu, &memory, slots, 0, s->request.n, ret);
}

/* Pages of overlapping streams in a request may add up to more than there is room for. */
static bool room_is_enough(const struct service *s)
{
	uint64_t pages = 0, written = 0;
	for (uint32_t i = 0; i < s->request.n_streams; i++) {
		pages += s->request.stream[i].n_pages;
		written += s->request.stream[i].write ? s->request.stream[i].n_pages : 0;
	}
	return pages <= GB_PIXEL_PAGES && written <= GB_PIXEL_DATA_PAGES;
}

/* The work of a request whose copy is in s. False: refused. */
static struct error *work(struct service *s, unsigned index, struct gb_pixel_request *r,
			  bool *good_ret)
{
	const struct prepared *p = &s->prepared[s->request.kernel % GB_KERNEL_SLOTS];
	uint64_t guest[MCODE_GUEST_REGS], slots[MCODE_SLOTS];
	struct offload_gpu_result result;
	*good_ret = false;
	if (s->request.kernel >= GB_KERNEL_SLOTS || !p->gpu || p->serial != s->request.serial)
		return NULL;
	to_guest(&s->request.regs, guest);
	if (!mcode_interp_guard(p->interp, guest, NULL))
		return NULL;
	mcode_interp_setup(p->interp, guest, slots);
	if (pixel_request_refusal(p->kernel, &s->request, s->pages, slots,
				  s->ram_bytes / GB_PAGE) ||
	    !mcode_spirv_aligned(p->kernel, slots) || !room_is_enough(s))
		return NULL;
	place_pages(s, p, index);
	s->shared->place_ns += now_ns() - s->taken_ns;
	TRY(run_on_gpu(s, p, slots, &result));
	s->shared->record_ns += result.record_ns;
	s->shared->wait_ns += result.wait_ns;
	if (result.fault)
		return NULL;
	fetch_written(s, index);
	mcode_interp_finish(p->interp, slots, result.done, guest);
	from_guest(guest, &r->regs_after);
	r->done = result.done;
	r->busy_ns = result.ns;
	s->shared->iterations += result.done;
	s->shared->busy_ns += result.ns;
	s->shared->bytes += (uint64_t)s->request.n_pages * GB_PAGE;
	*good_ret = true;
	return NULL;
}

/* Copied once: the request cannot change underneath. */
static void take_copy(struct service *s, const struct gb_pixel_request *r)
{
	memcpy(&s->request, r, sizeof(s->request));
	if (s->request.n_pages <= GB_PIXEL_PAGES) /* else it will be refused */
		memcpy(s->pages, (const uint8_t *)r + GB_PAGE,
		       s->request.n_pages * sizeof(*s->pages));
}

static struct error *answer(struct service *s, unsigned index, bool *did_ret)
{
	struct gb_pixel_request *r = request_at(s, index);
	bool good;
	if (__atomic_load_n(&r->state, __ATOMIC_RELAXED) != GB_PIXEL_ASKED ||
	    !change(r, GB_PIXEL_ASKED, GB_PIXEL_RUNNING))
		return NULL;
	*did_ret = true;
	s->taken_ns = now_ns();
	s->shared->requests++;
	take_copy(s, r);
	struct error *err = work(s, index, r, &good);
	if (err)
		good = false;
	if (change(r, GB_PIXEL_RUNNING, good ? GB_PIXEL_DONE : GB_PIXEL_REFUSED)) {
		s->shared->done += good;
		s->shared->refused += !good;
	} else { /* given up meanwhile; nothing of it runs any more */
		change(r, GB_PIXEL_ABANDONED, GB_PIXEL_FREE);
		s->shared->abandoned++;
	}
	__atomic_fetch_add(&r->answered, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &r->answered, FUTEX_WAKE, 1, NULL, NULL, 0);
	return err;
}

static struct error *answer_all(struct service *s, bool *did_ret)
{
	*did_ret = false;
	for (unsigned i = 0; i < GB_PIXEL_REQUESTS; i++)
		TRY(answer(s, i, did_ret));
	return NULL;
}

/* --- the loop */

static bool anything_asked(struct service *s)
{
	for (unsigned i = 0; i < GB_PIXEL_REQUESTS; i++)
		if (__atomic_load_n(&request_at(s, i)->state, __ATOMIC_SEQ_CST) ==
		    GB_PIXEL_ASKED)
			return true;
	return false;
}

static void wait_for_bell(struct service *s)
{
	struct timespec tick = { 0, TICK_NS };
	uint32_t bell = __atomic_load_n(&s->shared->doorbell, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->shared->sleeping, 1, __ATOMIC_SEQ_CST); /* pairs: plugin's ask */
	if (!anything_asked(s))
		syscall(SYS_futex, &s->shared->doorbell, FUTEX_WAIT, bell, &tick, NULL, 0);
	__atomic_store_n(&s->shared->sleeping, 0, __ATOMIC_SEQ_CST);
}

static volatile sig_atomic_t asked_to_end, asked_to_lose;

static void note_end(int signal_number)
{
	asked_to_end = 1;
}

/* A lost device, for tests of what follows. */
static void note_loss(int signal_number)
{
	asked_to_lose = 1;
}

/* Ten times a second. False: time to go. */
static struct error *tick(struct service *s, bool *go_on_ret)
{
	struct gb_control state;
	__atomic_store_n(&s->shared->heartbeat_ns, now_ns(), __ATOMIC_RELAXED);
	*go_on_ret = !asked_to_end && kill(s->params->qemu, 0) == 0;
	if (!*go_on_ret)
		return NULL;
	TRY(trace_source_state(s->source, &state));
	*go_on_ret = state.request.offload || state.offload;
	return *go_on_ret ? look_at_slots(s) : NULL;
}

static struct error *serve(struct service *s)
{
	uint64_t busy_ns = 0, tick_ns = 0;
	uint64_t spin_ns =
		sysconf(_SC_NPROCESSORS_ONLN) >= MANY_PROCESSORS ? LONG_SPIN_NS : SPIN_NS;
	for (bool go_on = true; go_on;) {
		bool did;
		if (asked_to_lose)
			gpu_lose(s->gpu);
		TRY(answer_all(s, &did));
		if (gpu_is_lost(s->gpu))
			return error_create(ERR_GPU, "the GPU was lost");
		uint64_t now = now_ns();
		if (did)
			busy_ns = now;
		else if (now - busy_ns > spin_ns)
			wait_for_bell(s);
		if (now - tick_ns > TICK_NS) {
			TRY(tick(s, &go_on));
			tick_ns = now;
		}
	}
	return NULL;
}

/* --- setting up */

/* The GPU work of a service that was killed ends with its process. */
static struct error *wait_for_the_last(struct service *s)
{
	enum { PATIENCE_MS = 5000 };
	int old = (int)syscall(SYS_pidfd_open, s->shared->pid, 0);
	if (!s->shared->pid || old < 0)
		return NULL;
	struct pollfd ended = { .fd = old, .events = POLLIN };
	char path[64], exe[64] = "", own[64] = "";
	snprintf(path, sizeof(path), "/proc/%u/comm", s->shared->pid);
	FILE *comm = fopen(path, "re"), *mine = fopen("/proc/self/comm", "re");
	bool is_one = comm && mine && fgets(exe, sizeof(exe), comm) &&
		      fgets(own, sizeof(own), mine) && !strcmp(exe, own);
	if (comm)
		fclose(comm);
	if (mine)
		fclose(mine);
	bool gone = !is_one || poll(&ended, 1, PATIENCE_MS) > 0;
	close(old);
	return gone ? NULL
		    : error_create(ERR_PEER, "the last service, process %u, does not end",
				   s->shared->pid);
}

static struct error *map_shared(struct service *s)
{
	uint64_t bytes;
	TRY(pixel_file_open(s->params->vm, "pixel", &s->pixel_fd, &bytes));
	if (bytes < GB_PIXEL_FILE_BYTES)
		return error_create(ERR_BAD_DATA, "the Pixel CPU's file is too short");
	if (flock(s->pixel_fd, LOCK_EX | LOCK_NB))
		return error_create(ERR_PEER, "a Pixel CPU service runs for this VM already");
	void *at = mmap(NULL, GB_PIXEL_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			s->pixel_fd, 0);
	if (at == MAP_FAILED)
		return error_system(errno, "cannot map the Pixel CPU's file");
	s->shared = at;
	TRY(wait_for_the_last(s));
	s->shared->magic = GB_PIXEL_MAGIC;
	s->shared->version = GB_PIXEL_VERSION;
	s->shared->pid = (uint32_t)getpid();
	s->shared->sleeping = 0;
	memset(s->shared->serial, 0, sizeof(s->shared->serial));
	for (unsigned i = 0; i < GB_PIXEL_REQUESTS; i++) {
		change(request_at(s, i), GB_PIXEL_ABANDONED, GB_PIXEL_FREE);
		change(request_at(s, i), GB_PIXEL_RUNNING, GB_PIXEL_REFUSED);
	}
	__atomic_fetch_add(&s->shared->epoch, 1, __ATOMIC_RELEASE);
	set_state(s, GB_PIXEL_STARTING);
	return NULL;
}

/* Guest RAM and behind it the requests' data. */
static struct error *map_memory(struct service *s)
{
	uint64_t data_bytes = GB_PIXEL_REQUESTS * GB_PIXEL_DATA_BYTES;
	TRY(pixel_file_open(s->params->vm, "ram", &s->ram_fd, &s->ram_bytes));
	s->ram_bytes &= ~(uint64_t)(GB_PAGE - 1);
	uint8_t *at = mmap(NULL, s->ram_bytes + data_bytes, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return error_system(errno, "cannot make room for guest RAM");
	s->memory = at;
	if (mmap(at, s->ram_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, s->ram_fd,
		 0) == MAP_FAILED ||
	    mmap(at + s->ram_bytes, data_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		 s->pixel_fd, GB_PIXEL_DATA_OFFSET) == MAP_FAILED)
		return error_system(errno, "cannot map guest RAM");
	return NULL;
}

/* Asks a throwaway device first: a failed import can break a device for good. */
static bool can_import(struct service *s, uint64_t bytes)
{
	struct gpu_import_probe probe = { 0 };
	error_destroy(gpu_probe_import(s->params->device, &probe));
	return probe.read_write && probe.sees_writes &&
	       bytes <= gpu_info(s->gpu)->max_storage_range;
}

static struct error *open_device(struct service *s)
{
	struct gpu_params params = { .device = s->params->device, .allow_import = true };
	uint64_t bytes = s->ram_bytes + GB_PIXEL_REQUESTS * GB_PIXEL_DATA_BYTES;
	TRY(gpu_create(&params, &s->gpu));
	const struct gpu_info *info = gpu_info(s->gpu);
	if (info->is_software && !s->params->software)
		return error_create(ERR_UNSUPPORTED, "%s is no GPU", info->name);
	if (!info->has_all_integers)
		return error_create(ERR_UNSUPPORTED, "%s lacks 8-, 16- or 64-bit integers",
				    info->name);
	snprintf(s->shared->device, sizeof(s->shared->device), "%.127s", info->name);
	s->shared->deadline_us =
		info->is_software ? SOFTWARE_DEADLINE_US : HARDWARE_DEADLINE_US;
	if (can_import(s, bytes)) {
		struct error *err = gpu_buffer_import(s->gpu, s->memory, bytes, &s->buffer);
		s->imported = !err;
		error_destroy(err);
	}
	s->shared->imported = s->imported;
	if (s->imported)
		return NULL;
	return gpu_buffer_create(s->gpu, GPU_BUFFER_READBACK,
				 GB_PIXEL_PAGES * (uint64_t)GB_PAGE, &s->buffer);
}

static struct error *set_up(struct service *s)
{
	char path[256];
	trace_source_path(s->params->vm, path, sizeof(path));
	TRY(trace_source_open(path, &s->source));
	TRY(library_open(s->params->library, &s->library));
	TRY(map_shared(s));
	TRY(map_memory(s));
	return open_device(s);
}

static void tear_down(struct service *s)
{
	for (unsigned i = 0; s->shared && i < GB_KERNEL_SLOTS; i++)
		forget(s, i);
	gpu_buffer_destroy(s->buffer);
	gpu_destroy(s->gpu);
	library_close(s->library);
	trace_source_close(s->source);
	if (s->memory)
		munmap(s->memory, s->ram_bytes + GB_PIXEL_REQUESTS * GB_PIXEL_DATA_BYTES);
	if (s->shared)
		munmap(s->shared, GB_PIXEL_FILE_BYTES);
	own_fd(&s->pixel_fd);
	own_fd(&s->ram_fd);
}

struct error *pixel_service_run(const struct pixel_service_params *params)
{
	struct service *s;
	struct sigaction end = { .sa_handler = note_end }, loss = { .sa_handler = note_loss };
	TRY(error_alloc(1, sizeof(*s), &s));
	s->params = params;
	s->pixel_fd = s->ram_fd = -1;
	sigaction(SIGTERM, &end, NULL);
	sigaction(SIGINT, &end, NULL);
	sigaction(SIGUSR1, &loss, NULL);
	struct error *err = set_up(s);
	bool is_up = !err;
	if (!err)
		err = serve(s);
	if (s->shared && s->gpu && gpu_is_lost(s->gpu))
		set_state(s, GB_PIXEL_LOST);
	else if (s->shared)
		set_state(s, is_up || !err ? GB_PIXEL_OFF : GB_PIXEL_NO_DEVICE);
	tear_down(s);
	free(s);
	return err;
}
