#include "gpu/buffer.h"

#include "gpu/batch.h"
#include "gpu/internal.h"

static const VkFormat formats[] = {
	[GPU_RGBA8] = VK_FORMAT_R8G8B8A8_UNORM,
	[GPU_RGBA32UI] = VK_FORMAT_R32G32B32A32_UINT,
};

static struct error *create_storage(struct gpu_image *image, VkImageType type, VkFormat format)
{
	struct gpu *gpu = image->gpu;
	VkImageCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
		.imageType = type,
		.format = format,
		.extent = { image->width, image->height, image->depth },
		.mipLevels = 1,
		.arrayLayers = 1,
		.samples = VK_SAMPLE_COUNT_1_BIT,
		.usage = VK_IMAGE_USAGE_STORAGE_BIT | VK_IMAGE_USAGE_SAMPLED_BIT |
			 VK_IMAGE_USAGE_TRANSFER_SRC_BIT,
	};
	TRY(gpu_check(gpu, vkCreateImage(gpu->device, &info, NULL, &image->image),
		      "cannot create an image"));
	VkMemoryRequirements needs;
	vkGetImageMemoryRequirements(gpu->device, image->image, &needs);
	int memory = gpu_memory_type(gpu, needs.memoryTypeBits, 0,
				     VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
	if (memory < 0)
		return error_create(ERR_GPU, "%s has no memory for images", gpu->info.name);
	VkMemoryAllocateInfo allocation = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
		.allocationSize = needs.size,
		.memoryTypeIndex = (uint32_t)memory,
	};
	TRY(gpu_check(gpu, vkAllocateMemory(gpu->device, &allocation, NULL, &image->memory),
		      "cannot allocate memory for an image"));
	image->allocated_bytes = needs.size;
	gpu->allocated_bytes += needs.size;
	return gpu_check(gpu, vkBindImageMemory(gpu->device, image->image, image->memory, 0),
			 "cannot bind an image");
}

/* Images live in the general layout from their first moment on. */
static struct error *make_general(struct gpu_image *image)
{
	struct gpu_batch *batch = NULL;
	TRY(gpu_batch_begin(image->gpu, &batch));
	gpu_batch_general(batch, image->image);
	return gpu_batch_finish(batch);
}

struct error *gpu_image_create(struct gpu *gpu, const struct gpu_image_params *params,
			       struct gpu_image **ret)
{
	uint32_t limit = params->is_3d ? gpu->info.max_image_3d : gpu->info.max_image_2d;
	if (!params->width || !params->height || params->width > limit ||
	    params->height > limit || (params->is_3d && params->depth > limit))
		return error_create(ERR_LIMIT, "an image of %ux%ux%u is more than %s can hold",
				    params->width, params->height, params->depth,
				    gpu->info.name);
	AUTO(own_gpu_image) struct gpu_image *image = NULL;
	TRY(error_alloc(1, sizeof(*image), &image));
	image->gpu = gpu;
	image->width = params->width;
	image->height = params->height;
	image->depth = params->depth ? params->depth : 1;
	VkFormat format = formats[params->format];
	TRY(create_storage(image, params->is_3d ? VK_IMAGE_TYPE_3D : VK_IMAGE_TYPE_2D, format));
	VkImageViewCreateInfo view = {
		.sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO,
		.image = image->image,
		.viewType = params->is_3d ? VK_IMAGE_VIEW_TYPE_3D : VK_IMAGE_VIEW_TYPE_2D,
		.format = format,
		.subresourceRange = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1 },
	};
	TRY(gpu_check(gpu, vkCreateImageView(gpu->device, &view, NULL, &image->view),
		      "cannot create an image view"));
	TRY(make_general(image));
	*ret = TAKE(image);
	return NULL;
}

void gpu_image_destroy(struct gpu_image *image)
{
	if (!image)
		return;
	image->gpu->allocated_bytes -= image->allocated_bytes;
	gpu_retire(image->gpu, &(struct gpu_retired){ .image = image->image,
						      .view = image->view,
						      .memory = image->memory });
	free(image);
}
