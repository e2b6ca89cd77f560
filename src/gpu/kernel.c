#include "gpu/batch.h"

#include <string.h>

#include "gpu/kernel.h"

static struct error *binding_type(char letter, VkDescriptorType *ret)
{
	static const struct {
		char letter;
		VkDescriptorType type;
	} types[] = {
		{ 'u', VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER },
		{ 's', VK_DESCRIPTOR_TYPE_STORAGE_BUFFER },
		{ 'i', VK_DESCRIPTOR_TYPE_STORAGE_IMAGE },
		{ 't', VK_DESCRIPTOR_TYPE_SAMPLED_IMAGE },
	};
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		if (types[i].letter != letter)
			continue;
		*ret = types[i].type;
		return NULL;
	}
	return error_create(ERR_GPU, "unknown kind of binding '%c'", letter);
}

static struct error *create_layout(struct gpu_kernel *kernel,
				   const struct gpu_kernel_params *params)
{
	struct gpu *gpu = kernel->gpu;
	VkDescriptorSetLayoutBinding bindings[GPU_BINDINGS_MAX];
	uint32_t count = 0;
	for (uint32_t i = 0; i < kernel->n_bindings; i++) {
		if (params->bindings[i] == '-')
			continue;
		TRY(binding_type(params->bindings[i], &kernel->types[i]));
		kernel->present |= 1u << i;
		bindings[count++] = (VkDescriptorSetLayoutBinding){
			.binding = i,
			.descriptorType = kernel->types[i],
			.descriptorCount = 1,
			.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
		};
	}
	VkDescriptorSetLayoutCreateInfo set = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
		.bindingCount = count,
		.pBindings = bindings,
	};
	TRY(gpu_check(gpu, vkCreateDescriptorSetLayout(gpu->device, &set, NULL, &kernel->set),
		      "cannot describe bindings"));
	VkPushConstantRange push = { VK_SHADER_STAGE_COMPUTE_BIT, 0, params->push_bytes };
	VkPipelineLayoutCreateInfo layout = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
		.setLayoutCount = 1,
		.pSetLayouts = &kernel->set,
		.pushConstantRangeCount = params->push_bytes ? 1 : 0,
		.pPushConstantRanges = &push,
	};
	return gpu_check(gpu,
			 vkCreatePipelineLayout(gpu->device, &layout, NULL, &kernel->layout),
			 "cannot lay out a pipeline");
}

static struct error *create_pipeline(struct gpu_kernel *kernel,
				     const struct gpu_kernel_params *params)
{
	struct gpu *gpu = kernel->gpu;
	VkShaderModuleCreateInfo code = {
		.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
		.codeSize = params->n_words * 4,
		.pCode = params->words,
	};
	VkShaderModule module;
	TRY(gpu_check(gpu, vkCreateShaderModule(gpu->device, &code, NULL, &module),
		      "cannot load a shader"));
	VkComputePipelineCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
		.stage = {
			.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
			.stage = VK_SHADER_STAGE_COMPUTE_BIT,
			.module = module,
			.pName = params->entry ? params->entry : "main",
		},
		.layout = kernel->layout,
	};
	VkResult result = vkCreateComputePipelines(gpu->device, VK_NULL_HANDLE, 1, &info, NULL,
						   &kernel->pipeline);
	vkDestroyShaderModule(gpu->device, module, NULL);
	return gpu_check(gpu, result, "cannot compile a shader");
}

struct error *gpu_kernel_create(struct gpu *gpu, const struct gpu_kernel_params *params,
				struct gpu_kernel **ret)
{
	AUTO(own_gpu_kernel) struct gpu_kernel *kernel = NULL;
	TRY(error_alloc(1, sizeof(*kernel), &kernel));
	kernel->gpu = gpu;
	kernel->n_bindings = (uint32_t)strlen(params->bindings);
	kernel->push_bytes = params->push_bytes;
	CHECK(kernel->n_bindings <= GPU_BINDINGS_MAX);
	TRY(error_wrap(create_layout(kernel, params), "kernel %s", params->name));
	TRY(error_wrap(create_pipeline(kernel, params), "kernel %s", params->name));
	*ret = TAKE(kernel);
	return NULL;
}

void gpu_kernel_destroy(struct gpu_kernel *kernel)
{
	if (!kernel)
		return;
	gpu_retire(kernel->gpu, &(struct gpu_retired){ .pipeline = kernel->pipeline,
						       .pipeline_layout = kernel->layout,
						       .set_layout = kernel->set });
	free(kernel);
}
