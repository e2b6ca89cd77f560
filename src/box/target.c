#include "box/target.h"

#include <stdlib.h>

#include "base/error.h"

struct target {
	const struct target_params *params;
};

struct error *target_open(const struct target_params *params, struct target **ret)
{
	(void)ret;
	return error_create(ERR_NOT_FOUND, "no VM '%s'", params->vm ? params->vm : params->file);
}

void target_destroy(struct target *target)
{
	free(target);
}
