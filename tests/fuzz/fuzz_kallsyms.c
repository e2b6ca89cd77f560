/* Symbol tables that nearly make sense, in every layout. */
#include <stdlib.h>

#include "base/error.h"
#include "fake_kernel.h"
#include "guest/kallsyms.h"
#include "guest/symtab.h"
#include "patches.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { WINDOW = 96 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct fake_kernel kernels[FAKE_N_LAYOUTS];
	if (size < 2)
		return 0;
	int layout = bytes[0] % FAKE_N_LAYOUTS;
	struct fake_kernel *kernel = &kernels[layout];
	if (!kernel->ram)
		fake_kernel_init(kernel, &(struct fake_kernel_params){ .layout = layout });
	/* A copy of exactly the size: reading past it shows. */
	uint8_t *window = malloc(WINDOW);
	struct symtab *table = NULL;
	struct kallsyms where;
	if (!window)
		return 0;
	memcpy(window, kernel->image + FAKE_KALLSYMS, WINDOW);
	patches_apply(window, WINDOW, bytes + 1, size - 1);
	size_t index = kernel->token_index - FAKE_IMAGE_GPA - FAKE_KALLSYMS;
	struct error *err = kallsyms_locate(window, WINDOW, index, &where);
	if (!err)
		err = symtab_create(&table);
	if (!err)
		err = kallsyms_expand(window, WINDOW, &where, FAKE_IMAGE_GVA, table);
	error_destroy(err);
	symtab_destroy(table);
	free(window);
	return 0;
}
