/* The kernels compiled from shaders/ at build time. Empty in a build without tint. Thread: any.
 */
#ifndef VIZ_SHADERS_H
#define VIZ_SHADERS_H
#include <stddef.h>
#include <stdint.h>
struct error;
struct gpu;
struct gpu_kernel;

struct viz_shader {
	const char *name; /* of the entry point; NULL ends the table */
	const uint32_t *words;
	size_t n_words;
	const char *bindings; /* as struct gpu_kernel_params wants them */
};

extern const struct viz_shader viz_shaders[];

/* Makes the kernel of an entry point. Caller owns *ret. Fails: ERR_UNSUPPORTED in a build
 * without shaders, ERR_GPU. */
struct error *viz_kernel_create(struct gpu *gpu, const char *name, struct gpu_kernel **ret);
#endif
