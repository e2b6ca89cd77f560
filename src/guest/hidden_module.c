/* Three ways to a module besides the list of modules. The last needs no list: in the memory of
 * modules, a word that points to the start of the structure it would be part of, as
 * module.mkobj.mod does, with a name and a state that fit. */
#include <ctype.h>
#include <string.h>

#include "base/error.h"
#include "guest/cross_view.h"
#include "guest/hidden.h"
#include "guest/internal.h"
#include "guest/kernel_area.h"
#include "guest/space_tables.h"
#include "guest/tree.h"

enum { TABLES_MAX = 1 << 16, KOBJECTS_MAX = 1 << 16, MODULE_STATES = 4 };

struct module_views {
	struct guest *guest;
	struct cross_view cross;
	struct field self, name, state;
	struct field node_module; /* mod_tree_node.mod */
	uint64_t node_offset; /* of the rb_node in use in a mod_tree_node */
};

static void from_sysfs(struct module_views *v)
{
	struct guest *guest = v->guest;
	struct field members = guest_field(guest, "kset.list");
	struct field link = guest_field(guest, "module_kobject.kobj.entry");
	struct field module = guest_field(guest, "module_kobject.mod");
	struct guest_list list;
	uint64_t symbol, kobject;
	uint64_t set = guest_symbol(guest, "module_kset", &symbol)
			       ? guest_read_word(guest, symbol)
			       : 0;
	if (!set || !members.found || !link.found || !module.found) {
		guest_add_note(guest, "the set of modules in sysfs is not known");
		return;
	}
	guest_list_begin(&list, guest, set + members.offset, link, "modules in sysfs");
	for (unsigned n = 0; n < KOBJECTS_MAX && guest_list_next(&list, &kobject); n++) {
		/* Parts of the kernel that are built in have an entry and no module. */
		uint64_t gva = guest_load(guest, kobject, module);
		if (gva && !cross_view_found(&v->cross, gva, GUEST_MODULE_VIEW_SYSFS))
			return;
	}
}

static bool tree_node(void *user, uint64_t index, uint64_t node)
{
	struct module_views *v = user;
	uint64_t gva = guest_load(v->guest, node - v->node_offset, v->node_module);
	return !gva || cross_view_found(&v->cross, gva, GUEST_MODULE_VIEW_TREE);
}

/* Two trees of the same modules; the lowest bit of the sequence says which is not being
 * changed. */
static void from_tree(struct module_views *v)
{
	struct guest *guest = v->guest;
	struct field sequence =
		guest_field(guest, "latch_tree_root.seq.sequence|latch_tree_root.seq.seqcount."
				   "sequence|latch_tree_root.seq");
	struct field trees = guest_field(guest, "latch_tree_root.tree");
	struct field root = guest_field(guest, "mod_tree_root.root");
	struct field node = guest_field(guest, "mod_tree_node.node.node");
	uint64_t gva, node_bytes = guest_sizeof(guest, "struct rb_node");
	uint64_t tree_bytes = guest_sizeof(guest, "struct rb_root");
	v->node_module = guest_field(guest, "mod_tree_node.mod");
	if (!guest_symbol(guest, "mod_tree", &gva) || !trees.found || !root.found ||
	    !node.found || !v->node_module.found)
		return; /* a kernel without CONFIG_MODULES_TREE_LOOKUP */
	gva += root.offset;
	uint64_t which = guest_load(guest, gva, sequence) & 1;
	v->node_offset = node.offset + which * node_bytes;
	guest_rbtree_each(guest, gva + trees.offset + which * tree_bytes, tree_node, v);
}

static bool is_name(const char *name)
{
	size_t length = 0;
	for (; name[length]; length++)
		if (!isalnum((unsigned char)name[length]) && name[length] != '_' &&
		    name[length] != '-')
			return false;
	return length > 0;
}

static bool looks_like_module(struct module_views *v, uint64_t gva)
{
	struct guest *guest = v->guest;
	char name[64];
	guest_load_text(guest, gva, v->name, name, sizeof(name));
	return is_name(name) && guest_load(guest, gva, v->state) < MODULE_STATES;
}

/* One mapped piece of the memory of modules, by pages. */
static bool from_memory(void *user, const struct space_leaf *leaf)
{
	struct module_views *v = user;
	unsigned word = v->guest->word_bytes;
	uint8_t page[PHYS_PAGE_SIZE];
	for (uint64_t at = 0; at < leaf->page_bytes && guest_step(v->guest);
	     at += PHYS_PAGE_SIZE) {
		if (!phys_mem_read(v->guest->mem, leaf->gpa + at, page, sizeof(page)))
			continue;
		for (unsigned i = 0; i < PHYS_PAGE_SIZE; i += word) {
			uint64_t value = 0, gva = leaf->gva + at + i - v->self.offset;
			memcpy(&value, page + i, word);
			if (value == gva && looks_like_module(v, gva) &&
			    !cross_view_found(&v->cross, gva, GUEST_MODULE_VIEW_MEMORY))
				return false;
		}
	}
	return true;
}

static void scan_memory(struct module_views *v)
{
	struct guest *guest = v->guest;
	struct guest_kernel_areas areas;
	uint64_t budget = TABLES_MAX;
	struct space_visitor visitor = { .leaf = from_memory, .user = v, .budget = &budget };
	v->self = guest_field(guest, "module.mkobj.mod");
	v->name = guest_field(guest, "module.name");
	v->state = guest_field(guest, "module.state");
	if (!v->self.found || !v->name.found)
		return;
	guest_kernel_areas(guest, &areas);
	bool in_vmalloc = areas.modules_first >= areas.modules_end;
	guest_space_visit(guest_kernel_space(guest),
			  in_vmalloc ? areas.vmalloc_first : areas.modules_first,
			  (in_vmalloc ? areas.vmalloc_end : areas.modules_end) - 1, &visitor);
}

static bool list_module(void *user, const struct guest_module *module)
{
	return cross_view_listed(user, module->gva);
}

struct error *guest_hidden_modules_each(struct guest *guest, guest_hidden_module_fn *visit,
					void *user)
{
	struct module_views v = { .guest = guest };
	/* The list last: a module that is loaded meanwhile is in it, not hidden. */
	from_sysfs(&v);
	from_tree(&v);
	scan_memory(&v);
	guest_modules_each(guest, list_module, &v.cross);
	size_t n = v.cross.no_memory ? 0 : cross_view_compare(&v.cross);
	for (size_t i = 0; i < n; i++) {
		struct guest_module module;
		const struct cross_view_entry *entry = &v.cross.found.items[i];
		if (guest_module_read(guest, entry->gva, &module) &&
		    !visit(user, &module, entry->views))
			break;
	}
	bool no_memory = v.cross.no_memory;
	cross_view_deinit(&v.cross);
	return no_memory ? error_create(ERR_MEMORY, "no memory to compare modules") : NULL;
}
