/* The front of the lifter on any bytes as code: blocks, one iteration, analysis, microcode. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "learn/loop.h"
#include "learn/translate.h"
#include "mcode/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct code {
	const uint8_t *bytes;
	size_t size;
};

enum { BASE = 0x401000 };

static size_t code_read(void *user, uint64_t gva, uint8_t *to, size_t bytes)
{
	const struct code *code = user;
	if (gva < BASE || gva - BASE >= code->size)
		return 0;
	size_t have = code->size - (gva - BASE);
	have = have < bytes ? have : bytes;
	memcpy(to, code->bytes + (gva - BASE), have);
	return have;
}

static struct error *front(const struct code_source *source, const struct shape *shape)
{
	AUTO(own_ir) struct ir *ir = NULL;
	AUTO(own_iteration) struct iteration *iteration = NULL;
	AUTO(own_free) struct loop *loop = NULL;
	AUTO(own_mcode_kernel) struct mcode_kernel *kernel = NULL;
	TRY(ir_create(true, &ir));
	TRY(iteration_create(
		ir,
		&(struct iteration_params){ .source = source, .shape = shape, .stays = true },
		&iteration));
	TRY(error_alloc(1, sizeof(*loop), &loop));
	TRY(loop_analyse(iteration, loop));
	TRY(translate_loop(loop, "", &kernel));
	struct error *err = mcode_validate(kernel);
	CHECK(!err); /* what the translator makes is valid */
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct code code = { bytes, size };
	struct code_source source = { code_read, &code };
	struct shape_list list;
	struct error *err = shape_find(&source, BASE, &list);
	if (err) {
		error_destroy(err);
		return 0;
	}
	for (unsigned i = 0; i < list.count; i++)
		error_destroy(front(&source, list.shapes[i]));
	shape_list_deinit(&list);
	return 0;
}
