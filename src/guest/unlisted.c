#include "guest/unlisted.h"

#include <ctype.h>
#include <string.h>

#include "base/bytes.h"
#include "guest/discover.h"
#include "guest/internal.h"
#include "guest/scan.h"
#include "guest/shape.h"
#include "guest/symtab.h"

enum { MEMBERS_MAX = 4096, NAMES_MAX = 32, OBJECT_MAX = 8 << 20, NETS_MAX = 4096 };

/* --- heads of lists -------------------------------------------------------------------------
 */

struct head_finder {
	struct guest *guest;
	unlisted_head_fn *is_it;
	void *user;
	uint64_t head;
};

/* Without counting what cannot be read: most of what is tried here is no pointer. */
static uint64_t peek(struct guest *guest, uint64_t gva)
{
	uint64_t value = 0;
	return guest_space_read(&guest->kernel, gva, &value, guest->word_bytes) ? value : 0;
}

static bool look_for_head(void *user, uint64_t gpa, const uint8_t *bytes, size_t length)
{
	struct head_finder *f = user;
	unsigned word = f->guest->word_bytes;
	for (size_t at = 0; at + 2 * word <= length; at += word) {
		uint64_t next = word == 8 ? load_u64(bytes + at) : load_u32(bytes + at);
		uint64_t here = gpa + at - f->guest->image_delta;
		here = word == 4 ? here & UINT32_MAX : here;
		if (next == here || next % word || !guest_is_kernel_pointer(f->guest, next) ||
		    peek(f->guest, next + word) != here || !f->is_it(f->user, here))
			continue;
		f->head = here;
		return false;
	}
	return true;
}

bool unlisted_find_head(struct guest *guest, unlisted_head_fn *is_it, void *user,
			uint64_t *head_ret)
{
	struct head_finder f = { .guest = guest, .is_it = is_it, .user = user };
	uint64_t start = 0;
	if (!guest->has_kernel_space || (!guest_symbol(guest, "_stext", &start) &&
					 !guest_symbol(guest, "init_task", &start)))
		return false;
	uint64_t gpa = start + guest->image_delta, reach = NEAR_BYTES / 2;
	gpa = align_down(guest->word_bytes == 4 ? gpa & UINT32_MAX : gpa, 4096);
	scan_data(guest->mem, gpa > reach ? gpa - reach : 0, gpa + reach, 16, look_for_head,
		  &f);
	*head_ret = f.head;
	return f.head != 0;
}

/* --- lists by what is in them ----------------------------------------------------------------
 */

struct kind_of_list {
	const char *link; /* the list entry in each element */
	bool (*element)(struct guest *guest, uint64_t gva);
};

struct list_test {
	struct guest *guest;
	const struct kind_of_list *kind;
	struct field link;
};

/* All elements must be of the kind, and the ring must close. */
static bool is_list_of(void *user, uint64_t head)
{
	struct list_test *test = user;
	struct guest *guest = test->guest;
	uint64_t at = peek(guest, head), before = head;
	for (size_t n = 0; at != head; n++) {
		if (n == MEMBERS_MAX || !guest_is_kernel_pointer(guest, at) ||
		    peek(guest, at + guest->word_bytes) != before ||
		    !test->kind->element(guest, at - test->link.offset))
			return false;
		before = at;
		at = peek(guest, at);
	}
	return true;
}

static uint64_t peek_field(struct guest *guest, uint64_t gva, const char *path)
{
	struct field field = guest_field(guest, path);
	uint8_t bytes[8] = { 0 };
	if (!field.found || field.size_bytes > 8 ||
	    !guest_space_read(&guest->kernel, gva + field.offset, bytes, field.size_bytes))
		return 0;
	field.offset = 0;
	return field_load(field, bytes, sizeof(bytes));
}

static bool is_name(struct guest *guest, uint64_t gva)
{
	char text[NAMES_MAX + 1];
	size_t got = guest_space_read_some(&guest->kernel, gva, text, NAMES_MAX);
	text[got] = 0;
	size_t length = strlen(text);
	for (size_t i = 0; i < length; i++)
		if (!isgraph((unsigned char)text[i]))
			return false;
	return length > 1;
}

static bool is_slab_cache(struct guest *guest, uint64_t gva)
{
	uint64_t object = peek_field(guest, gva, "kmem_cache.object_size");
	uint64_t size = peek_field(guest, gva, "kmem_cache.size");
	return object && object <= size && size < OBJECT_MAX &&
	       is_name(guest, peek_field(guest, gva, "kmem_cache.name"));
}

static bool is_super_block(struct guest *guest, uint64_t gva)
{
	uint64_t type = peek_field(guest, gva, "super_block.s_type");
	return type && is_name(guest, peek_field(guest, type, "file_system_type.name")) &&
	       peek_field(guest, peek_field(guest, gva, "super_block.s_root"), "dentry.d_sb") ==
		       gva;
}

static bool is_cgroup_root(struct guest *guest, uint64_t gva)
{
	struct field own = guest_field(guest, "cgroup_root.cgrp");
	return own.found && peek_field(guest, gva + own.offset, "cgroup.root") == gva;
}

static bool find_list(struct guest *guest, const struct kind_of_list *kind, uint64_t *ret)
{
	struct list_test test = { .guest = guest,
				  .kind = kind,
				  .link = guest_field(guest, kind->link) };
	return test.link.found && unlisted_find_head(guest, is_list_of, &test, ret);
}

static bool find_slab_caches(struct guest *guest, uint64_t *ret)
{
	static const struct kind_of_list kind = { "kmem_cache.list", is_slab_cache };
	return find_list(guest, &kind, ret);
}

static bool find_super_blocks(struct guest *guest, uint64_t *ret)
{
	static const struct kind_of_list kind = { "super_block.s_list", is_super_block };
	return find_list(guest, &kind, ret);
}

static bool find_cgroup_roots(struct guest *guest, uint64_t *ret)
{
	static const struct kind_of_list kind = { "cgroup_root.root_list", is_cgroup_root };
	return find_list(guest, &kind, ret);
}

static bool find_modules(struct guest *guest, uint64_t *ret)
{
	return shape_find_modules(guest, ret);
}

/* --- what the first task points to -----------------------------------------------------------
 */

static uint64_t of_first_proxy(struct guest *guest, const char *path)
{
	uint64_t task, proxy = 0;
	if (guest_symbol(guest, "init_task", &task))
		proxy = peek_field(guest, task, "task_struct.nsproxy");
	return proxy ? peek_field(guest, proxy, path) : 0;
}

static bool find_pid_ns(struct guest *guest, uint64_t *ret)
{
	*ret = of_first_proxy(guest, "nsproxy.pid_ns_for_children");
	return *ret != 0;
}

static bool find_uts_ns(struct guest *guest, uint64_t *ret)
{
	*ret = of_first_proxy(guest, "nsproxy.uts_ns");
	return *ret != 0;
}

static bool find_default_root(struct guest *guest, uint64_t *ret)
{
	uint64_t task, set = 0, group = 0;
	if (guest_symbol(guest, "init_task", &task))
		set = peek_field(guest, task, "task_struct.cgroups");
	if (set)
		group = peek_field(guest, set, "css_set.dfl_cgrp");
	*ret = group ? peek_field(guest, group, "cgroup.root") : 0;
	return *ret && is_cgroup_root(guest, *ret);
}

/* The one link of the ring of networks that is no network. */
static bool find_nets(struct guest *guest, uint64_t *ret)
{
	struct field link = guest_field(guest, "net.list");
	uint64_t first = of_first_proxy(guest, "nsproxy.net_ns"), at;
	if (!first || !link.found)
		return false;
	at = peek(guest, first + link.offset);
	for (int n = 0; n < NETS_MAX && at != first + link.offset; n++) {
		uint64_t number = peek_field(guest, at - link.offset, "net.ns.inum");
		if (number >> 20 != 0xf00 && number >> 4 != 0xeffffff) {
			*ret = at;
			return true;
		}
		at = peek(guest, at);
	}
	return false;
}

static const struct {
	const char *name;
	bool (*find)(struct guest *guest, uint64_t *ret);
} ways[] = {
	{ "modules", find_modules },
	{ "slab_caches", find_slab_caches },
	{ "super_blocks", find_super_blocks },
	{ "cgroup_roots", find_cgroup_roots },
	{ "cgrp_dfl_root", find_default_root },
	{ "init_pid_ns", find_pid_ns },
	{ "init_uts_ns", find_uts_ns },
	{ "net_namespace_list", find_nets },
};

bool unlisted_find(struct guest *guest, const char *name, uint64_t *gva_ret)
{
	uint64_t gva;
	if (!guest->has_kernel_space ||
	    (guest->symbols && symtab_find(guest->symbols, "init_task", &gva)))
		return false;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (!strcmp(ways[i].name, name))
			return ways[i].find(guest, gva_ret);
	return false;
}
