/* SLUB's caches, for a kernel without types. The list of caches proves itself by its names:
 *
 *   kmem_cache { .., size, object_size, .., name, list, .., node[] }
 *   node       { lock, nr_partial, partial, nr_slabs, total_objects, full }
 *   slab       a page structure: its cache, a link in its node's list, { inuse:16, objects:15 }
 *
 * 1. In front of the links of each cache is its name.
 * 2. Of the caches kmalloc-N the name tells size and object_size, two numbers side by side.
 * 3. node is the place behind the links where every cache has a pointer to the form above.
 * 4. In the page structures of slabs one word is the cache, always as far in front of its
 *    links, and one the counts, which fit the cache's own count of objects. The links of slabs
 *    are where lists of pages have theirs, or behind the cache when that is there.
 * Only when all of it is found is any of it said. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "guest/inferred.h"
#include "guest/internal.h"
#include "guest/shape.h"
#include "guest/symtab.h"
#include "guest/unlisted.h"

enum {
	CACHES_MAX = 512,
	BEFORE_LINKS = 256, /* how far size may lie in front of the links */
	BEHIND_LINKS = 1536, /* and node behind them */
	KMALLOCS_MIN = 4,
	PARTIAL_REACH = 64, /* of partial in a node; locks may be large */
	SLABS_MAX = 1 << 20,
	SAMPLE_MAX = 256,
	SAMPLE_MIN = 16,
	STRIDE = 7, /* frames from one that is looked at to the next */
};

struct slab_sample {
	uint64_t slab; /* the page structure */
	size_t cache;
};

struct slabs {
	const struct shape *s;
	const struct shape_pages *pages;
	struct {
		uint64_t link;
		uint32_t kmalloc; /* N of kmalloc-N, else 0 */
		char name[32];
	} caches[CACHES_MAX];
	size_t n;
	struct slab_sample sample[SAMPLE_MAX];
	size_t n_sample;
	int32_t size; /* from the links */
	uint32_t list; /* of the links in kmem_cache */
	uint32_t node, partial; /* from the links; in a node */
	uint32_t slab_link, slab_cache, counts;
};

/* kmalloc-64, kmalloc-2k */
static uint32_t kmalloc_of(const char *name)
{
	static const char start[] = "kmalloc-";
	char *end;
	if (strncmp(name, start, sizeof(start) - 1) ||
	    !isdigit((unsigned char)name[sizeof(start) - 1]))
		return 0;
	unsigned long n = strtoul(name + sizeof(start) - 1, &end, 10);
	bool kilo = *end == 'k', mega = *end == 'M';
	end += kilo || mega;
	return *end || n > 8192 ? 0 : (uint32_t)n << (kilo ? 10 : mega ? 20 : 0);
}

static bool read_name(struct slabs *f, uint64_t link, char *name, size_t size)
{
	uint64_t gva = shape_word(f->s, link - f->s->word);
	size_t length = guest_space_read_some(&f->s->guest->kernel, gva, name, size - 1);
	name[length] = 0;
	for (size_t i = 0; name[i]; i++)
		if (!isprint((unsigned char)name[i]))
			return false;
	/* The caches' objects in sysfs are in a list of the same form; some begin with this. */
	return *name && *name != ':';
}

/* Rule 1, for a list that is claimed to begin there. */
static bool collect_caches(void *user, uint64_t head)
{
	struct slabs *f = user;
	const struct shape *s = f->s;
	uint64_t before = head, at = shape_word(s, head);
	bool named = false;
	for (f->n = 0; at != head; at = shape_word(s, at)) {
		if (f->n == CACHES_MAX || shape_word(s, at + s->word) != before ||
		    !read_name(f, at, f->caches[f->n].name, sizeof(f->caches[0].name)))
			return false;
		f->caches[f->n].kmalloc = kmalloc_of(f->caches[f->n].name);
		named |= !strcmp(f->caches[f->n].name, "task_struct");
		f->caches[f->n++].link = before = at;
	}
	return named && f->n > KMALLOCS_MIN;
}

/* A kernel that lists functions only is searched for the head. */
static bool find_caches(struct slabs *f)
{
	struct guest *guest = f->s->guest;
	struct symtab *symbols = guest_symtab(guest);
	uint64_t head;
	if (symbols && symtab_find(symbols, "slab_caches", &head))
		return collect_caches(f, head);
	if (!unlisted_find_head(guest, collect_caches, f, &head))
		return false;
	inferred_add_symbol(guest, "slab_caches", head);
	return true;
}

/* Rule 2. */
static bool sizes_here(const struct slabs *f, int32_t at)
{
	unsigned known = 0;
	for (size_t i = 0; i < f->n; i++) {
		uint64_t place = f->caches[i].link + (uint64_t)(int64_t)at;
		uint32_t size = shape_u32(f->s, place), object = shape_u32(f->s, place + 4);
		if (!object || size < object)
			return false;
		if (!f->caches[i].kmalloc)
			continue;
		if (object != f->caches[i].kmalloc)
			return false;
		known++;
	}
	return known >= KMALLOCS_MIN;
}

static bool find_sizes(struct slabs *f)
{
	for (f->size = -BEFORE_LINKS; f->size < 0; f->size += 4)
		if (sizes_here(f, f->size))
			return true;
	return false;
}

static bool is_list_head(const struct shape *s, uint64_t gva)
{
	uint64_t next = shape_word(s, gva);
	return next && shape_word(s, next + s->word) == gva;
}

static bool is_node(const struct shape *s, uint64_t node, uint32_t partial)
{
	uint64_t n_slabs = shape_word(s, node + partial + 2 * s->word);
	uint64_t objects = shape_word(s, node + partial + 3 * s->word);
	return is_list_head(s, node + partial) &&
	       is_list_head(s, node + partial + 4 * s->word) && n_slabs <= objects &&
	       n_slabs < SLABS_MAX && shape_word(s, node + partial - s->word) <= n_slabs;
}

static bool node_here(const struct slabs *f, uint32_t at, uint32_t partial)
{
	for (size_t i = 0; i < f->n; i++) {
		uint64_t node = shape_word(f->s, f->caches[i].link + at);
		if (!guest_is_kernel_pointer(f->s->guest, node) ||
		    !is_node(f->s, node, partial))
			return false;
	}
	return true;
}

/* Rule 3. With several nodes of memory the caches have as many pointers: not understood here.
 */
static bool find_node(struct slabs *f)
{
	uint32_t word = f->s->word;
	uint64_t ids;
	if (guest_symbol(f->s->guest, "nr_node_ids", &ids) && shape_u32(f->s, ids) != 1)
		return false;
	for (f->node = 2 * word; f->node < BEHIND_LINKS; f->node += word)
		for (f->partial = 2 * word; f->partial < PARTIAL_REACH; f->partial += word)
			if (node_here(f, f->node, f->partial))
				return true;
	return false;
}

/* --- slabs ---------------------------------------------------------------------------------
 */

static bool is_slab(const struct slabs *f, uint64_t page)
{
	const struct shape_pages *pages = f->pages;
	if (pages->slab_flags)
		return (shape_word(f->s, page + pages->flags) & pages->slab_flags) &&
		       shape_u32(f->s, page + pages->type) == UINT32_MAX;
	return pages->slab_type &&
	       shape_u32(f->s, page + pages->type) >> 24 == pages->slab_type >> 24;
}

/* Page structures of slabs, here and there in memory. */
static void collect_slabs(struct slabs *f)
{
	struct phys_mem *mem = f->s->guest->mem;
	uint64_t frames = phys_mem_end(mem) / PHYS_PAGE_SIZE;
	for (uint64_t frame = 0; frame < frames && f->n_sample < SAMPLE_MAX; frame += STRIDE) {
		uint64_t page = f->pages->base + frame * f->pages->struct_bytes;
		if (phys_mem_segment(mem, frame * PHYS_PAGE_SIZE) && is_slab(f, page) &&
		    !(shape_word(f->s, page + f->pages->lru) & 1))
			f->sample[f->n_sample++].slab = page;
	}
}

static bool cache_with_links(const struct slabs *f, uint64_t link, size_t *ret)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->caches[i].link == link) {
			*ret = i;
			return true;
		}
	return false;
}

/* Whether the word at this place is the slab's cache, if those begin so far in front. */
static bool caches_here(struct slabs *f, uint32_t at, uint32_t distance)
{
	for (size_t i = 0; i < f->n_sample; i++)
		if (!cache_with_links(f, shape_word(f->s, f->sample[i].slab + at) + distance,
				      &f->sample[i].cache))
			return false;
	f->list = distance;
	f->slab_cache = at;
	return true;
}

/* The size of a cache, which comes from a cache as well. */
static uint32_t bytes_of_caches(const struct slabs *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (!strcmp(f->caches[i].name, "kmem_cache"))
			return shape_u32(f->s,
					 f->caches[i].link + (uint64_t)(int64_t)f->size + 4);
	return 0;
}

/* Caches lie in slabs side by side: a place more than one of them away would fit as well. */
static bool find_slab_cache(struct slabs *f)
{
	uint32_t own_bytes = bytes_of_caches(f);
	for (uint32_t at = 0; at < f->pages->struct_bytes; at += f->s->word) {
		uint64_t first = shape_word(f->s, f->sample[0].slab + at);
		for (size_t i = 0; i < f->n; i++) {
			uint64_t distance = f->caches[i].link - first;
			if (distance > (uint64_t)-f->size && distance < own_bytes &&
			    caches_here(f, at, (uint32_t)distance))
				return true;
		}
	}
	return false;
}

static bool counts_here(const struct slabs *f, uint32_t at)
{
	const struct shape *s = f->s;
	unsigned exact = 0;
	for (size_t i = 0; i < f->n_sample; i++) {
		uint64_t link = f->caches[f->sample[i].cache].link;
		uint64_t node = shape_word(s, link + f->node) + f->partial;
		uint32_t value = shape_u32(s, f->sample[i].slab + at);
		uint32_t used = value & 0xffff, objects = value >> 16 & 0x7fff;
		uint64_t n_slabs = shape_word(s, node + 2 * s->word);
		uint64_t total = shape_word(s, node + 3 * s->word);
		if (!objects || used > objects || objects > total)
			return false;
		exact += n_slabs * objects == total;
	}
	/* All slabs of a cache are of one size, unless memory was short. */
	return exact * 4 > f->n_sample * 3;
}

/* Rule 4. */
static bool find_slab(struct slabs *f)
{
	collect_slabs(f);
	if (f->n_sample < SAMPLE_MIN || !find_slab_cache(f))
		return false;
	f->slab_link = f->pages->lru + (f->slab_cache == f->pages->lru ? f->s->word : 0);
	for (f->counts = 0; f->counts < f->pages->struct_bytes; f->counts += 4)
		if (counts_here(f, f->counts))
			return true;
	return false;
}

static void add_all(const struct slabs *f)
{
	struct guest *guest = f->s->guest;
	uint32_t word = f->s->word;
	inferred_add(guest, "kmem_cache.list", f->list, 2 * word);
	inferred_add(guest, "kmem_cache.name", f->list - word, word);
	inferred_add(guest, "kmem_cache.size", f->list + (uint32_t)f->size, 4);
	inferred_add(guest, "kmem_cache.object_size", f->list + (uint32_t)f->size + 4, 4);
	inferred_add(guest, "kmem_cache.node", f->list + f->node, word);
	inferred_add(guest, "kmem_cache_node.partial", f->partial, 2 * word);
	inferred_add(guest, "kmem_cache_node.nr_slabs", f->partial + 2 * word, word);
	inferred_add(guest, "kmem_cache_node.total_objects", f->partial + 3 * word, word);
	inferred_add(guest, "slab.slab_list", f->slab_link, 2 * word);
	inferred_add(guest, "slab.slab_cache", f->slab_cache, word);
	inferred_add(guest, "slab.inuse", f->counts, 2);
	inferred_add_bits(guest, "slab.objects", f->counts + 2, 0, 15);
}

static bool find_all(struct slabs *f)
{
	return find_caches(f) && find_sizes(f) && find_node(f) && find_slab(f);
}

void shape_infer_slabs(const struct shape *s, const struct shape_pages *pages)
{
	struct slabs *f = calloc(1, sizeof(*f));
	if (!f)
		return;
	f->s = s;
	f->pages = pages;
	if (find_all(f))
		add_all(f);
	free(f);
}
