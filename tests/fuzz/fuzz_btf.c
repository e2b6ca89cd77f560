/* BTF blobs that nearly make sense: index, lookups, sizes, printing. */
#include <stdlib.h>

#include "base/error.h"
#include "fake_kernel.h"
#include "guest/btf.h"
#include "guest/type_print.h"
#include "patches.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void look_around(struct btf *btf)
{
	static const char *const names[] = { "task_struct", "struct list_head", "task_t",
					     "enum colour", "nothing" };
	struct btf_place place;
	int64_t value;
	FILE *nowhere = fopen("/dev/null", "w");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		uint32_t id = btf_find(btf, names[i]);
		if (!id)
			continue;
		btf_place(btf, id, "tasks.next", &place);
		btf_place(btf, id, "mm", &place);
		btf_size(btf, id);
		if (nowhere)
			type_print(btf, id, nowhere);
	}
	btf_enumerator(btf, "GREEN", &value);
	if (nowhere)
		fclose(nowhere);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	enum { BTF_ROOM = 1 << 20, TYPES = 1024 };
	static uint8_t good[BTF_ROOM];
	static size_t length;
	if (!length)
		length = fake_btf(good);
	uint8_t *copy = malloc(length);
	struct btf *btf = NULL;
	if (!copy)
		return 0;
	memcpy(copy, good, length);
	/* Half of the changes where headers and types are. */
	patches_apply(copy, size & 1 ? TYPES : length, bytes, size);
	struct error *err = btf_create(copy, length, NULL, 8, &btf);
	if (!err)
		look_around(btf);
	error_destroy(err);
	btf_destroy(btf);
	return 0;
}
