/* What the files of room gpu share. Nobody else includes this. Thread: the gpu's. */
#ifndef GPU_INTERNAL_H
#define GPU_INTERNAL_H
#include <vulkan/vulkan.h>

#include "base/vec.h"
#include "gpu/device.h"

/* Something to free once the batch with this serial number has finished. */
struct gpu_retired {
	uint64_t serial;
	VkBuffer buffer;
	VkImage image;
	VkImageView view;
	VkDeviceMemory memory;
	VkPipeline pipeline;
	VkPipelineLayout pipeline_layout;
	VkDescriptorSetLayout set_layout;
};

struct gpu {
	struct gpu_info info;
	VkInstance instance;
	VkDebugUtilsMessengerEXT messenger;
	VkPhysicalDevice physical;
	VkDevice device;
	VkQueue queue;
	uint32_t family;
	VkCommandPool commands;
	VkPhysicalDeviceMemoryProperties memory;
	PFN_vkGetMemoryHostPointerPropertiesEXT host_pointer_properties;
	uint64_t submitted, finished; /* serial numbers of batches */
	uint64_t allocated_bytes;
	unsigned n_messages;
	char last_message[512];
	bool is_validated, is_lost;
	VEC(struct gpu_retired) retired;
};

struct gpu_buffer {
	struct gpu *gpu;
	VkBuffer buffer;
	VkDeviceMemory memory;
	uint64_t size_bytes, allocated_bytes;
	void *map;
};

struct gpu_image {
	struct gpu *gpu;
	VkImage image;
	VkImageView view;
	VkDeviceMemory memory;
	uint64_t allocated_bytes;
	uint32_t width, height, depth;
};

/* NULL for VK_SUCCESS, else ERR_GPU with the name of the result; remembers a lost device. */
struct error *gpu_check(struct gpu *gpu, VkResult result, const char *what);
const char *gpu_result_name(VkResult result);

/* Index of a memory type among allowed with all of wanted and, if any has them, liked. -1:
 * none.
 */
int gpu_memory_type(const struct gpu *gpu, uint32_t allowed, VkMemoryPropertyFlags wanted,
		    VkMemoryPropertyFlags liked);

/* Frees now if nothing submitted can use it, else later. */
void gpu_retire(struct gpu *gpu, const struct gpu_retired *what);
void gpu_collect(struct gpu *gpu);

/* Records the change of a new image to the general layout. */
struct gpu_batch;
void gpu_batch_general(struct gpu_batch *batch, VkImage image);
#endif
