/* The loader of kernel documents on any bytes. */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "learn/library.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	json_t *doc = NULL;
	struct error *err = library_check((const char *)bytes, size, NULL, &doc);
	error_destroy(err);
	json_decref(doc);
	return 0;
}
