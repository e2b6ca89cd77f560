#include "gpu/batch.h"

#include <string.h>

#include "gpu/buffer.h"
#include "gpu/kernel.h"

enum { SETS_PER_POOL = 64 };
/* Staging memory starts small, for a frame's uniforms, and grows for bulk. */
static const uint64_t staging_first_bytes = 64 << 10, staging_chunk_bytes = 16 << 20;
/* How long work may take before the device counts as lost. On the CPU it shares that with all
 * else on the machine. */
static const uint64_t default_timeout_ns = UINT64_C(30000000000);
static const uint64_t software_timeout_ns = UINT64_C(600000000000);

struct gpu_batch {
	struct gpu *gpu;
	VkCommandBuffer commands;
	VkFence fence;
	VkQueryPool queries;
	VEC(VkDescriptorPool) pools;
	unsigned n_sets; /* used of the last pool */
	VEC(struct gpu_buffer *) staging;
	uint64_t staged_bytes; /* used of the last staging buffer */
	uint64_t serial;
	unsigned n_timestamps;
	bool is_submitted, is_done;
};

static struct error *create_queries(struct gpu_batch *batch)
{
	struct gpu *gpu = batch->gpu;
	VkQueryPoolCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
		.queryType = VK_QUERY_TYPE_TIMESTAMP,
		.queryCount = GPU_TIMESTAMPS_MAX,
	};
	return gpu_check(gpu, vkCreateQueryPool(gpu->device, &info, NULL, &batch->queries),
			 "cannot create timestamps");
}

static struct error *record(struct gpu_batch *batch)
{
	VkCommandBufferBeginInfo begin = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
		.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
	};
	TRY(gpu_check(batch->gpu, vkBeginCommandBuffer(batch->commands, &begin),
		      "cannot record"));
	if (batch->queries)
		vkCmdResetQueryPool(batch->commands, batch->queries, 0, GPU_TIMESTAMPS_MAX);
	return NULL;
}

struct error *gpu_batch_begin(struct gpu *gpu, struct gpu_batch **ret)
{
	TRY(gpu_check(gpu, VK_SUCCESS, "cannot start work"));
	AUTO(own_gpu_batch) struct gpu_batch *batch = NULL;
	TRY(error_alloc(1, sizeof(*batch), &batch));
	batch->gpu = gpu;
	VkCommandBufferAllocateInfo info = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
		.commandPool = gpu->commands,
		.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
		.commandBufferCount = 1,
	};
	TRY(gpu_check(gpu, vkAllocateCommandBuffers(gpu->device, &info, &batch->commands),
		      "cannot allocate commands"));
	VkFenceCreateInfo fence = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
	TRY(gpu_check(gpu, vkCreateFence(gpu->device, &fence, NULL, &batch->fence),
		      "cannot create a fence"));
	if (gpu->info.can_time)
		TRY(create_queries(batch));
	TRY(record(batch));
	*ret = TAKE(batch);
	return NULL;
}

/* Keeps the last staging buffer, the largest. */
static void reuse_staging(struct gpu_batch *batch)
{
	while (batch->staging.count > 1) {
		gpu_buffer_destroy(batch->staging.items[0]);
		batch->staging.items[0] = batch->staging.items[--batch->staging.count];
	}
	batch->staged_bytes = 0;
}

struct error *gpu_batch_again(struct gpu_batch *batch)
{
	struct gpu *gpu = batch->gpu;
	CHECK(!batch->is_submitted || batch->is_done);
	TRY(gpu_check(gpu, vkResetFences(gpu->device, 1, &batch->fence),
		      "cannot reset a fence"));
	while (batch->pools.count > 1)
		vkDestroyDescriptorPool(gpu->device, batch->pools.items[--batch->pools.count],
					NULL);
	if (batch->pools.count)
		vkResetDescriptorPool(gpu->device, batch->pools.items[0], 0);
	reuse_staging(batch);
	batch->n_sets = batch->n_timestamps = 0;
	batch->is_submitted = batch->is_done = false;
	return record(batch);
}

void gpu_batch_destroy(struct gpu_batch *batch)
{
	if (!batch)
		return;
	struct gpu *gpu = batch->gpu;
	if (batch->is_submitted && !batch->is_done)
		error_destroy(gpu_batch_wait(batch, 0));
	for (size_t i = 0; i < batch->staging.count; i++)
		gpu_buffer_destroy(batch->staging.items[i]);
	for (size_t i = 0; i < batch->pools.count; i++)
		vkDestroyDescriptorPool(gpu->device, batch->pools.items[i], NULL);
	VEC_FREE(&batch->staging);
	VEC_FREE(&batch->pools);
	vkDestroyQueryPool(gpu->device, batch->queries, NULL);
	vkDestroyFence(gpu->device, batch->fence, NULL);
	if (batch->commands)
		vkFreeCommandBuffers(gpu->device, gpu->commands, 1, &batch->commands);
	free(batch);
}

/* Everything recorded so far happens, and is seen, before what follows. */
static void barrier(struct gpu_batch *batch)
{
	VkMemoryBarrier memory = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
		.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
		.dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
				 VK_ACCESS_UNIFORM_READ_BIT | VK_ACCESS_TRANSFER_READ_BIT |
				 VK_ACCESS_TRANSFER_WRITE_BIT,
	};
	VkPipelineStageFlags stages =
		VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
	vkCmdPipelineBarrier(batch->commands, stages, stages, 0, 1, &memory, 0, NULL, 0, NULL);
}

void gpu_batch_general(struct gpu_batch *batch, VkImage image)
{
	VkImageMemoryBarrier to_general = {
		.sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER,
		.dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT,
		.oldLayout = VK_IMAGE_LAYOUT_UNDEFINED,
		.newLayout = VK_IMAGE_LAYOUT_GENERAL,
		.srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
		.dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
		.image = image,
		.subresourceRange = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1 },
	};
	vkCmdPipelineBarrier(batch->commands, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT,
			     VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 0, NULL, 0, NULL, 1,
			     &to_general);
}

static struct error *add_pool(struct gpu_batch *batch)
{
	VkDescriptorPoolSize sizes[] = {
		{ VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER, SETS_PER_POOL * 2 },
		{ VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, SETS_PER_POOL * 12 },
		{ VK_DESCRIPTOR_TYPE_STORAGE_IMAGE, SETS_PER_POOL * 3 },
		{ VK_DESCRIPTOR_TYPE_SAMPLED_IMAGE, SETS_PER_POOL * 2 },
	};
	VkDescriptorPoolCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
		.maxSets = SETS_PER_POOL,
		.poolSizeCount = sizeof(sizes) / sizeof(*sizes),
		.pPoolSizes = sizes,
	};
	if (!VEC_RESERVE(&batch->pools, batch->pools.count + 1))
		return error_create(ERR_MEMORY, "no memory for bindings");
	VkDescriptorPool pool;
	TRY(gpu_check(batch->gpu,
		      vkCreateDescriptorPool(batch->gpu->device, &info, NULL, &pool),
		      "cannot create room for bindings"));
	batch->pools.items[batch->pools.count++] = pool;
	batch->n_sets = 0;
	return NULL;
}

static struct error *new_set(struct gpu_batch *batch, struct gpu_kernel *kernel,
			     VkDescriptorSet *ret)
{
	if (!batch->pools.count || batch->n_sets == SETS_PER_POOL)
		TRY(add_pool(batch));
	VkDescriptorSetAllocateInfo info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
		.descriptorPool = batch->pools.items[batch->pools.count - 1],
		.descriptorSetCount = 1,
		.pSetLayouts = &kernel->set,
	};
	batch->n_sets++;
	return gpu_check(batch->gpu, vkAllocateDescriptorSets(batch->gpu->device, &info, ret),
			 "cannot allocate bindings");
}

static void write_set(struct gpu_kernel *kernel, VkDescriptorSet set,
		      const struct gpu_bind *binds)
{
	VkWriteDescriptorSet writes[GPU_BINDINGS_MAX];
	VkDescriptorBufferInfo buffers[GPU_BINDINGS_MAX];
	VkDescriptorImageInfo images[GPU_BINDINGS_MAX];
	uint32_t count = 0;
	for (uint32_t i = 0; i < kernel->n_bindings; i++) {
		const struct gpu_bind *bind = &binds[i];
		if (!(kernel->present >> i & 1) || (!bind->buffer && !bind->image))
			continue;
		if (bind->buffer)
			buffers[i] = (VkDescriptorBufferInfo){
				bind->buffer->buffer, bind->offset_bytes,
				bind->range_bytes ? bind->range_bytes : VK_WHOLE_SIZE
			};
		else
			images[i] = (VkDescriptorImageInfo){ .imageView = bind->image->view,
							     .imageLayout =
								     VK_IMAGE_LAYOUT_GENERAL };
		writes[count++] = (VkWriteDescriptorSet){
			.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
			.dstSet = set,
			.dstBinding = i,
			.descriptorCount = 1,
			.descriptorType = kernel->types[i],
			.pBufferInfo = &buffers[i],
			.pImageInfo = &images[i],
		};
	}
	vkUpdateDescriptorSets(kernel->gpu->device, count, writes, 0, NULL);
}

struct error *gpu_batch_dispatch(struct gpu_batch *batch, const struct gpu_dispatch *dispatch)
{
	struct gpu_kernel *kernel = dispatch->kernel;
	VkDescriptorSet set;
	TRY(new_set(batch, kernel, &set));
	write_set(kernel, set, dispatch->binds);
	barrier(batch);
	vkCmdBindPipeline(batch->commands, VK_PIPELINE_BIND_POINT_COMPUTE, kernel->pipeline);
	vkCmdBindDescriptorSets(batch->commands, VK_PIPELINE_BIND_POINT_COMPUTE, kernel->layout,
				0, 1, &set, 0, NULL);
	if (kernel->push_bytes)
		vkCmdPushConstants(batch->commands, kernel->layout, VK_SHADER_STAGE_COMPUTE_BIT,
				   0, kernel->push_bytes, dispatch->push);
	const uint32_t *groups = dispatch->groups;
	vkCmdDispatch(batch->commands, groups[0] ? groups[0] : 1, groups[1] ? groups[1] : 1,
		      groups[2] ? groups[2] : 1);
	return NULL;
}

static struct error *add_staging(struct gpu_batch *batch, uint64_t size_bytes)
{
	if (!VEC_RESERVE(&batch->staging, batch->staging.count + 1))
		return error_create(ERR_MEMORY, "no memory for an upload");
	struct gpu_buffer *buffer = NULL;
	uint64_t chunk = batch->staging.count ? staging_chunk_bytes : staging_first_bytes;
	chunk = size_bytes > chunk ? size_bytes : chunk;
	TRY(gpu_buffer_create(batch->gpu, GPU_BUFFER_UPLOAD, chunk, &buffer));
	batch->staging.items[batch->staging.count++] = buffer;
	batch->staged_bytes = 0;
	return NULL;
}

struct error *gpu_batch_stage(struct gpu_batch *batch, struct gpu_buffer *to,
			      uint64_t offset_bytes, uint64_t size_bytes, void **ret)
{
	size_t count = batch->staging.count;
	if (!count ||
	    size_bytes > batch->staging.items[count - 1]->size_bytes - batch->staged_bytes)
		TRY(add_staging(batch, size_bytes));
	struct gpu_buffer *from = batch->staging.items[batch->staging.count - 1];
	uint64_t at = batch->staged_bytes;
	batch->staged_bytes += (size_bytes + 15) & ~UINT64_C(15);
	if (batch->staged_bytes > from->size_bytes)
		batch->staged_bytes = from->size_bytes;
	gpu_batch_copy(batch, from, at, to, offset_bytes, size_bytes);
	*ret = (uint8_t *)from->map + at;
	return NULL;
}

struct error *gpu_batch_upload(struct gpu_batch *batch, struct gpu_buffer *to,
			       uint64_t offset_bytes, const void *data, uint64_t size_bytes)
{
	void *room;
	TRY(gpu_batch_stage(batch, to, offset_bytes, size_bytes, &room));
	memcpy(room, data, size_bytes);
	return NULL;
}

void gpu_batch_fill(struct gpu_batch *batch, struct gpu_buffer *to, uint64_t offset_bytes,
		    uint64_t size_bytes, uint32_t word)
{
	barrier(batch);
	vkCmdFillBuffer(batch->commands, to->buffer, offset_bytes, size_bytes, word);
}

void gpu_batch_copy(struct gpu_batch *batch, struct gpu_buffer *from, uint64_t from_bytes,
		    struct gpu_buffer *to, uint64_t to_bytes, uint64_t size_bytes)
{
	barrier(batch);
	VkBufferCopy region = { from_bytes, to_bytes, size_bytes };
	vkCmdCopyBuffer(batch->commands, from->buffer, to->buffer, 1, &region);
}

void gpu_batch_copy_image(struct gpu_batch *batch, struct gpu_image *from,
			  struct gpu_buffer *to)
{
	barrier(batch);
	VkBufferImageCopy region = {
		.imageSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1 },
		.imageExtent = { from->width, from->height, from->depth },
	};
	vkCmdCopyImageToBuffer(batch->commands, from->image, VK_IMAGE_LAYOUT_GENERAL,
			       to->buffer, 1, &region);
}

unsigned gpu_batch_timestamp(struct gpu_batch *batch)
{
	CHECK(batch->n_timestamps < GPU_TIMESTAMPS_MAX);
	if (batch->queries)
		vkCmdWriteTimestamp(batch->commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT,
				    batch->queries, batch->n_timestamps);
	return batch->n_timestamps++;
}

/* Makes what the batch wrote visible to mapped memory. */
static void barrier_to_host(struct gpu_batch *batch)
{
	VkMemoryBarrier memory = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
		.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
		.dstAccessMask = VK_ACCESS_HOST_READ_BIT,
	};
	vkCmdPipelineBarrier(batch->commands,
			     VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT |
				     VK_PIPELINE_STAGE_TRANSFER_BIT,
			     VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &memory, 0, NULL, 0, NULL);
}

struct error *gpu_batch_submit(struct gpu_batch *batch)
{
	struct gpu *gpu = batch->gpu;
	barrier_to_host(batch);
	TRY(gpu_check(gpu, vkEndCommandBuffer(batch->commands), "cannot record"));
	VkSubmitInfo info = {
		.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
		.commandBufferCount = 1,
		.pCommandBuffers = &batch->commands,
	};
	TRY(gpu_check(gpu, vkQueueSubmit(gpu->queue, 1, &info, batch->fence), "cannot submit"));
	batch->serial = ++gpu->submitted;
	batch->is_submitted = true;
	return NULL;
}

static void mark_done(struct gpu_batch *batch)
{
	batch->is_done = true;
	if (batch->serial > batch->gpu->finished)
		batch->gpu->finished = batch->serial;
	gpu_collect(batch->gpu);
}

struct error *gpu_batch_wait(struct gpu_batch *batch, uint64_t timeout_ns)
{
	if (batch->is_done)
		return NULL;
	if (!timeout_ns)
		timeout_ns =
			batch->gpu->info.is_software ? software_timeout_ns : default_timeout_ns;
	VkResult result =
		vkWaitForFences(batch->gpu->device, 1, &batch->fence, VK_TRUE, timeout_ns);
	if (result == VK_SUCCESS)
		mark_done(batch);
	if (result == VK_TIMEOUT)
		batch->gpu->is_lost = true;
	return gpu_check(batch->gpu, result, "waiting for work");
}

bool gpu_batch_is_done(struct gpu_batch *batch)
{
	if (!batch->is_done && batch->is_submitted &&
	    vkGetFenceStatus(batch->gpu->device, batch->fence) == VK_SUCCESS)
		mark_done(batch);
	return batch->is_done;
}

uint64_t gpu_batch_elapsed_ns(struct gpu_batch *batch, unsigned first, unsigned second)
{
	uint64_t ticks[2] = { 0 };
	if (!batch->queries || !batch->is_done)
		return 0;
	for (unsigned i = 0; i < 2; i++)
		vkGetQueryPoolResults(batch->gpu->device, batch->queries, i ? second : first, 1,
				      sizeof(ticks[i]), &ticks[i], sizeof(ticks[i]),
				      VK_QUERY_RESULT_64_BIT);
	return ticks[1] > ticks[0]
		       ? (uint64_t)((double)(ticks[1] - ticks[0]) * batch->gpu->info.tick_ns)
		       : 0;
}

struct error *gpu_batch_finish(struct gpu_batch *batch)
{
	AUTO(own_gpu_batch) struct gpu_batch *taken = batch;
	TRY(gpu_batch_submit(taken));
	return gpu_batch_wait(taken, 0);
}
