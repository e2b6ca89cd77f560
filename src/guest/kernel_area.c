#include "guest/kernel_area.h"

#include "guest/internal.h"

static uint64_t read_variable(struct guest *guest, const char *name, uint64_t otherwise)
{
	uint64_t gva;
	uint64_t value = guest_symbol(guest, name, &gva) ? guest_read_word(guest, gva) : 0;
	return guest_is_kernel_pointer(guest, value) ? value : otherwise;
}

static void areas_32(struct guest *guest, struct guest_kernel_areas *areas)
{
	areas->direct_first = 0xc0000000;
	areas->vmalloc_first = read_variable(guest, "high_memory", 0xf8000000);
	areas->vmalloc_end = areas->modules_first = areas->modules_end = 0xfff00000;
}

void guest_kernel_areas(struct guest *guest, struct guest_kernel_areas *ret)
{
	struct guest_kernel_areas areas = { 0 };
	struct guest_summary summary;
	guest_summary(guest, &summary);
	if (guest_word_bytes(guest) == 4) {
		areas_32(guest, &areas);
		*ret = areas;
		return;
	}
	bool five = summary.paging_levels == 5;
	areas.direct_first = read_variable(guest, "page_offset_base",
					   five ? 0xff11000000000000 : 0xffff888000000000);
	areas.vmalloc_first = read_variable(guest, "vmalloc_base",
					    five ? 0xffa0000000000000 : 0xffffc90000000000);
	areas.vmalloc_end = areas.vmalloc_first + ((five ? 12800ull : 32ull) << 40);
	/* Modules follow the largest image that the kernel was built for: 512 MiB or 1 GiB. */
	uint64_t end = summary.image_gva >= 0xffffffffa0000000 || summary.kernel_offset
			       ? 0xffffffffc0000000
			       : 0xffffffffa0000000;
	uint64_t image_end = 0;
	if (guest_symbol(guest, "_end", &image_end) && image_end > end)
		end = 0xffffffffc0000000;
	areas.modules_first = end;
	areas.modules_end = 0xffffffffff000000;
	*ret = areas;
}
