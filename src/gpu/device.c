#include "gpu/device.h"

#include <string.h>

#include "base/lazy_library.h"
#include "gpu/internal.h"

static const char validation_layer[] = "VK_LAYER_KHRONOS_validation";

const char *gpu_result_name(VkResult result)
{
	switch ((int)result) {
	case VK_ERROR_OUT_OF_HOST_MEMORY:
		return "out of host memory";
	case VK_ERROR_OUT_OF_DEVICE_MEMORY:
		return "out of device memory";
	case VK_ERROR_INITIALIZATION_FAILED:
		return "initialization failed";
	case VK_ERROR_DEVICE_LOST:
		return "device lost";
	case VK_ERROR_INCOMPATIBLE_DRIVER:
		return "no driver";
	case VK_ERROR_INVALID_EXTERNAL_HANDLE:
		return "memory cannot be imported";
	case VK_TIMEOUT:
		return "timed out";
	default:
		return "unexpected result";
	}
}

struct error *gpu_check(struct gpu *gpu, VkResult result, const char *what)
{
	if (gpu->is_lost)
		result = VK_ERROR_DEVICE_LOST;
	if (result == VK_SUCCESS)
		return NULL;
	if (result == VK_ERROR_DEVICE_LOST)
		gpu->is_lost = true;
	return error_create(ERR_GPU, "%s on %s: %s (%d)", what, gpu->info.name,
			    gpu_result_name(result), (int)result);
}

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(
	VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkDebugUtilsMessageTypeFlagsEXT type,
	const VkDebugUtilsMessengerCallbackDataEXT *data, void *user)
{
	struct gpu *gpu = user;
	gpu->n_messages++;
	snprintf(gpu->last_message, sizeof(gpu->last_message), "%s", data->pMessage);
	return VK_FALSE;
}

static bool has_layer(const char *name)
{
	VkLayerProperties layers[64];
	uint32_t count = 64;
	vkEnumerateInstanceLayerProperties(&count, layers);
	for (uint32_t i = 0; i < count; i++)
		if (!strcmp(layers[i].layerName, name))
			return true;
	return false;
}

static void listen(struct gpu *gpu, const VkDebugUtilsMessengerCreateInfoEXT *messenger)
{
	PFN_vkCreateDebugUtilsMessengerEXT create =
		(PFN_vkCreateDebugUtilsMessengerEXT)(void *)vkGetInstanceProcAddr(
			gpu->instance, "vkCreateDebugUtilsMessengerEXT");
	if (create)
		create(gpu->instance, messenger, NULL, &gpu->messenger);
}

LAZY_LIBRARY(vulkan);

static struct error *create_instance(struct gpu *gpu, const struct gpu_params *params)
{
	static const char *const layers[] = { validation_layer };
	static const char *const extensions[] = { VK_EXT_DEBUG_UTILS_EXTENSION_NAME };
	VkDebugUtilsMessengerCreateInfoEXT messenger = {
		.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
		.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
				   VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
		.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_GENERAL_BIT_EXT |
			       VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
		.pfnUserCallback = on_message,
		.pUserData = gpu,
	};
	TRY(error_wrap(lazy_library_open(&lazy_library_vulkan), "cannot start Vulkan"));
	gpu->is_validated = params->validate && has_layer(validation_layer);
	VkApplicationInfo application = {
		.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
		.pApplicationName = "glassbox",
		.apiVersion = VK_API_VERSION_1_2,
	};
	VkInstanceCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
		.pApplicationInfo = &application,
		.enabledLayerCount = gpu->is_validated ? 1 : 0,
		.ppEnabledLayerNames = layers,
		.enabledExtensionCount = gpu->is_validated ? 1 : 0,
		.ppEnabledExtensionNames = extensions,
	};
	VkResult result = vkCreateInstance(&info, NULL, &gpu->instance);
	if (result != VK_SUCCESS)
		return error_hint(error_create(ERR_UNSUPPORTED, "cannot start Vulkan: %s",
					       gpu_result_name(result)),
				  "install mesa-vulkan-drivers for drawing without a GPU");
	if (gpu->is_validated)
		listen(gpu, &messenger);
	return NULL;
}

/* Real GPUs before software, discrete before integrated. */
static int device_rank(VkPhysicalDeviceType type)
{
	switch (type) {
	case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
		return 4;
	case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
		return 3;
	case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
		return 2;
	default:
		return 1;
	}
}

/* A queue family that computes and copies, or -1. */
static int compute_family(VkPhysicalDevice physical, uint32_t *timestamp_bits_ret)
{
	VkQueueFamilyProperties families[16];
	uint32_t count = 16;
	vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, families);
	for (uint32_t i = 0; i < count; i++) {
		if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT))
			continue;
		*timestamp_bits_ret = families[i].timestampValidBits;
		return (int)i;
	}
	return -1;
}

static struct error *choose_device(struct gpu *gpu, const char *wanted)
{
	VkPhysicalDevice devices[16];
	uint32_t count = 16;
	vkEnumeratePhysicalDevices(gpu->instance, &count, devices);
	int best = 0;
	for (uint32_t i = 0; i < count; i++) {
		VkPhysicalDeviceProperties properties;
		vkGetPhysicalDeviceProperties(devices[i], &properties);
		uint32_t bits;
		int rank = device_rank(properties.deviceType);
		if (compute_family(devices[i], &bits) < 0 || rank <= best ||
		    properties.apiVersion < VK_API_VERSION_1_1 ||
		    (wanted && !strcasestr(properties.deviceName, wanted)))
			continue;
		best = rank;
		gpu->physical = devices[i];
	}
	if (best)
		return NULL;
	return error_hint(error_create(ERR_UNSUPPORTED, "no Vulkan device%s%s",
				       wanted ? " is called " : "", wanted ? wanted : ""),
			  "install mesa-vulkan-drivers for drawing without a GPU");
}

static bool has_extension(VkPhysicalDevice physical, const char *name)
{
	uint32_t count = 0;
	vkEnumerateDeviceExtensionProperties(physical, NULL, &count, NULL);
	AUTO(own_free) VkExtensionProperties *all = calloc(count + 1, sizeof(*all));
	if (!all)
		return false;
	vkEnumerateDeviceExtensionProperties(physical, NULL, &count, all);
	for (uint32_t i = 0; i < count; i++)
		if (!strcmp(all[i].extensionName, name))
			return true;
	return false;
}

static void read_info(struct gpu *gpu, bool allow_import)
{
	struct gpu_info *info = &gpu->info;
	VkPhysicalDeviceExternalMemoryHostPropertiesEXT host = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT,
	};
	VkPhysicalDeviceMaintenance3Properties maintenance = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES,
	};
	VkPhysicalDeviceDriverProperties driver = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES,
		.pNext = &maintenance,
	};
	VkPhysicalDeviceProperties2 properties = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
		.pNext = &driver,
	};
	info->can_import =
		allow_import &&
		has_extension(gpu->physical, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
	if (info->can_import)
		maintenance.pNext = &host;
	vkGetPhysicalDeviceProperties2(gpu->physical, &properties);
	vkGetPhysicalDeviceMemoryProperties(gpu->physical, &gpu->memory);
	const VkPhysicalDeviceLimits *limits = &properties.properties.limits;
	snprintf(info->name, sizeof(info->name), "%s", properties.properties.deviceName);
	snprintf(info->driver, sizeof(info->driver), "%s %s", driver.driverName,
		 driver.driverInfo);
	info->is_software = properties.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
	info->import_alignment = host.minImportedHostPointerAlignment;
	info->max_storage_range = limits->maxStorageBufferRange;
	info->max_buffer_bytes = maintenance.maxMemoryAllocationSize;
	info->max_image_3d = limits->maxImageDimension3D;
	info->max_image_2d = limits->maxImageDimension2D;
	info->max_groups = limits->maxComputeWorkGroupCount[0];
	info->tick_ns = (double)limits->timestampPeriod;
	for (uint32_t i = 0; i < gpu->memory.memoryHeapCount; i++)
		if (gpu->memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT &&
		    gpu->memory.memoryHeaps[i].size > info->local_bytes)
			info->local_bytes = gpu->memory.memoryHeaps[i].size;
}

/* Feature structures for integers of every width, chained. */
struct integer_features {
	VkPhysicalDevice16BitStorageFeatures bits16;
	VkPhysicalDevice8BitStorageFeatures bits8;
	VkPhysicalDeviceFeatures2 all;
};

/* Asks for the integers a device has, and nothing else that it has. */
static void choose_integers(struct gpu *gpu, struct integer_features *features)
{
	VkPhysicalDeviceProperties properties;
	features->bits16 = (VkPhysicalDevice16BitStorageFeatures){
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES
	};
	features->bits8 = (VkPhysicalDevice8BitStorageFeatures){
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES,
		.pNext = &features->bits16
	};
	features->all = (VkPhysicalDeviceFeatures2){
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &features->bits8
	};
	vkGetPhysicalDeviceProperties(gpu->physical, &properties);
	vkGetPhysicalDeviceFeatures2(gpu->physical, &features->all);
	gpu->info.has_all_integers = properties.apiVersion >= VK_API_VERSION_1_2 &&
				     features->all.features.shaderInt64 &&
				     features->bits8.storageBuffer8BitAccess &&
				     features->bits16.storageBuffer16BitAccess;
	VkBool32 wanted = gpu->info.has_all_integers;
	features->all.features = (VkPhysicalDeviceFeatures){ .shaderInt64 = wanted };
	features->bits8 = (VkPhysicalDevice8BitStorageFeatures){
		.sType = features->bits8.sType,
		.pNext = features->bits8.pNext,
		.storageBuffer8BitAccess = wanted,
	};
	features->bits16 = (VkPhysicalDevice16BitStorageFeatures){
		.sType = features->bits16.sType,
		.storageBuffer16BitAccess = wanted,
	};
}

static struct error *create_device(struct gpu *gpu)
{
	struct integer_features features;
	choose_integers(gpu, &features);
	uint32_t timestamp_bits = 0;
	gpu->family = (uint32_t)compute_family(gpu->physical, &timestamp_bits);
	gpu->info.can_time = timestamp_bits > 0;
	float priority = 1;
	VkDeviceQueueCreateInfo queue = {
		.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
		.queueFamilyIndex = gpu->family,
		.queueCount = 1,
		.pQueuePriorities = &priority,
	};
	static const char *const extensions[] = { VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME };
	VkDeviceCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
		.pNext = gpu->info.has_all_integers ? &features.all : NULL,
		.queueCreateInfoCount = 1,
		.pQueueCreateInfos = &queue,
		.enabledExtensionCount = gpu->info.can_import ? 1 : 0,
		.ppEnabledExtensionNames = extensions,
	};
	TRY(gpu_check(gpu, vkCreateDevice(gpu->physical, &info, NULL, &gpu->device),
		      "cannot open a device"));
	vkGetDeviceQueue(gpu->device, gpu->family, 0, &gpu->queue);
	if (gpu->info.can_import)
		gpu->host_pointer_properties =
			(PFN_vkGetMemoryHostPointerPropertiesEXT)(void *)vkGetDeviceProcAddr(
				gpu->device, "vkGetMemoryHostPointerPropertiesEXT");
	VkCommandPoolCreateInfo pool = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
		.flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT |
			 VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
		.queueFamilyIndex = gpu->family,
	};
	return gpu_check(gpu, vkCreateCommandPool(gpu->device, &pool, NULL, &gpu->commands),
			 "cannot create a command pool");
}

struct error *gpu_create(const struct gpu_params *params, struct gpu **ret)
{
	AUTO(own_gpu) struct gpu *gpu = NULL;
	TRY(error_alloc(1, sizeof(*gpu), &gpu));
	TRY(create_instance(gpu, params));
	TRY(choose_device(gpu, params->device));
	read_info(gpu, params->allow_import);
	TRY(create_device(gpu));
	*ret = TAKE(gpu);
	return NULL;
}

void gpu_destroy(struct gpu *gpu)
{
	if (!gpu)
		return;
	if (gpu->device) {
		vkDeviceWaitIdle(gpu->device);
		gpu->finished = gpu->submitted;
		gpu_collect(gpu);
		vkDestroyCommandPool(gpu->device, gpu->commands, NULL);
		vkDestroyDevice(gpu->device, NULL);
	}
	if (gpu->messenger) {
		PFN_vkDestroyDebugUtilsMessengerEXT destroy =
			(PFN_vkDestroyDebugUtilsMessengerEXT)(void *)vkGetInstanceProcAddr(
				gpu->instance, "vkDestroyDebugUtilsMessengerEXT");
		destroy(gpu->instance, gpu->messenger, NULL);
	}
	if (gpu->instance)
		vkDestroyInstance(gpu->instance, NULL);
	VEC_FREE(&gpu->retired);
	free(gpu);
}

const struct gpu_info *gpu_info(const struct gpu *gpu)
{
	return &gpu->info;
}

unsigned gpu_messages(const struct gpu *gpu)
{
	return gpu->n_messages;
}

const char *gpu_last_message(const struct gpu *gpu)
{
	return gpu->last_message;
}

bool gpu_is_validated(const struct gpu *gpu)
{
	return gpu->is_validated;
}

bool gpu_is_lost(const struct gpu *gpu)
{
	return gpu->is_lost;
}

void gpu_lose(struct gpu *gpu)
{
	gpu->is_lost = true;
}

struct error *gpu_wait_idle(struct gpu *gpu)
{
	TRY(gpu_check(gpu, vkDeviceWaitIdle(gpu->device), "cannot wait"));
	gpu->finished = gpu->submitted;
	gpu_collect(gpu);
	return NULL;
}

uint64_t gpu_allocated(const struct gpu *gpu)
{
	return gpu->allocated_bytes;
}

static void free_retired(struct gpu *gpu, const struct gpu_retired *what)
{
	vkDestroyImageView(gpu->device, what->view, NULL);
	vkDestroyImage(gpu->device, what->image, NULL);
	vkDestroyBuffer(gpu->device, what->buffer, NULL);
	vkFreeMemory(gpu->device, what->memory, NULL);
	vkDestroyPipeline(gpu->device, what->pipeline, NULL);
	vkDestroyPipelineLayout(gpu->device, what->pipeline_layout, NULL);
	vkDestroyDescriptorSetLayout(gpu->device, what->set_layout, NULL);
}

void gpu_collect(struct gpu *gpu)
{
	size_t kept = 0;
	for (size_t i = 0; i < gpu->retired.count; i++) {
		if (gpu->retired.items[i].serial <= gpu->finished)
			free_retired(gpu, &gpu->retired.items[i]);
		else
			gpu->retired.items[kept++] = gpu->retired.items[i];
	}
	gpu->retired.count = kept;
}

void gpu_retire(struct gpu *gpu, const struct gpu_retired *what)
{
	struct gpu_retired entry = *what;
	entry.serial = gpu->submitted;
	if (gpu->submitted > gpu->finished && VEC_PUSH(&gpu->retired, entry))
		return;
	if (gpu->submitted > gpu->finished)
		vkDeviceWaitIdle(gpu->device);
	free_retired(gpu, &entry);
}

int gpu_memory_type(const struct gpu *gpu, uint32_t allowed, VkMemoryPropertyFlags wanted,
		    VkMemoryPropertyFlags liked)
{
	int found = -1;
	for (uint32_t i = 0; i < gpu->memory.memoryTypeCount; i++) {
		VkMemoryPropertyFlags flags = gpu->memory.memoryTypes[i].propertyFlags;
		if (!(allowed >> i & 1) || (flags & wanted) != wanted)
			continue;
		if ((flags & liked) == liked)
			return (int)i;
		if (found < 0)
			found = (int)i;
	}
	return found;
}
