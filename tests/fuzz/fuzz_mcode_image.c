/* Any bytes as a PNG and as bare pixels: refused, or a valid kernel that packs to the same
 * pixels and that the interpreter runs to its end, memory accesses bounded by its views. */
#include "base/error.h"
#include "mcode/image.h"
#include "mcode/interp.h"
#include "mcode/program.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void run_a_little(struct mcode_kernel *kernel)
{
	AUTO(own_mcode_interp) struct mcode_interp *interp = NULL;
	uint64_t guest[MCODE_GUEST_REGS] = { 0x1000, 3, 0x1010, 0x1020, 5, 6, 0x1040, 0x1080 };
	static uint8_t memory[256];
	struct mcode_view views[MCODE_MAX_STREAMS];
	for (unsigned i = 0; i < MCODE_MAX_STREAMS; i++)
		views[i] = (struct mcode_view){ memory, 0x1000, sizeof(memory) };
	kernel->fuel = kernel->fuel < 100 ? kernel->fuel : 100;
	CHECK(!mcode_interp_create(kernel, &interp));
	mcode_interp_run(interp, guest, views, 4, NULL, NULL);
}

static void try_kernel(struct error *err, struct mcode_kernel *kernel)
{
	AUTO(own_free) uint32_t *pixels = NULL;
	uint32_t count;
	AUTO(own_mcode_kernel) struct mcode_kernel *back = NULL;
	error_destroy(err);
	if (err)
		return;
	CHECK(!mcode_pack(kernel, &pixels, &count));
	CHECK(!mcode_unpack(pixels, count, &back));
	CHECK(mcode_kernel_equal(kernel, back));
	run_a_little(kernel);
	mcode_kernel_destroy(kernel);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct mcode_kernel *kernel = NULL;
	uint32_t count = (uint32_t)(size / 4);
	AUTO(own_free) uint32_t *pixels = malloc(size + 4);
	if (!pixels || size > 1 << 20)
		return 0;
	memcpy(pixels, bytes, count * 4);
	struct error *err = mcode_unpack(pixels, count, &kernel);
	try_kernel(err, kernel);
	err = mcode_png_decode(bytes, size, &kernel);
	try_kernel(err, kernel);
	return 0;
}
