/* Caches of kernel objects (SLUB). Thread: that of the guest. */
#ifndef GUEST_SLAB_H
#define GUEST_SLAB_H
#include <stdbool.h>
#include <stdint.h>
struct guest;

struct guest_slab_cache {
	uint64_t gva;
	char name[64];
	uint32_t object_size, size; /* of an object, and of its place */
	uint64_t objects, active, slabs; /* as /proc/slabinfo counts */
};

typedef bool guest_slab_fn(void *user, const struct guest_slab_cache *cache);
void guest_slabs_each(struct guest *guest, guest_slab_fn *visit, void *user);
#endif
