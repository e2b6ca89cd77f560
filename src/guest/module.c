#include "guest/module.h"

#include <stdio.h>
#include <string.h>

#include "guest/internal.h"

enum { PARTS_MAX = 16, USERS_MAX = 64 };

struct module_fields {
	struct field list, name, state, refcount, users;
	struct field core_base, core_size, init_size; /* until 6.3 */
	struct field parts, part_base, part_size; /* since 6.4 (ac3b43283923) */
	uint64_t part_bytes;
};

static struct module_fields module_fields(struct guest *guest)
{
	return (struct module_fields){
		.list = guest_need_field(guest, "module.list"),
		.name = guest_need_field(guest, "module.name"),
		.state = guest_field(guest, "module.state"),
		.refcount = guest_field(guest, "module.refcnt"),
		.users = guest_field(guest, "module.source_list"),
		.core_base = guest_field(guest, "module.core_layout.base"),
		.core_size = guest_field(guest, "module.core_layout.size"),
		.init_size = guest_field(guest, "module.init_layout.size"),
		.parts = guest_field(guest, "module.mem"),
		.part_base = guest_field(guest, "module_memory.base"),
		.part_size = guest_field(guest, "module_memory.size"),
		.part_bytes = guest_sizeof(guest, "struct module_memory"),
	};
}

static const char *state_text(uint64_t state)
{
	static const char *const texts[] = { "live", "coming", "going", "unformed" };
	return state < 4 ? texts[state] : "unknown";
}

static void read_layout(struct guest *guest, const struct module_fields *f,
			struct guest_module *module)
{
	if (!f->parts.found || !f->part_bytes) {
		module->address = guest_load(guest, module->gva, f->core_base);
		module->size_bytes = guest_load(guest, module->gva, f->core_size) +
				     guest_load(guest, module->gva, f->init_size);
		return;
	}
	uint64_t parts = module->gva + f->parts.offset;
	uint64_t n = f->parts.size_bytes / f->part_bytes;
	/* The first part is the text. */
	module->address = guest_load(guest, parts, f->part_base);
	for (uint64_t i = 0; i < n && i < PARTS_MAX; i++)
		module->size_bytes +=
			guest_load(guest, parts + i * f->part_bytes, f->part_size);
}

static void read_users(struct guest *guest, const struct module_fields *f,
		       struct guest_module *module)
{
	struct field link = guest_field(guest, "module_use.source_list");
	struct field source = guest_field(guest, "module_use.source");
	struct guest_list list;
	uint64_t use;
	size_t at = 0;
	if (!f->users.found || !link.found || !source.found)
		return;
	guest_list_begin(&list, guest, module->gva + f->users.offset, link, "module users");
	for (int i = 0; i < USERS_MAX && guest_list_next(&list, &use); i++) {
		char name[64];
		guest_load_text(guest, guest_load(guest, use, source), f->name, name,
				sizeof(name));
		if (at + strlen(name) + 2 > sizeof(module->used_by))
			return;
		at += (size_t)snprintf(module->used_by + at, sizeof(module->used_by) - at,
				       "%s%s", at ? "," : "", name);
	}
}

static bool read_one(struct guest *guest, const struct module_fields *f, uint64_t gva,
		     struct guest_module *module)
{
	unsigned faults = guest->faults;
	memset(module, 0, sizeof(*module));
	module->gva = gva;
	guest_load_text(guest, gva, f->name, module->name, sizeof(module->name));
	module->state = state_text(guest_load(guest, gva, f->state));
	/* The kernel itself holds one reference. */
	module->refcount = (int32_t)((uint32_t)guest_load(guest, gva, f->refcount) - 1);
	read_layout(guest, f, module);
	read_users(guest, f, module);
	return guest->faults == faults;
}

bool guest_module_read(struct guest *guest, uint64_t gva, struct guest_module *ret)
{
	struct module_fields f = module_fields(guest);
	return read_one(guest, &f, gva, ret);
}

void guest_modules_each(struct guest *guest, guest_module_fn *visit, void *user)
{
	struct module_fields f = module_fields(guest);
	struct guest_module module;
	struct guest_list list;
	uint64_t head, gva;
	if (!f.list.found || !guest_symbol(guest, "modules", &head)) {
		/* A kernel without loadable modules has no list of them. */
		if (f.list.found && guest_symbol(guest, "find_module", &head))
			guest_add_note(guest,
				       "where this kernel lists its modules is not known");
		return;
	}
	guest_list_begin(&list, guest, head, f.list, "modules");
	while (guest_list_next(&list, &gva)) {
		read_one(guest, &f, gva, &module);
		if (!visit(user, &module))
			return;
	}
}
