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

/* Every place for an object in the slabs of a cache, whether in use or free, found by looking
 * at all page structures: it needs no list of the kernel. False from visit ends the walk. */
typedef bool guest_slab_object_fn(void *user, uint64_t object);
void guest_slab_objects_each(struct guest *guest, uint64_t cache, guest_slab_object_fn *visit,
			     void *user);
#endif
