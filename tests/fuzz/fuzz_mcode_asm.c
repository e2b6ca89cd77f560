/* Any text: refused, or a kernel that disassembles to text giving the same kernel. */
#include "base/error.h"
#include "mcode/program.h"
#include "mcode/text.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = NULL;
	AUTO(own_mcode_kernel) struct mcode_kernel *back = NULL;
	AUTO(own_free) char *text = NULL;
	struct error *err = mcode_assemble((const char *)bytes, size, &kernel);
	error_destroy(err);
	if (err)
		return 0;
	CHECK(!mcode_disassemble_string(kernel, &text));
	CHECK(!mcode_assemble(text, strlen(text), &back));
	CHECK(mcode_kernel_equal(kernel, back));
	return 0;
}
