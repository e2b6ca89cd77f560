/* Kernels as SPIR-V: a kernel's body becomes a compute shader that runs iterations in parallel
 * over one storage buffer of memory. Guard, setup and finish stay on the CPU (interp.h). Needs
 * a device with 64-bit integers and 8- and 16-bit storage; others use the WGSL interpreter.
 * Thread: any. */
#ifndef MCODE_SPIRV_H
#define MCODE_SPIRV_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct error;
struct mcode_kernel;
struct mcode_reduction;
struct mcode_view;

#define MCODE_SPIRV_LANES 128u /* invocations of one work group */
#define MCODE_SPIRV_PAGE 4096u

/* What the shader is bound to, all storage buffers of set 0:
 *   binding 0  memory: everything the streams touch, up to 4 GiB
 *   binding 1  arguments, below
 *   binding 2  results, below */
enum { MCODE_SPIRV_MEMORY, MCODE_SPIRV_ARGUMENTS, MCODE_SPIRV_RESULTS, MCODE_SPIRV_BINDINGS };

/* Arguments, 64-bit words: k0, n (below 2^31), then the slots after setup, then per stream the
 * place and the page table's start, then the page table.
 *   linear: byte offset in memory of the stream's view, minus the view's address
 *   paged:  guest address of the view's first page; its pages' offsets in memory stand at
 *           word `page table's start` of the arguments, one word each
 * and a third word, the start of the page table that stores go by: the same, or another where
 * what is stored is not to be seen by loads. */
struct mcode_spirv_layout {
	uint32_t n_slots;
	uint32_t n_streams;
	uint32_t argument_words; /* without the page table */
	uint32_t n_reductions;
};

/* Results, 32-bit words, the first two set to 0xffffffff before a run:
 *   0 smallest k - k0 that hit, 1 smallest that faulted, then from word 2 pairs (low, high):
 *   for every work group the partial result of every reduction. */
#define MCODE_SPIRV_RESULT_WORDS(groups, reductions) (2 + 2 * (groups) * (reductions))

enum mcode_spirv_flags {
	MCODE_SPIRV_PAGED = 1, /* streams are lists of pages, no access crosses a page's end */
};

/* Makes the shader of a valid kernel. Caller frees *words_ret. A faulting iteration does not
 * stop later ones from storing: the caller must not use memory after a fault. */
struct error *mcode_spirv_make(const struct mcode_kernel *kernel, unsigned flags,
			       uint32_t **words_ret, size_t *n_words_ret,
			       struct mcode_spirv_layout *layout_ret);

/* True if every access of the kernel through views at these addresses is aligned to its width:
 * what the shader takes for granted. slots are those after setup. */
bool mcode_spirv_aligned(const struct mcode_kernel *kernel, const uint64_t *slots);

/* What a reduction starts from in every lane: x OP identity = x. */
uint64_t mcode_reduction_identity(const struct mcode_reduction *red);

/* Folds the partial results of `groups` work groups into slots, once all of them ran. */
void mcode_spirv_fold(const struct mcode_kernel *kernel, uint64_t *slots,
		      const uint32_t *results, uint32_t groups);
#endif
