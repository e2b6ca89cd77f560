/* Kernels as machine code: a kernel becomes C source, gcc makes of it one flat, position-
 * independent image with plan() and run() as plugin/kernel_abi.h asks, which the plugin (or a
 * test) maps and calls. Compiling takes tens of milliseconds and runs gcc as a child. Thread:
 * any; a mapped kernel may run in several threads at once. */
#ifndef MCODE_NATIVE_H
#define MCODE_NATIVE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
struct error;
struct gb_plan;
struct gb_regs;
struct mcode_kernel;

/* Instruction sets an image may use; the numbers are plugin/kernel_abi.h's feature bits. */
enum mcode_native_target {
	MCODE_NATIVE_HOST = -1, /* the best this machine has, of those below */
	MCODE_NATIVE_SSE2 = 0,
	MCODE_NATIVE_AVX2 = 1, /* x86-64-v3 */
	MCODE_NATIVE_AVX512 = 2, /* x86-64-v4; never chosen by HOST */
};

struct mcode_image {
	uint8_t *bytes; /* owned */
	size_t size_bytes;
	uint32_t plan_offset, run_offset;
	bool uneven; /* iterations do not all do the same: the body jumps */
	uint32_t features;
	uint64_t in_gpr, in_xmm, out_gpr, out_xmm; /* masks of registers read and written */
};
void mcode_image_free(struct mcode_image *image);

/* The C source of a valid kernel, prelude included. Caller frees *ret. ERR_UNSUPPORTED: more
 * streams than the plugin can place, or a register it cannot write. */
struct error *mcode_native_source(const struct mcode_kernel *kernel, char **ret);

/* Compiles a valid kernel. Caller frees ret with mcode_image_free. ERR_UNSUPPORTED as above;
 * ERR_NOT_FOUND without a compiler; ERR_LIMIT when it took too long; ERR_PEER when it failed.
 */
struct error *mcode_native_compile(const struct mcode_kernel *kernel,
				   enum mcode_native_target target, struct mcode_image *ret);

/* The same, out of the user's cache (mcode/native_cache.h) if it was compiled before. */
struct error *mcode_native_get(const struct mcode_kernel *kernel,
			       enum mcode_native_target target, struct mcode_image *ret);

/* An image made executable in this process. */
struct mcode_native;
typedef uint32_t mcode_native_plan(const struct gb_regs *in, struct gb_plan *out);
/* Returns the iterations done, less than n at a search hit or a fault. host[s] is where the
 * bytes of stream s that iteration 0 may touch begin: its window's low end. */
typedef uint64_t mcode_native_run(struct gb_regs *state, uint8_t *const *host, uint64_t n);

/* Caller owns *ret; the image may be freed afterwards. */
struct error *mcode_native_load(const struct mcode_image *image, struct mcode_native **ret);
void mcode_native_destroy(struct mcode_native *native);
OWN_DECLARE(own_mcode_native, struct mcode_native *, mcode_native_destroy)
mcode_native_plan *mcode_native_plan_get(const struct mcode_native *native);
mcode_native_run *mcode_native_run_get(const struct mcode_native *native);
#endif
