/* Loadable modules. struct module begins, since 2.6, with
 *
 *   enum state;  list_head list;  char name[64 - a word];
 *
 * and lies in the module's own memory. The head of the list is a pair of words in the kernel's
 * image whose neighbours are such structs and point back. Behind it:
 * - core_layout (until 6.3): { base, size, text, ro, ro_after_init }, around the struct itself;
 * - mem[7] (since 6.4): { base, .., size, .. }, the second of which is around the struct;
 * - source_list, target_list, exit, refcnt: two lists, a function of the module or none, and a
 *   small count.
 */
#include <ctype.h>
#include <string.h>

#include "guest/inferred.h"
#include "guest/internal.h"
#include "guest/shape.h"
#include "guest/symtab.h"
#include "guest/unlisted.h"

enum {
	MODULE_BYTES = 2048,
	SAMPLE_MAX = 16,
	ALIGN = 32,
	REFERENCES_MAX = 4096,
	PARTS = 7,
	LIST_MAX = 4096,
};

struct modules {
	struct guest *guest;
	unsigned word;
	uint64_t head;
	uint64_t items[SAMPLE_MAX];
	size_t count;
};

static uint64_t word_at(const struct modules *m, uint64_t gva)
{
	uint64_t value = 0;
	return guest_space_read(&m->guest->kernel, gva, &value, m->word) ? value : 0;
}

static uint32_t u32_at(const struct modules *m, uint64_t gva)
{
	uint32_t value = 0;
	return guest_space_read(&m->guest->kernel, gva, &value, 4) ? value : 0;
}

/* True if a module's list entry is at link. */
static bool module_here(const struct modules *m, uint64_t link)
{
	char name[56] = "";
	uint32_t state = 4;
	unsigned size = 64 - m->word < sizeof(name) ? 64 - m->word : sizeof(name);
	uint64_t gva = link - m->word;
	if (gva % ALIGN || !guest_space_read(&m->guest->kernel, gva, &state, 4) || state > 3 ||
	    !guest_space_read(&m->guest->kernel, link + 2 * m->word, name, size))
		return false;
	size_t length = strnlen(name, size);
	if (!length || length == size)
		return false;
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '_' && name[i] != '-')
			return false;
	return true;
}

/* The whole ring must be modules. */
static bool ring_here(struct modules *m, uint64_t head)
{
	uint64_t at = word_at(m, head), before = head;
	m->count = 0;
	for (size_t n = 0; at != head; n++) {
		if (n == LIST_MAX || !guest_is_kernel_pointer(m->guest, at) ||
		    word_at(m, at + m->word) != before || !module_here(m, at))
			return false;
		if (m->count < SAMPLE_MAX)
			m->items[m->count++] = at - m->word;
		before = at;
		at = word_at(m, at);
	}
	return m->count > 0;
}

static bool is_ring(void *user, uint64_t head)
{
	return ring_here(user, head);
}

static bool find_head(struct modules *m)
{
	return unlisted_find_head(m->guest, is_ring, m, &m->head);
}

/* --- its memory ----------------------------------------------------------------------------
 */

static bool around(uint64_t module, uint64_t base, uint64_t size)
{
	return base && base % 4096 == 0 && base <= module && module - base < size &&
	       size < 1 << 28;
}

static bool layout_here(const struct modules *m, uint64_t module, uint32_t at)
{
	uint64_t base = word_at(m, module + at), sizes = module + at + m->word;
	uint32_t size = u32_at(m, sizes), text = u32_at(m, sizes + 4),
		 ro = u32_at(m, sizes + 8), init = u32_at(m, sizes + 12);
	return around(module, base, size) && text && text <= ro && ro <= init && init <= size;
}

static bool parts_here(const struct modules *m, uint64_t module, uint32_t at, uint32_t stride,
		       uint32_t size_at)
{
	uint64_t text = word_at(m, module + at), second = module + at + stride;
	uint32_t size = u32_at(m, module + at + size_at);
	return text && text % 4096 == 0 && size && size < 1 << 28 &&
	       guest_is_kernel_pointer(m->guest, text) &&
	       around(module, word_at(m, second), u32_at(m, second + size_at));
}

static void infer_layout(const struct modules *m)
{
	for (uint32_t at = 0; at < MODULE_BYTES; at += m->word) {
		size_t good = 0;
		while (good < m->count && layout_here(m, m->items[good], at))
			good++;
		if (good < m->count)
			continue;
		inferred_add(m->guest, "module.core_layout.base", at, m->word);
		inferred_add(m->guest, "module.core_layout.size", at + m->word, 4);
		return;
	}
}

static bool infer_parts_of(const struct modules *m, uint32_t at, uint32_t stride,
			   uint32_t size_at)
{
	for (size_t i = 0; i < m->count; i++)
		if (!parts_here(m, m->items[i], at, stride, size_at))
			return false;
	inferred_add(m->guest, "module.mem", at, PARTS * stride);
	inferred_add(m->guest, "module_memory.base", 0, m->word);
	inferred_add(m->guest, "module_memory.size", size_at, 4);
	inferred_add_size(m->guest, "struct module_memory", stride);
	return true;
}

static void infer_parts(const struct modules *m)
{
	for (uint32_t at = 0; at < MODULE_BYTES; at += m->word)
		for (uint32_t stride = 2 * m->word; stride <= 12 * m->word; stride += m->word)
			if (infer_parts_of(m, at, stride, m->word) ||
			    infer_parts_of(m, at, stride, m->word + 4))
				return;
}

/* --- who uses it ---------------------------------------------------------------------------
 */

static bool list_here(const struct modules *m, uint64_t gva)
{
	uint64_t next = word_at(m, gva);
	return guest_is_kernel_pointer(m->guest, next) && word_at(m, next + m->word) == gva;
}

static bool users_here(const struct modules *m, uint64_t module, uint32_t at)
{
	uint64_t gva = module + at;
	uint64_t leave = word_at(m, gva + 4 * m->word);
	uint32_t count = u32_at(m, gva + 5 * m->word);
	return list_here(m, gva) && list_here(m, gva + 2 * m->word) &&
	       (!leave || guest_is_kernel_pointer(m->guest, leave)) && count &&
	       count < REFERENCES_MAX;
}

static void infer_users(const struct modules *m)
{
	for (uint32_t at = 4 * m->word; at < MODULE_BYTES; at += m->word) {
		size_t good = 0;
		while (good < m->count && users_here(m, m->items[good], at))
			good++;
		if (good < m->count)
			continue;
		inferred_add(m->guest, "module.source_list", at, 2 * m->word);
		inferred_add(m->guest, "module.refcnt", at + 5 * m->word, 4);
		/* struct module_use { source_list, target_list, source, target } */
		inferred_add(m->guest, "module_use.source_list", 0, 2 * m->word);
		inferred_add(m->guest, "module_use.source", 4 * m->word, m->word);
		return;
	}
}

bool shape_find_modules(struct guest *guest, uint64_t *ret)
{
	struct modules m = { .guest = guest, .word = guest->word_bytes };
	if (!find_head(&m))
		return false;
	*ret = m.head;
	return true;
}

void shape_infer_modules(struct guest *guest)
{
	struct modules m = { .guest = guest, .word = guest->word_bytes };
	struct symtab *table = guest_symtab(guest);
	bool listed = table && symtab_find(table, "modules", &m.head);
	if (listed ? !ring_here(&m, m.head) : !find_head(&m))
		return;
	inferred_add_symbol(guest, "modules", m.head);
	inferred_add(guest, "module.state", 0, 4);
	inferred_add(guest, "module.list", m.word, 2 * m.word);
	inferred_add(guest, "module.name", 3 * m.word, 64 - m.word);
	infer_layout(&m);
	infer_parts(&m);
	infer_users(&m);
}
