/* Functions with one loop each, as machine code of several builds: learn_code.c, which
 * tests/tools/make_learn_code.py makes from learn_sample.c. Thread: any. */
#ifndef LEARN_SAMPLE_H
#define LEARN_SAMPLE_H
#include <stdint.h>

struct sample {
	const char *name;
	uint64_t gva; /* of the function */
	const char *pattern; /* what the scalar build must be; NULL: must be refused */
};

struct learn_code {
	uint64_t base;
	uint32_t n_bytes;
	const uint8_t *bytes;
	const struct sample *samples; /* ends with a NULL name */
};

enum { LEARN_SCALAR, LEARN_VECTOR, LEARN_SMALL, LEARN_BUILDS };
extern const struct learn_code learn_code[LEARN_BUILDS];
#endif
