/* Buffers and storage images of a gpu. Destroying one waits for nothing: the memory goes when
 * the work that was submitted before is done. Thread: the gpu's. */
#ifndef GPU_BUFFER_H
#define GPU_BUFFER_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
struct gpu;
struct gpu_buffer;
struct gpu_image;

enum gpu_buffer_kind {
	GPU_BUFFER_DEVICE, /* fast for kernels; reached through uploads and copies */
	GPU_BUFFER_UPLOAD, /* mapped for writing */
	GPU_BUFFER_READBACK, /* mapped for reading */
};

/* Contents are undefined at first. Caller owns *ret. Fails: ERR_GPU, ERR_MEMORY. */
struct error *gpu_buffer_create(struct gpu *gpu, enum gpu_buffer_kind kind, uint64_t size_bytes,
				struct gpu_buffer **ret);

/* A buffer over host memory (VK_EXT_external_memory_host), without a copy. host and size must
 * be multiples of import_alignment and stay mapped as long as the buffer lives. Importing a
 * read-only mapping breaks some devices for good: ask gpu_probe_import first. */
struct error *gpu_buffer_import(struct gpu *gpu, void *host, uint64_t size_bytes,
				struct gpu_buffer **ret);
void gpu_buffer_destroy(struct gpu_buffer *buffer);
OWN_DECLARE(own_gpu_buffer, struct gpu_buffer *, gpu_buffer_destroy)

uint64_t gpu_buffer_size(const struct gpu_buffer *buffer);

/* The mapping of an UPLOAD or READBACK buffer; coherent. */
void *gpu_buffer_map(struct gpu_buffer *buffer);

enum gpu_format {
	GPU_RGBA8,
	GPU_RGBA32UI,
};

/* A storage image, 2D when depth is 0 or 1 and is_3d is false. Caller owns *ret. */
struct gpu_image_params {
	enum gpu_format format;
	uint32_t width, height, depth;
	bool is_3d;
};
struct error *gpu_image_create(struct gpu *gpu, const struct gpu_image_params *params,
			       struct gpu_image **ret);
void gpu_image_destroy(struct gpu_image *image);
OWN_DECLARE(own_gpu_image, struct gpu_image *, gpu_image_destroy)

/* What importing host memory does on the machine's device, found out on a throwaway device so
 * that a failure cannot hurt the one in use. */
struct gpu_import_probe {
	bool supported; /* the extension is there */
	bool read_write; /* a shared read-write mapping of a tmpfs file can be imported */
	bool read_only; /* a read-only one can, and later imports still work */
	bool sees_writes; /* a later write by the CPU is seen by the device */
};
struct error *gpu_probe_import(const char *device, struct gpu_import_probe *ret);
#endif
