/* Functions with one loop each, built with several optimisations. Thread: any. */
#ifndef LEARN_SAMPLE_H
#define LEARN_SAMPLE_H

struct sample {
	const char *name;
	const void *code;
	const char *pattern; /* what the scalar build must be; NULL: must be refused */
};

/* Ends with a NULL name. */
const struct sample *learn_sample_scalar(void);
const struct sample *learn_sample_vector(void);
const struct sample *learn_sample_small(void);
#endif
