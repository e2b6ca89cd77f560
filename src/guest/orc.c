#include "guest/orc.h"

#include "guest/internal.h"
#include "guest/module.h"

struct orc_table {
	uint64_t ips; /* s32 each, relative to where it lies; ascending */
	uint64_t entries;
	uint64_t count;
};

struct module_search {
	struct guest *guest;
	uint64_t ip;
	struct orc_table table;
};

static bool try_module(void *user, const struct guest_module *module)
{
	struct module_search *search = user;
	struct guest *guest = search->guest;
	if (search->ip < module->address || search->ip - module->address >= module->size_bytes)
		return true;
	search->table = (struct orc_table){
		.ips = guest_load(guest, module->gva,
				  guest_field(guest, "module.arch.orc_unwind_ip")),
		.entries = guest_load(guest, module->gva,
				      guest_field(guest, "module.arch.orc_unwind")),
		.count = guest_load(guest, module->gva,
				    guest_field(guest, "module.arch.num_orcs")),
	};
	return false;
}

static bool find_table(struct guest *guest, uint64_t ip, struct orc_table *ret)
{
	uint64_t text, end, ips_start, ips_stop, entries;
	if (guest_symbol(guest, "_stext", &text) && guest_symbol(guest, "_etext", &end) &&
	    ip >= text && ip < end) {
		if (!guest_symbol(guest, "__start_orc_unwind_ip", &ips_start) ||
		    !guest_symbol(guest, "__stop_orc_unwind_ip", &ips_stop) ||
		    !guest_symbol(guest, "__start_orc_unwind", &entries))
			return false;
		*ret = (struct orc_table){ ips_start, entries, (ips_stop - ips_start) / 4 };
		return ret->count != 0;
	}
	struct module_search search = { .guest = guest, .ip = ip };
	guest_modules_each(guest, try_module, &search);
	*ret = search.table;
	return ret->count != 0 && ret->ips && ret->entries;
}

static uint64_t table_ip(struct guest *guest, const struct orc_table *table, uint64_t i)
{
	uint64_t at = table->ips + 4 * i;
	return at + (uint64_t)(int64_t)(int32_t)guest_read_u32(guest, at);
}

/* Index of the entry that covers ip. */
static bool find_index(struct guest *guest, const struct orc_table *table, uint64_t ip,
		       uint64_t *ret)
{
	uint64_t low = 0, high = table->count;
	while (low < high && guest_step(guest)) {
		uint64_t middle = low + (high - low) / 2;
		if (table_ip(guest, table, middle) <= ip)
			low = middle + 1;
		else
			high = middle;
	}
	*ret = low - 1;
	return low > 0;
}

bool guest_orc_place(struct guest *guest, uint64_t ip, uint64_t entry_bytes, uint64_t *ret)
{
	struct orc_table table;
	uint64_t i;
	if (!entry_bytes || !find_table(guest, ip, &table) ||
	    !find_index(guest, &table, ip, &i))
		return false;
	*ret = table.entries + i * entry_bytes;
	return true;
}

/* Registers were renumbered in 7.0. At its first instruction every function's caller is found
 * through SP, so any function's start tells which numbers are used. */
static bool is_renumbered(struct guest *guest)
{
	enum { SP_SINCE = 3 }; /* 5 before */
	uint64_t schedule, gva;
	return guest_symbol(guest, "schedule", &schedule) &&
	       guest_orc_place(guest, schedule, guest_sizeof(guest, "struct orc_entry"),
			       &gva) &&
	       guest_load(guest, gva, guest_field(guest, "orc_entry.sp_reg")) == SP_SINCE;
}

static enum orc_register register_of(uint64_t number, bool renumbered)
{
	static const enum orc_register before[] = {
		ORC_REG_UNDEFINED,   ORC_REG_PREV_SP,	  ORC_REG_OTHER, ORC_REG_OTHER,
		ORC_REG_BP,	     ORC_REG_SP,	  ORC_REG_OTHER, ORC_REG_OTHER,
		ORC_REG_BP_INDIRECT, ORC_REG_SP_INDIRECT,
	};
	static const enum orc_register since[] = {
		ORC_REG_UNDEFINED, ORC_REG_OTHER,	ORC_REG_OTHER,	     ORC_REG_SP,
		ORC_REG_BP,	   ORC_REG_OTHER,	ORC_REG_OTHER,	     ORC_REG_OTHER,
		ORC_REG_PREV_SP,   ORC_REG_SP_INDIRECT, ORC_REG_BP_INDIRECT,
	};
	size_t count = renumbered ? sizeof(since) : sizeof(before);
	if (number >= count / sizeof(enum orc_register))
		return ORC_REG_OTHER;
	return renumbered ? since[number] : before[number];
}

/* Numbers of types changed in 6.4 (fb799447ae29), when the end bit became a type. */
static enum orc_type entry_type(struct guest *guest, uint64_t gva)
{
	unsigned type = (unsigned)guest_load(guest, gva, guest_field(guest, "orc_entry.type"));
	struct field end = guest_field(guest, "orc_entry.end");
	if (!end.found)
		return type <= ORC_REGS_PARTIAL ? (enum orc_type)type : ORC_UNDEFINED;
	if (guest_load(guest, gva, end))
		return ORC_END;
	return type <= 2 ? (enum orc_type)(type + ORC_CALL) : ORC_UNDEFINED;
}

bool guest_orc_find(struct guest *guest, uint64_t ip, struct orc_entry *ret)
{
	uint64_t gva;
	if (!guest_orc_place(guest, ip, guest_sizeof(guest, "struct orc_entry"), &gva))
		return false;
#define LOAD(member) guest_load(guest, gva, guest_field(guest, "orc_entry." member))
	bool renumbered = is_renumbered(guest);
	*ret = (struct orc_entry){
		.sp_offset = (int16_t)LOAD("sp_offset"),
		.bp_offset = (int16_t)LOAD("bp_offset"),
		.sp_register = register_of(LOAD("sp_reg"), renumbered),
		.bp_register = register_of(LOAD("bp_reg"), renumbered),
		.type = entry_type(guest, gva),
	};
#undef LOAD
	return true;
}
