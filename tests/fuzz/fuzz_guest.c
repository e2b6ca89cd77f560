/* A whole make-believe kernel with changes anywhere: discovery, page tables, lists. */
#include "base/error.h"
#include "fake_kernel.h"
#include "guest/guest.h"
#include "guest/hidden.h"
#include "guest/space.h"
#include "guest/task.h"
#include "patches.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static bool ignore_hidden(void *user, const struct guest_hidden *hidden)
{
	return true;
}

static void question(struct guest *guest)
{
	struct guest_tasks tasks = { 0 };
	guest_begin(guest);
	error_destroy(guest_tasks_read(guest, true, &tasks));
	for (size_t i = 0; i < tasks.count && i < 16; i++) {
		struct guest_mapping mapping;
		guest_space_walk(guest_kernel_space(guest), tasks.items[i].mm, &mapping);
	}
	guest_tasks_deinit(&tasks);
	error_destroy(guest_hidden_each(guest, ignore_hidden, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct fake_kernel kernels[FAKE_N_LAYOUTS];
	if (size < 2)
		return 0;
	int layout = bytes[0] % FAKE_N_LAYOUTS;
	struct fake_kernel *kernel = &kernels[layout];
	if (!kernel->ram)
		fake_kernel_init(kernel, &(struct fake_kernel_params){
						 .layout = layout, .five_levels = layout & 1 });
	/* Mostly the first pages of the image: banner, page tables, tasks; else anywhere. */
	size_t reach = size % 4 ? FAKE_TASKS + 4 * FAKE_TASK_BYTES : 2 << 20;
	struct guest *guest = NULL;
	struct guest_params params = { 0 };
	patches_apply(kernel->image, reach, bytes + 1, size - 1);
	struct error *err = guest_open(&kernel->mem, &params, &guest);
	if (!err)
		question(guest);
	error_destroy(err);
	guest_destroy(guest);
	patches_apply(kernel->image, reach, bytes + 1, size - 1);
	return 0;
}
