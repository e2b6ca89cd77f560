#include "gpu/buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "gpu/batch.h"
#include "gpu/device.h"

enum { PROBE_BYTES = 1 << 20 };

/* A tmpfs file mapped twice: both views show the same pages, as QEMU's RAM file does. */
struct probe_memory {
	uint8_t *read_write, *read_only;
};

static void probe_memory_deinit(struct probe_memory *memory)
{
	if (memory->read_write)
		munmap(memory->read_write, PROBE_BYTES);
	if (memory->read_only)
		munmap(memory->read_only, PROBE_BYTES);
}

static struct error *probe_memory_init(struct probe_memory *memory)
{
	AUTO(own_fd) int fd = memfd_create("glassbox-probe", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, PROBE_BYTES))
		return error_system(errno, "cannot make a file to probe with");
	void *writable = mmap(NULL, PROBE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memory->read_write = writable == MAP_FAILED ? NULL : writable;
	void *readable = mmap(NULL, PROBE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	memory->read_only = readable == MAP_FAILED ? NULL : readable;
	if (!memory->read_write || !memory->read_only)
		return error_system(errno, "cannot map a file to probe with");
	return NULL;
}

/* Copies the first bytes of an imported buffer out again. */
static struct error *read_first(struct gpu *gpu, struct gpu_buffer *imported, uint32_t *ret)
{
	AUTO(own_gpu_buffer) struct gpu_buffer *back = NULL;
	TRY(gpu_buffer_create(gpu, GPU_BUFFER_READBACK, 64, &back));
	struct gpu_batch *batch = NULL;
	TRY(gpu_batch_begin(gpu, &batch));
	gpu_batch_copy(batch, imported, 0, back, 0, 64);
	TRY(gpu_batch_finish(batch));
	memcpy(ret, gpu_buffer_map(back), sizeof(*ret));
	return NULL;
}

/* Imports host and looks whether what the CPU writes afterwards is seen. */
static struct error *try_import(struct gpu *gpu, void *host, uint8_t *written, bool *seen_ret)
{
	AUTO(own_gpu_buffer) struct gpu_buffer *buffer = NULL;
	TRY(gpu_buffer_import(gpu, host, PROBE_BYTES, &buffer));
	uint32_t wanted = 0x600dcafe, found = 0;
	memcpy(written, &wanted, sizeof(wanted));
	TRY(read_first(gpu, buffer, &found));
	memset(written, 0, sizeof(wanted));
	*seen_ret = found == wanted;
	return NULL;
}

static bool succeeds(struct error *err)
{
	bool fine = !err;
	error_destroy(err);
	return fine;
}

/* A read-only import counts as working only if importing still works after it. */
static struct error *probe_read_only(const char *device, const struct probe_memory *memory,
				     bool *ret)
{
	AUTO(own_gpu) struct gpu *gpu = NULL;
	TRY(gpu_create(&(struct gpu_params){ .device = device, .allow_import = true }, &gpu));
	bool seen = false, seen_after = false;
	bool worked = succeeds(try_import(gpu, memory->read_only, memory->read_write, &seen));
	bool after =
		succeeds(try_import(gpu, memory->read_write, memory->read_write, &seen_after));
	*ret = worked && seen && after && seen_after;
	return NULL;
}

struct error *gpu_probe_import(const char *device, struct gpu_import_probe *ret)
{
	AUTO(probe_memory_deinit) struct probe_memory memory = { 0 };
	TRY(probe_memory_init(&memory));
	struct gpu_import_probe probe = { 0 };
	AUTO(own_gpu) struct gpu *gpu = NULL;
	TRY(gpu_create(&(struct gpu_params){ .device = device, .allow_import = true }, &gpu));
	probe.supported = gpu_info(gpu)->can_import;
	if (probe.supported) {
		probe.read_write = succeeds(try_import(gpu, memory.read_write,
						       memory.read_write, &probe.sees_writes));
		TRY(probe_read_only(device, &memory, &probe.read_only));
	}
	*ret = probe;
	return NULL;
}
