/* Finding and expanding kallsyms, as step 2 of discover.c. */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "guest/btf.h"
#include "guest/discover.h"
#include "guest/internal.h"
#include "guest/scan.h"
#include "guest/symtab.h"

/* Keeps a copy of RAM around the token index if the tables can be worked out in it. */
static bool load_window(struct guest *guest, uint64_t index_gpa, uint64_t before_max,
			uint64_t after)
{
	const struct phys_segment *segment = phys_mem_segment(guest->mem, index_gpa);
	if (!segment)
		return false;
	uint64_t before = index_gpa - segment->gpa;
	if (before > before_max)
		before = before_max;
	/* Alignment inside the copy is that of the addresses. */
	uint64_t start = align_up(index_gpa - before, 4096);
	if (start > index_gpa)
		return false;
	AUTO(own_free) uint8_t *window = NULL;
	size_t length =
		scan_copy(guest->mem, start, (size_t)(index_gpa - start + after), &window);
	struct kallsyms where;
	struct error *err =
		length ? kallsyms_locate(window, length, (size_t)(index_gpa - start), &where)
		       : error_create(ERR_BAD_DATA, "no memory there");
	if (err) {
		error_destroy(err);
		return false;
	}
	guest->has_kallsyms = true;
	guest->kallsyms = where;
	guest->kallsyms_gpa = start;
	guest->kallsyms_window_bytes = length;
	free(guest->kallsyms_window);
	guest->kallsyms_window = TAKE(window);
	guest->word_bytes = where.word_bytes;
	return true;
}

static bool load_kallsyms(struct guest *guest, uint64_t index_gpa)
{
	/* Today's kernels need 4 MiB; the larger window is for what comes. */
	return load_window(guest, index_gpa, 5 << 20, 2 << 20) ||
	       load_window(guest, index_gpa, KALLSYMS_BEFORE_BYTES, KALLSYMS_AFTER_BYTES);
}

struct index_finder {
	struct guest *guest;
	uint64_t skip_start, skip_end; /* looked at before */
};

static bool find_index(void *user, uint64_t gpa, const uint8_t *bytes, size_t length)
{
	struct index_finder *finder = user;
	if (length < KALLSYMS_INDEX_BYTES)
		return true;
	for (size_t at = 0; at <= length - KALLSYMS_INDEX_BYTES; at += 4) {
		/* The first step is 2 .. 64 and the first entry 0: three tests in one load. */
		uint32_t first = load_u32(bytes + at);
		if (first & 0xffc0ffff || first < 0x20000)
			continue;
		if (kallsyms_index_here(bytes + at) && load_kallsyms(finder->guest, gpa + at))
			return false;
	}
	return true;
}

void discover_kallsyms(struct guest *guest, const struct claim *claim)
{
	uint64_t gva, stext;
	if (claim->made && vmcoreinfo_hex(&guest->info, "SYMBOL(kallsyms_token_index)", &gva)) {
		uint8_t index[KALLSYMS_INDEX_BYTES];
		if (phys_mem_read(guest->mem, gva + claim->delta, index, sizeof(index)) &&
		    kallsyms_index_here(index) && load_kallsyms(guest, gva + claim->delta))
			return;
	}
	struct index_finder finder = { .guest = guest };
	if (claim->made && vmcoreinfo_hex(&guest->info, "SYMBOL(_stext)", &stext)) {
		uint64_t start = align_down(stext + claim->delta, 4096);
		scan_data(guest->mem, start, start + NEAR_BYTES, KALLSYMS_INDEX_BYTES,
			  find_index, &finder);
		if (guest->has_kallsyms)
			return;
	}
	scan_data(guest->mem, 0, UINT64_MAX, KALLSYMS_INDEX_BYTES, find_index, &finder);
}

/* Names from VMCOREINFO alone: a few, when the kernel has no kallsyms. */
static struct error *symbols_from_info(struct guest *guest, struct symtab *table)
{
	static const char open[] = "SYMBOL(";
	for (const char *line = guest->info.text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, open, sizeof(open) - 1))
			continue;
		const char *name = line + sizeof(open) - 1;
		size_t length = strcspn(name, ")\n");
		if (name[length] != ')' || name[length + 1] != '=')
			continue;
		uint64_t address = strtoull(name + length + 2, NULL, 16);
		TRY(symtab_add(table, address, 'D', name, length));
	}
	return NULL;
}

/* Expands into table; pc-relative tables give physical addresses until delta is known. */
static struct error *expand_kallsyms(struct guest *guest, struct symtab *table)
{
	AUTO(own_free) uint8_t *window = TAKE(guest->kallsyms_window);
	size_t length = guest->kallsyms_window_bytes;
	struct kallsyms where = guest->kallsyms;
	if (!window) {
		length = scan_copy(guest->mem, guest->kallsyms_gpa, length, &window);
		if (!length)
			return error_create(ERR_BAD_DATA, "the symbol table is gone");
		/* Located again: the bytes may have changed since. */
		TRY(kallsyms_locate(window, length, where.token_index, &where));
	}
	uint64_t delta = guest->has_delta ? guest->image_delta : 0;
	return kallsyms_expand(window, length, &where, guest->kallsyms_gpa - delta, table);
}

OWN_DECLARE(own_symtab, struct symtab *, symtab_destroy)

struct error *guest_expand_symbols(struct guest *guest)
{
	if (!guest->has_kallsyms && !guest->has_info)
		return error_create(ERR_NOT_FOUND, "neither kallsyms nor VMCOREINFO in RAM");
	AUTO(own_symtab) struct symtab *table = NULL;
	TRY(symtab_create(&table));
	if (guest->has_kallsyms)
		TRY(expand_kallsyms(guest, table));
	else
		TRY(symbols_from_info(guest, table));
	guest->symbols = TAKE(table);
	return NULL;
}

/* In kallsyms, or named by VMCOREINFO: kernels without KALLSYMS_ALL list functions only. */
bool discover_symbol(struct guest *guest, const char *name, uint64_t *gva_ret)
{
	return (guest->symbols && symtab_find(guest->symbols, name, gva_ret)) ||
	       guest_info_symbol(guest, name, gva_ret);
}

bool guest_info_symbol(const struct guest *guest, const char *name, uint64_t *gva_ret)
{
	char key[128];
	snprintf(key, sizeof(key), "SYMBOL(%s)", name);
	return guest->has_info && vmcoreinfo_hex(&guest->info, key, gva_ret);
}
