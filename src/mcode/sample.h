/* Small loops that every executor is measured on, each as microcode text and as the C a
 * programmer would write. Thread: any. */
#ifndef MCODE_SAMPLE_H
#define MCODE_SAMPLE_H
#include <stdint.h>

struct mcode_sample {
	const char *name;
	/* The loop in C over s[0], s[1] (read) and s[2] (written); returns what ends up in RAX.
	 */
	uint64_t (*c)(uint8_t *const *s, uint64_t n, uint64_t a);
	uint8_t read0, read1, written; /* bytes per iteration of s[0], s[1], s[2]; 0: unused */
	uint64_t a; /* RAX at entry */
	/* The kernel: RDI, RSI, RDX hold the addresses of s[0], s[1], s[2], RCX the count. Its
	 * streams are those of the three that it uses, in this order. */
	const char *text;
};

extern const struct mcode_sample mcode_samples[]; /* ends with a NULL name */
#endif
