#include "gpu/buffer.h"

#include "gpu/batch.h"
#include "gpu/internal.h"

static const VkBufferUsageFlags buffer_usage =
	VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT |
	VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;

static const struct {
	VkMemoryPropertyFlags wanted, liked;
} memory_of_kind[] = {
	[GPU_BUFFER_DEVICE] = { 0, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT },
	/* Cached: without it stores of a virtual machine may reach memory one by one. */
	[GPU_BUFFER_UPLOAD] = { VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
					VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
				VK_MEMORY_PROPERTY_HOST_CACHED_BIT },
	[GPU_BUFFER_READBACK] = { VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
					  VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
				  VK_MEMORY_PROPERTY_HOST_CACHED_BIT },
};

static struct error *allocate(struct gpu *gpu, const VkMemoryRequirements *needs,
			      VkMemoryPropertyFlags wanted, VkMemoryPropertyFlags liked,
			      VkDeviceMemory *ret)
{
	int type = gpu_memory_type(gpu, needs->memoryTypeBits, wanted, liked);
	if (type < 0)
		return error_create(ERR_GPU, "%s has no fitting memory", gpu->info.name);
	VkMemoryAllocateInfo info = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
		.allocationSize = needs->size,
		.memoryTypeIndex = (uint32_t)type,
	};
	TRY(gpu_check(gpu, vkAllocateMemory(gpu->device, &info, NULL, ret),
		      "cannot allocate memory"));
	gpu->allocated_bytes += needs->size;
	return NULL;
}

struct error *gpu_buffer_create(struct gpu *gpu, enum gpu_buffer_kind kind, uint64_t size_bytes,
				struct gpu_buffer **ret)
{
	AUTO(own_gpu_buffer) struct gpu_buffer *buffer = NULL;
	TRY(error_alloc(1, sizeof(*buffer), &buffer));
	buffer->gpu = gpu;
	buffer->size_bytes = size_bytes;
	VkBufferCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
		.size = size_bytes,
		.usage = buffer_usage,
	};
	TRY(gpu_check(gpu, vkCreateBuffer(gpu->device, &info, NULL, &buffer->buffer),
		      "cannot create a buffer"));
	VkMemoryRequirements needs;
	vkGetBufferMemoryRequirements(gpu->device, buffer->buffer, &needs);
	TRY(error_wrap(allocate(gpu, &needs, memory_of_kind[kind].wanted,
				memory_of_kind[kind].liked, &buffer->memory),
		       "buffer of %llu bytes", (unsigned long long)size_bytes));
	buffer->allocated_bytes = needs.size;
	TRY(gpu_check(gpu, vkBindBufferMemory(gpu->device, buffer->buffer, buffer->memory, 0),
		      "cannot bind a buffer"));
	if (kind != GPU_BUFFER_DEVICE)
		TRY(gpu_check(gpu,
			      vkMapMemory(gpu->device, buffer->memory, 0, VK_WHOLE_SIZE, 0,
					  &buffer->map),
			      "cannot map a buffer"));
	*ret = TAKE(buffer);
	return NULL;
}

/* Memory types that can hold an import of host, or 0. */
static uint32_t import_types(struct gpu *gpu, void *host)
{
	VkMemoryHostPointerPropertiesEXT properties = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT,
	};
	VkResult result = gpu->host_pointer_properties(
		gpu->device, VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT, host,
		&properties);
	return result == VK_SUCCESS ? properties.memoryTypeBits : 0;
}

static struct error *import_memory(struct gpu_buffer *buffer, void *host)
{
	struct gpu *gpu = buffer->gpu;
	VkMemoryRequirements needs;
	vkGetBufferMemoryRequirements(gpu->device, buffer->buffer, &needs);
	int type = gpu_memory_type(gpu, needs.memoryTypeBits & import_types(gpu, host), 0, 0);
	if (type < 0)
		return error_create(ERR_GPU, "%s cannot import this memory", gpu->info.name);
	VkImportMemoryHostPointerInfoEXT import = {
		.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
		.handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
		.pHostPointer = host,
	};
	VkMemoryAllocateInfo info = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
		.pNext = &import,
		.allocationSize = buffer->size_bytes,
		.memoryTypeIndex = (uint32_t)type,
	};
	TRY(gpu_check(gpu, vkAllocateMemory(gpu->device, &info, NULL, &buffer->memory),
		      "cannot import host memory"));
	return gpu_check(gpu,
			 vkBindBufferMemory(gpu->device, buffer->buffer, buffer->memory, 0),
			 "cannot bind imported memory");
}

struct error *gpu_buffer_import(struct gpu *gpu, void *host, uint64_t size_bytes,
				struct gpu_buffer **ret)
{
	uint64_t alignment = gpu->info.import_alignment;
	if (!gpu->info.can_import || !gpu->host_pointer_properties)
		return error_create(ERR_UNSUPPORTED, "%s cannot import host memory",
				    gpu->info.name);
	if ((uintptr_t)host % alignment || size_bytes % alignment)
		return error_create(ERR_UNSUPPORTED, "memory to import must be aligned to %llu",
				    (unsigned long long)alignment);
	AUTO(own_gpu_buffer) struct gpu_buffer *buffer = NULL;
	TRY(error_alloc(1, sizeof(*buffer), &buffer));
	buffer->gpu = gpu;
	buffer->size_bytes = size_bytes;
	VkExternalMemoryBufferCreateInfo external = {
		.sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
		.handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
	};
	VkBufferCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
		.pNext = &external,
		.size = size_bytes,
		.usage = buffer_usage,
	};
	TRY(gpu_check(gpu, vkCreateBuffer(gpu->device, &info, NULL, &buffer->buffer),
		      "cannot create a buffer"));
	TRY(import_memory(buffer, host));
	*ret = TAKE(buffer);
	return NULL;
}

void gpu_buffer_destroy(struct gpu_buffer *buffer)
{
	if (!buffer)
		return;
	buffer->gpu->allocated_bytes -= buffer->allocated_bytes;
	gpu_retire(buffer->gpu,
		   &(struct gpu_retired){ .buffer = buffer->buffer, .memory = buffer->memory });
	free(buffer);
}

uint64_t gpu_buffer_size(const struct gpu_buffer *buffer)
{
	return buffer->size_bytes;
}

void *gpu_buffer_map(struct gpu_buffer *buffer)
{
	return buffer->map;
}
