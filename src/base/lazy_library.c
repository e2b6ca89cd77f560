#include "base/lazy_library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/setup_path.h"

/* For lazy_library_enter.S alone. */
void *lazy_library_symbol(struct lazy_library *library, const char *name, void **slot);

struct error *lazy_library_open(struct lazy_library *library)
{
	/* Loading twice gives the same handle, so threads need no lock. */
	void *handle = __atomic_load_n(&library->handle, __ATOMIC_ACQUIRE);
	if (!handle)
		handle = dlopen(library->soname, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return error_hint(error_create(ERR_UNSUPPORTED,
					       "the library %s cannot be loaded: %s",
					       library->soname, dlerror()),
				  "`%s packages` installs what glassbox needs", setup_path());
	__atomic_store_n(&library->handle, handle, __ATOMIC_RELEASE);
	return NULL;
}

void *lazy_library_symbol(struct lazy_library *library, const char *name, void **slot)
{
	struct error *err = lazy_library_open(library);
	void *function = err ? NULL : dlsym(library->handle, name);
	if (!function) {
		fprintf(stderr, "glassbox: %s\n", err ? error_message(err) : dlerror());
		exit(EXIT_FAILURE);
	}
	__atomic_store_n(slot, function, __ATOMIC_RELEASE);
	return function;
}
