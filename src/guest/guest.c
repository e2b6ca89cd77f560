#include "guest/guest.h"

#include <string.h>

#include "base/error.h"
#include "guest/btf.h"
#include "guest/inferred.h"
#include "guest/internal.h"
#include "guest/module_symbols.h"
#include "guest/shape.h"
#include "guest/symtab.h"
#include "guest/unlisted.h"

static struct error *open_into(struct guest *guest, struct guest_params *params)
{
	if (params->cache_path) {
		guest->cache_path = strdup(params->cache_path);
		if (!guest->cache_path)
			return error_create(ERR_MEMORY, "no memory for a path");
	}
	guest_begin(guest);
	/* What the person gives is not in the cache's key. */
	bool may_cache = !guest->types_given && !guest->symbols_given && guest->cache_path;
	if (may_cache && !params->ignore_cache && guest_cache_load(guest))
		return NULL;
	return guest_discover(guest);
}

struct error *guest_open(struct phys_mem *mem, struct guest_params *params, struct guest **ret)
{
	struct guest *guest = NULL;
	struct error *err = error_alloc(1, sizeof(*guest), &guest);
	if (err) {
		symtab_destroy(TAKE(params->symbols));
		btf_destroy(TAKE(params->types));
		return err;
	}
	guest->mem = mem;
	guest->word_bytes = 8;
	guest->types_given = params->types;
	guest->symbols_given = params->symbols;
	guest->symbols = TAKE(params->symbols);
	guest->types = TAKE(params->types);
	if (params->source_name && guest->types_given)
		snprintf(guest->type_source, sizeof(guest->type_source), "%s",
			 params->source_name);
	if (params->source_name && guest->symbols_given)
		snprintf(guest->symbol_source, sizeof(guest->symbol_source), "%s",
			 params->source_name);
	err = open_into(guest, params);
	if (err) {
		guest_destroy(guest);
		return err;
	}
	*ret = guest;
	return NULL;
}

void guest_destroy(struct guest *guest)
{
	if (!guest)
		return;
	if (guest->memos_changed && guest->cache_path && !guest->types_given &&
	    !guest->symbols_given && guest->has_kernel_space)
		guest_cache_save(guest);
	guest_forget_notes(guest);
	VEC_FREE(&guest->notes);
	for (size_t i = 0; i < guest->doubts.count; i++)
		free(guest->doubts.items[i]);
	VEC_FREE(&guest->doubts);
	guest_forget_memos(guest);
	module_symbols_destroy(guest->module_symbols);
	inferred_forget(guest);
	symtab_destroy(guest->symbols);
	btf_destroy(guest->types);
	free(guest->kallsyms_window);
	free(guest->cache_path);
	free(guest);
}

struct phys_mem *guest_memory(struct guest *guest)
{
	return guest->mem;
}

struct guest_space *guest_kernel_space(struct guest *guest)
{
	return &guest->kernel;
}

unsigned guest_word_bytes(const struct guest *guest)
{
	return guest->word_bytes;
}

struct symtab *guest_symtab(struct guest *guest)
{
	if (guest->symbols || guest->symbols_failed)
		return guest->symbols;
	struct error *err = guest_expand_symbols(guest);
	if (err) {
		guest->symbols_failed = true;
		guest_add_doubt(guest, "no kernel symbols: %s", error_message(err));
		error_destroy(err);
	}
	return guest->symbols;
}

struct btf *guest_types(struct guest *guest)
{
	if (guest->types || guest->types_failed)
		return guest->types;
	struct error *err = guest_index_types(guest);
	if (err) {
		guest->types_failed = true;
		guest_add_doubt(guest, "no kernel types: %s", error_message(err));
		error_destroy(err);
		shape_infer(guest);
	}
	return guest->types;
}

bool guest_has_types(struct guest *guest)
{
	if (guest->from_cache && guest->btf_gpa && !guest->types_failed)
		return true;
	return guest_types(guest) != NULL;
}

bool guest_symbol(struct guest *guest, const char *name, uint64_t *gva_ret)
{
	bool is_new = false;
	struct memo *memo = guest_memo(guest, MEMO_SYMBOL, name, &is_new);
	if (!memo)
		return false;
	if (is_new) {
		struct symtab *table = guest_symtab(guest);
		uint64_t gva = 0;
		bool found = (table && symtab_find(table, name, &gva)) ||
			     guest_info_symbol(guest, name, &gva) ||
			     unlisted_find(guest, name, &gva);
		/* The search may have added memos, which moves them. */
		memo = guest_memo(guest, MEMO_SYMBOL, name, &is_new);
		if (found)
			memo->value = gva;
		memo->found = memo->found || found;
	}
	if (memo->found)
		*gva_ret = memo->value;
	return memo->found;
}

void guest_symbol_text(struct guest *guest, uint64_t gva, char *text, size_t size)
{
	struct symbol symbol;
	const char *module;
	uint64_t offset;
	if (!guest_symbol_near(guest, gva, &symbol, &module, &offset)) {
		snprintf(text, size, "0x%llx", (unsigned long long)gva);
		return;
	}
	char plus[24] = "";
	if (offset)
		snprintf(plus, sizeof(plus), "+0x%llx", (unsigned long long)offset);
	snprintf(text, size, module ? "%s%s [%s]" : "%s%s", symbol.name, plus, module);
}

bool guest_image_to_gpa(const struct guest *guest, uint64_t gva, uint64_t *gpa_ret)
{
	if (!guest->has_delta)
		return false;
	*gpa_ret = gva + guest->image_delta;
	if (guest->word_bytes == 4)
		*gpa_ret &= UINT32_MAX;
	return phys_mem_segment(guest->mem, *gpa_ret) != NULL;
}

static unsigned paging_levels(enum guest_paging paging)
{
	/* ORDER guest_paging */
	static const unsigned levels[] = { 2, 3, 4, 5 };
	return levels[paging];
}

void guest_summary(struct guest *guest, struct guest_summary *ret)
{
	*ret = (struct guest_summary){
		.banner = *guest->banner ? guest->banner : NULL,
		.release = *guest->release ? guest->release : NULL,
		.symbol_source = *guest->symbol_source ? guest->symbol_source : "none",
		.type_source = *guest->type_source ? guest->type_source : "none",
		.kaslr_source = *guest->kaslr_source ? guest->kaslr_source : "none",
		.paging_levels = paging_levels(guest->paging),
		.is_pae = guest->paging == GUEST_PAGING_PAE,
		.word_bytes = guest->word_bytes,
		.from_cache = guest->from_cache,
		.n_symbols = guest->symbols ? symtab_count(guest->symbols) : 0,
	};
	uint64_t linked = guest->word_bytes == 8 ? 0xffffffff81000000 : 0xc1000000;
	if (!guest_symbol(guest, "_text", &ret->image_gva) &&
	    !guest_symbol(guest, "_stext", &ret->image_gva))
		return;
	ret->kernel_offset = ret->image_gva - linked;
	if (!guest_image_to_gpa(guest, ret->image_gva, &ret->image_gpa))
		ret->image_gpa = 0;
}

const char *guest_vmcoreinfo(const struct guest *guest, size_t *length_ret)
{
	if (!guest->has_info)
		return NULL;
	*length_ret = guest->info.length_bytes;
	return guest->info.text;
}
