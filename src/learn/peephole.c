#include "learn/peephole.h"

#include "base/error.h"

struct error *peephole_kernel(struct mcode_kernel *kernel)
{
	(void)kernel;
	return NULL;
}
