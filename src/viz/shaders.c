#include "viz/shaders.h"

#include <string.h>

#include "gpu/batch.h"

struct error *viz_kernel_create(struct gpu *gpu, const char *name, struct gpu_kernel **ret)
{
	const struct viz_shader *shader = viz_shaders;
	if (!shader->name)
		return error_hint(error_create(ERR_UNSUPPORTED, "built without shaders"),
				  "run `make build`: it fetches the shader compiler first");
	while (shader->name && strcmp(shader->name, name))
		shader++;
	CHECK(shader->name);
	return gpu_kernel_create(gpu,
				 &(struct gpu_kernel_params){
					 .name = name,
					 .words = shader->words,
					 .n_words = shader->n_words,
					 .entry = name,
					 .bindings = shader->bindings,
				 },
				 ret);
}
