/* The inside of a kernel, shared by the files that make and run one. Thread: the gpu's. */
#ifndef GPU_KERNEL_H
#define GPU_KERNEL_H
#include "gpu/batch.h"
#include "gpu/internal.h"

struct gpu_kernel {
	struct gpu *gpu;
	VkDescriptorSetLayout set;
	VkPipelineLayout layout;
	VkPipeline pipeline;
	VkDescriptorType types[GPU_BINDINGS_MAX];
	uint32_t n_bindings, push_bytes;
	uint32_t present; /* bit for each binding number in use */
};
#endif
