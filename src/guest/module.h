/* Loaded kernel modules. Thread: that of the guest. */
#ifndef GUEST_MODULE_H
#define GUEST_MODULE_H
#include <stdbool.h>
#include <stdint.h>
struct guest;

struct guest_module {
	uint64_t gva; /* of its struct module */
	char name[64];
	uint64_t address; /* of its text */
	uint64_t size_bytes; /* of all its parts, as /proc/modules counts */
	int32_t refcount;
	const char *state; /* "live", "coming", "going", "unformed" */
	char used_by[256]; /* names, comma-separated */
};

/* Those in the list of modules; false from visit ends the walk. */
typedef bool guest_module_fn(void *user, const struct guest_module *module);
void guest_modules_each(struct guest *guest, guest_module_fn *visit, void *user);

/* One struct module, without following the list. False when it cannot be read. */
bool guest_module_read(struct guest *guest, uint64_t gva, struct guest_module *ret);
#endif
