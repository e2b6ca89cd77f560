/* A small make-believe Linux in a buffer: banner, VMCOREINFO, kallsyms in any layout, BTF, page
 * tables, a task list. Big enough that guest_open finds and verifies it. Thread: one. */
#ifndef FAKE_KERNEL_H
#define FAKE_KERNEL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/phys_mem.h"
#include "guest/space.h"

enum fake_layout { FAKE_OLD, FAKE_SEQS, FAKE_AFTER, FAKE_RELATIVE, FAKE_N_LAYOUTS };

enum {
	FAKE_RAM_BYTES = 24 << 20,
	FAKE_IMAGE_GPA = 16 << 20,
	FAKE_FILLERS = 1500,
	FAKE_KALLSYMS = 0x100000, /* offsets in the image */
	FAKE_BTF = 0x20000,
	FAKE_TASKS = 0x10000,
	FAKE_ROOT = 0x2000,
	FAKE_TASK_BYTES = 256,
};
#define FAKE_IMAGE_GVA 0xffffffff9c000000ull

struct fake_kernel_params {
	enum fake_layout layout;
	bool five_levels;
	bool no_vmcoreinfo;
	bool no_btf_symbols; /* BTF can be found by its header only */
	int64_t phys_base_error; /* makes VMCOREINFO lie */
};

struct fake_kernel {
	uint8_t *ram; /* owned */
	uint8_t *image; /* inside ram */
	struct phys_segment segment;
	struct phys_mem mem;
	size_t token_index; /* in ram */
};

void fake_kernel_init(struct fake_kernel *kernel, const struct fake_kernel_params *params);
void fake_kernel_deinit(struct fake_kernel *kernel);

/* A BTF blob with list_head, task_struct, page, and an enum; returns its length. */
size_t fake_btf(uint8_t *to);
#endif
