/* One loop: start what is asked, answer what the device has done, then wait on the doorbell, at
 * most a tenth of a second; in between show that we live and look for new kernels, the end of
 * offload and of QEMU.
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
#include "offload/internal.h"
#include "offload/pixel_file.h"
#include "plugin/pixel.h"
#include "trace/source.h"

enum {
	SPIN_NS = 50 * 1000, /* after the last request, before sleeping */
	LONG_SPIN_NS = 2000 * 1000, /* the same where processors are many */
	MANY_PROCESSORS = 4,
	TICK_NS = 100 * 1000 * 1000,
	HARDWARE_DEADLINE_US = 20 * 1000,
	SOFTWARE_DEADLINE_US = 1000 * 1000,
};

uint64_t service_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

void service_set_state(struct service *s, enum gb_pixel_service state)
{
	__atomic_store_n(&s->shared->heartbeat_ns, service_now_ns(), __ATOMIC_RELAXED);
	__atomic_store_n(&s->shared->service, state, __ATOMIC_RELEASE); /* pairs: plugin */
}

/* --- the loop */

static void wait_for_bell(struct service *s)
{
	struct timespec tick = { 0, TICK_NS };
	uint32_t bell = __atomic_load_n(&s->shared->doorbell, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->shared->sleeping, 1, __ATOMIC_SEQ_CST); /* pairs: plugin's ask */
	if (!service_anything_asked(s))
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
	__atomic_store_n(&s->shared->heartbeat_ns, service_now_ns(), __ATOMIC_RELAXED);
	*go_on_ret = !asked_to_end && kill(s->params->qemu, 0) == 0;
	if (!*go_on_ret)
		return NULL;
	TRY(trace_source_state(s->source, &state));
	*go_on_ret = state.request.offload || state.offload;
	return *go_on_ret ? service_look_at_slots(s) : NULL;
}

/* Starts what was asked and ends what the device has done. */
static struct error *work(struct service *s, bool *did_ret)
{
	bool started;
	TRY(service_start_next(s, &started));
	bool due = service_is_due(s) &&
		   (!gpu_info(s->gpu)->is_software || !service_anything_asked(s));
	if (due)
		TRY(service_end_oldest(s));
	*did_ret = started || s->n_flying || due;
	return NULL;
}

static struct error *tick_between(struct service *s, bool *go_on_ret)
{
	while (s->n_flying)
		TRY(service_end_oldest(s));
	return tick(s, go_on_ret);
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
		TRY(work(s, &did));
		if (gpu_is_lost(s->gpu))
			return error_create(ERR_GPU, "the GPU was lost");
		uint64_t now = service_now_ns();
		if (did)
			busy_ns = now;
		else if (now - busy_ns > spin_ns)
			wait_for_bell(s);
		if (now - tick_ns > TICK_NS) {
			TRY(tick_between(s, &go_on));
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
		service_change(service_request_at(s, i), GB_PIXEL_ABANDONED, GB_PIXEL_FREE);
		service_change(service_request_at(s, i), GB_PIXEL_RUNNING, GB_PIXEL_REFUSED);
	}
	__atomic_fetch_add(&s->shared->epoch, 1, __ATOMIC_RELEASE);
	service_set_state(s, GB_PIXEL_STARTING);
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
	if (s->shared)
		service_forget_kernels(s);
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
	service_end_all(s);
	if (s->shared && s->gpu && gpu_is_lost(s->gpu))
		service_set_state(s, GB_PIXEL_LOST);
	else if (s->shared)
		service_set_state(s, is_up || !err ? GB_PIXEL_OFF : GB_PIXEL_NO_DEVICE);
	tear_down(s);
	free(s);
	return err;
}
