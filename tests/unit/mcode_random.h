/* Random valid kernels for property tests, and memory for them. The same seed gives the same
 * kernel. */
#ifndef MCODE_RANDOM_H
#define MCODE_RANDOM_H
#include <stdbool.h>
#include <stdint.h>
struct mcode_kernel;
struct mcode_view;

struct random_params {
	uint64_t seed;
	uint32_t n_insns; /* of the body */
	bool jumps; /* forward and backward ones */
	bool nested; /* jumps only forward, out of regions that lie in one another */
	bool packed; /* lane-wise and lane-crossing operations */
	bool memory; /* streams: read s0, s1; readwrite s2; write s3; table s4 */
	bool aligned; /* accesses at multiples of their width */
	bool reductions;
	bool search; /* instead of stores and reductions, unless serial */
	bool serial; /* state is carried on */
};

#define RANDOM_ITERATIONS 97u
#define RANDOM_BYTES 4096u /* of each stream's buffer */

uint64_t random_next(uint64_t *state);
/* Interesting values often, uniform ones otherwise. */
uint64_t random_value(uint64_t *state);
/* Inputs are RAX .. RDI in slots 0 .. 7; exits RAX .. RDI. Caller owns the result. */
struct mcode_kernel *random_kernel(const struct random_params *params);
/* One kernel that computes every distinct instruction of tests/golden/mcode_ops.txt: iteration
 * k reads a, b, d at s0 + 24 * k and stores the results at s1 + 8 * n * k, n instructions. RDI
 * and RSI are the bases, RCX the trip count. Caller owns the result. */
struct mcode_kernel *golden_kernel(uint32_t part, uint32_t parts, uint32_t *n_ret);
/* Fills 5 buffers of RANDOM_BYTES and points the views at them, bases as in guest[]. */
void random_memory(uint64_t *state, uint8_t *buffers, struct mcode_view *views,
		   uint64_t *guest);
#endif
