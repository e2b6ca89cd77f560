#include "guest/slab.h"

#include "guest/internal.h"

enum { NODES_MAX = 1024 };

struct slab_walk {
	struct guest *guest;
	struct field list, name, object_size, size, nodes, per_node, node_of;
	struct field total, n_slabs, partial, link, inuse, objects;
	uint64_t per_node_bytes;
};

/* A number of node that the cache uses. 0 ends the array or is a node without memory. */
static uint64_t node_at(const struct slab_walk *w, uint64_t cache, unsigned i)
{
	if (w->nodes.found)
		return guest_read_word(w->guest,
				       cache + w->nodes.offset + i * w->guest->word_bytes);
	return guest_load(w->guest, cache + w->per_node.offset + i * w->per_node_bytes,
			  w->node_of);
}

static unsigned node_count(const struct slab_walk *w)
{
	uint64_t gva;
	unsigned ids = 1;
	if (guest_symbol(w->guest, "nr_node_ids", &gva))
		ids = guest_read_u32(w->guest, gva);
	return ids < 1 ? 1 : ids > NODES_MAX ? NODES_MAX : ids;
}

static uint64_t free_on_partial(const struct slab_walk *w, uint64_t node)
{
	struct guest_list list;
	uint64_t slab, total = 0;
	if (!w->link.found || !w->inuse.found)
		return 0;
	guest_list_begin(&list, w->guest, node + w->partial.offset, w->link, "partial slabs");
	while (guest_list_next(&list, &slab)) {
		uint64_t objects = guest_load(w->guest, slab, w->objects);
		uint64_t used = guest_load(w->guest, slab, w->inuse);
		total += objects > used ? objects - used : 0;
	}
	return total;
}

static void count_objects(const struct slab_walk *w, struct guest_slab_cache *cache)
{
	unsigned n = node_count(w);
	for (unsigned i = 0; i < n && guest_step(w->guest); i++) {
		uint64_t node = node_at(w, cache->gva, i);
		if (!node)
			continue;
		cache->objects += guest_load(w->guest, node, w->total);
		cache->slabs += guest_load(w->guest, node, w->n_slabs);
		cache->active -= free_on_partial(w, node);
	}
	cache->active += cache->objects;
}

static struct slab_walk slab_walk(struct guest *guest)
{
	return (struct slab_walk){
		.guest = guest,
		.list = guest_need_field(guest, "kmem_cache.list"),
		.name = guest_need_field(guest, "kmem_cache.name"),
		.object_size = guest_field(guest, "kmem_cache.object_size"),
		.size = guest_field(guest, "kmem_cache.size"),
		.nodes = guest_field(guest, "kmem_cache.node"),
		/* Since 7.0 a node's parts lie together. */
		.per_node = guest_field(guest, "kmem_cache.per_node"),
		.node_of = guest_field(guest, "kmem_cache_per_node_ptrs.node"),
		.per_node_bytes = guest_sizeof(guest, "struct kmem_cache_per_node_ptrs"),
		.total = guest_field(guest, "kmem_cache_node.total_objects"),
		.n_slabs = guest_field(guest, "kmem_cache_node.nr_slabs"),
		.partial = guest_field(guest, "kmem_cache_node.partial"),
		/* struct slab left struct page in 5.17 (d122019bf061). */
		.link = guest_field(guest, "slab.slab_list|page.slab_list|page.lru"),
		.inuse = guest_field(guest, "slab.inuse|page.inuse"),
		.objects = guest_field(guest, "slab.objects|page.objects"),
	};
}

void guest_slabs_each(struct guest *guest, guest_slab_fn *visit, void *user)
{
	struct slab_walk w = slab_walk(guest);
	struct guest_list list;
	uint64_t head, gva;
	if (!guest_symbol(guest, "slab_caches", &head) || !w.list.found) {
		guest_add_note(guest, "where this kernel lists its slab caches is not known");
		return;
	}
	guest_list_begin(&list, guest, head, w.list, "slab caches");
	while (guest_list_next(&list, &gva)) {
		struct guest_slab_cache cache = { .gva = gva };
		uint64_t name = guest_load(guest, gva, w.name);
		if (name)
			guest_read_text(guest, name, cache.name, sizeof(cache.name));
		cache.object_size = (uint32_t)guest_load(guest, gva, w.object_size);
		cache.size = (uint32_t)guest_load(guest, gva, w.size);
		if (w.nodes.found || (w.per_node.found && w.node_of.found))
			count_objects(&w, &cache);
		if (!visit(user, &cache))
			return;
	}
}
