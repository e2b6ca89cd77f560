/* One Vulkan device for compute without a window: choosing it, its facts, and losing it. Knows
 * nothing of guests. Thread: a gpu and everything made from it belongs to one thread. */
#ifndef GPU_DEVICE_H
#define GPU_DEVICE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
struct gpu;

struct gpu_params {
	const char *device; /* part of the device's name, or NULL: the best one */
	bool validate; /* run under the validation layers, when they are installed */
	bool allow_import; /* ask for the extension that gpu_buffer_import needs */
};

struct gpu_info {
	char name[256];
	char driver[520];
	bool is_software; /* runs on the CPU (lavapipe, SwiftShader) */
	bool can_import; /* the extension is there and was asked for; a probe says if it works
			  */
	bool can_time; /* timestamps work on the queue */
	bool has_all_integers; /* 64-bit arithmetic, 8- and 16-bit storage, SPIR-V 1.5 */
	uint64_t import_alignment;
	uint64_t max_storage_range; /* bytes one storage binding can see */
	uint64_t max_buffer_bytes; /* bytes of one allocation */
	uint64_t local_bytes; /* size of the largest device-local heap */
	uint32_t max_image_3d;
	uint32_t max_image_2d;
	uint32_t max_groups; /* work groups in one dimension of a dispatch */
	double tick_ns; /* of a timestamp */
};

/* Caller owns *ret. Fails: ERR_UNSUPPORTED without any Vulkan device, ERR_GPU. */
struct error *gpu_create(const struct gpu_params *params, struct gpu **ret);
void gpu_destroy(struct gpu *gpu);
OWN_DECLARE(own_gpu, struct gpu *, gpu_destroy)

const struct gpu_info *gpu_info(const struct gpu *gpu);

/* Messages the validation layers gave so far; the last one is kept. */
unsigned gpu_messages(const struct gpu *gpu);
const char *gpu_last_message(const struct gpu *gpu);
bool gpu_is_validated(const struct gpu *gpu);

/* True once the device was lost: nothing works on it any more, destroy it and start again. */
bool gpu_is_lost(const struct gpu *gpu);

/* Behaves from now on as if the driver had reported the loss: for tests of recovery. */
void gpu_lose(struct gpu *gpu);

/* Waits for everything submitted. */
struct error *gpu_wait_idle(struct gpu *gpu);

/* Bytes of device memory this gpu holds now. */
uint64_t gpu_allocated(const struct gpu *gpu);
#endif
