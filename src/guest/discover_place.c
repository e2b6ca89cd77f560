/* Where the kernel's image lies, as step 3 of discover.c: VMCOREINFO, kallsyms and the page
 * tables must agree. */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "guest/btf.h"
#include "guest/discover.h"
#include "guest/internal.h"
#include "guest/scan.h"
#include "guest/symtab.h"

static const char banner_start[] = "Linux version ";

enum {
	IMAGE_ALIGN = 2 << 20,
	PROBES_MAX = 1 << 20, /* 2 TiB of RAM in steps of 2 MiB */
	SPLIT_ALIGN_32 = 1 << 27,
};

bool guest_read_banner(struct guest *guest, uint64_t gpa)
{
	char text[sizeof(guest->banner)];
	size_t length = sizeof(text) - 1;
	while (length && !phys_mem_read(guest->mem, gpa, text, length))
		length /= 2;
	text[length] = 0;
	if (strncmp(text, banner_start, sizeof(banner_start) - 1))
		return false;
	text[strcspn(text, "\n")] = 0;
	const char *release = text + sizeof(banner_start) - 1;
	/* The format string "Linux version %s" is no banner. */
	if (*release < '0' || *release > '9')
		return false;
	size_t release_length = strcspn(release, " ");
	if (release_length >= sizeof(guest->release))
		return false;
	memcpy(guest->release, release, release_length);
	guest->release[release_length] = 0;
	memcpy(guest->banner, text, strlen(text) + 1);
	guest->banner_gpa = gpa;
	return true;
}

static bool look_for_banner(void *user, uint64_t gpa, const uint8_t *bytes, size_t length)
{
	struct guest *guest = user;
	const uint8_t *at = bytes, *end = bytes + length;
	while ((at = memmem(at, (size_t)(end - at), banner_start, sizeof(banner_start) - 1))) {
		if (guest_read_banner(guest, gpa + (uint64_t)(at - bytes)))
			return false;
		at++;
	}
	return true;
}

/* The banner's text, somewhere in the image that starts at gpa. */
void discover_scan_for_banner(struct guest *guest, uint64_t gpa)
{
	scan_data(guest->mem, align_down(gpa, 4096), gpa + NEAR_BYTES, 64, look_for_banner,
		  guest);
}

/* --- where the image lies ------------------------------------------------------------------
 */

struct claim discover_claim_of_info(struct guest *guest)
{
	struct claim claim = { 0 };
	int64_t phys_base;
	uint64_t stext;
	if (!guest->has_info || !vmcoreinfo_hex(&guest->info, "SYMBOL(_stext)", &stext))
		return claim;
	if (vmcoreinfo_number(&guest->info, "NUMBER(phys_base)", &phys_base) &&
	    stext >= KERNEL_MAP_64) {
		claim.delta = (uint64_t)phys_base - KERNEL_MAP_64;
	} else if (stext <= UINT32_MAX) {
		/* Lowmem is mapped at PAGE_OFFSET, one of these splits. */
		guest->word_bytes = 4;
		claim.delta = -(stext & 0xc0000000ull);
	} else {
		return claim;
	}
	claim.made = phys_mem_segment(guest->mem, stext + claim.delta) != NULL;
	if (!claim.made)
		guest_add_doubt(guest, "VMCOREINFO places the kernel outside RAM");
	return claim;
}

static bool in_data(struct phys_mem *mem, uint64_t gpa)
{
	uint64_t start, end;
	return phys_mem_next_data(mem, gpa, &start, &end) && start <= gpa;
}

/* Looks for the banner's text at every place where an aligned image could have it. */
static bool probe_for_banner(struct guest *guest, uint64_t banner_gva, uint64_t *gpa_ret)
{
	uint64_t step = guest->word_bytes == 8 ? IMAGE_ALIGN : 4096;
	uint64_t end = phys_mem_end(guest->mem), at = banner_gva & (step - 1);
	for (unsigned probe = 0; at < end && probe < PROBES_MAX; probe++, at += step) {
		char text[sizeof(banner_start) - 1];
		if (in_data(guest->mem, at) &&
		    phys_mem_read(guest->mem, at, text, sizeof(text)) &&
		    !memcmp(text, banner_start, sizeof(text)) && guest_read_banner(guest, at)) {
			*gpa_ret = at;
			return true;
		}
	}
	return false;
}

/* With relative or absolute addresses: virtual from the table, physical from the text. */
static struct claim claim_of_symbols(struct guest *guest, const struct claim *info)
{
	struct claim claim = { 0 };
	uint64_t banner;
	if (!discover_symbol(guest, "linux_banner", &banner))
		return claim;
	if (info->made && guest_read_banner(guest, banner + info->delta)) {
		claim = (struct claim){ .made = true, .delta = info->delta };
		return claim;
	}
	uint64_t gpa;
	if (probe_for_banner(guest, banner, &gpa))
		claim = (struct claim){ .made = true, .delta = gpa - banner };
	return claim;
}

static bool walks_to(struct guest *guest, uint64_t root, enum guest_paging paging, uint64_t gva,
		     uint64_t gpa)
{
	struct guest_mapping mapping;
	guest_space_init(&guest->kernel, guest->mem, root, paging);
	return guest_space_walk(&guest->kernel, gva, &mapping) == GUEST_WALK_OK &&
	       mapping.gpa == gpa;
}

/* The paging modes to try, most likely first; returns how many. */
static size_t paging_modes(struct guest *guest, enum guest_paging modes[2])
{
	int64_t l5 = 0;
	size_t length;
	if (guest->word_bytes == 4) {
		bool pae = guest->has_info &&
			   vmcoreinfo_value(&guest->info, "CONFIG_X86_PAE", &length);
		modes[0] = pae ? GUEST_PAGING_PAE : GUEST_PAGING_2LEVEL;
		modes[1] = pae ? GUEST_PAGING_2LEVEL : GUEST_PAGING_PAE;
		return 2;
	}
	bool five = guest->has_info &&
		    vmcoreinfo_number(&guest->info, "NUMBER(pgtable_l5_enabled)", &l5) && l5;
	modes[0] = five ? GUEST_PAGING_5LEVEL : GUEST_PAGING_4LEVEL;
	modes[1] = five ? GUEST_PAGING_4LEVEL : GUEST_PAGING_5LEVEL;
	return 2;
}

static const char *const root_names[] = { "init_top_pgt", "swapper_pg_dir" };

/* True if the page tables of the kernel lead from gva to gpa; leaves guest->kernel ready. */
static bool page_tables_agree(struct guest *guest, uint64_t delta, uint64_t gva, uint64_t gpa)
{
	enum guest_paging modes[2];
	size_t n_modes = paging_modes(guest, modes);
	for (size_t r = 0; r < sizeof(root_names) / sizeof(root_names[0]); r++) {
		uint64_t root;
		if (!discover_symbol(guest, root_names[r], &root))
			continue;
		for (size_t m = 0; m < n_modes; m++) {
			if (!walks_to(guest, root + delta, modes[m], gva, gpa))
				continue;
			guest->paging = modes[m];
			return true;
		}
	}
	return false;
}

/* A pc-relative table knows physical addresses only (delta 0 so far): finds which virtual
 * address the page tables map to the banner. */
static struct claim claim_of_page_tables(struct guest *guest, uint64_t banner_gpa)
{
	uint64_t low = banner_gpa & (IMAGE_ALIGN - 1);
	for (uint64_t base = KERNEL_MAP_64; base < KERNEL_MAP_END_64; base += IMAGE_ALIGN)
		if (page_tables_agree(guest, 0, base + low, banner_gpa))
			return (struct claim){ .made = true,
					       .delta = banner_gpa - (base + low) };
	return (struct claim){ 0 };
}

static void name_sources(struct guest *guest, bool info, bool symbols, bool tables)
{
	const char *const names[] = { "VMCOREINFO", "kallsyms", "page tables" };
	const bool used[] = { info, symbols, tables };
	size_t at = 0;
	for (size_t i = 0; i < 3; i++)
		if (used[i] && at < sizeof(guest->kaslr_source))
			at += (size_t)snprintf(guest->kaslr_source + at,
					       sizeof(guest->kaslr_source) - at, "%s%s",
					       at ? ", " : "", names[i]);
}

void discover_slide(struct guest *guest, uint64_t delta)
{
	if (guest->symbols_slid || !guest->symbols || !guest->has_kallsyms ||
	    guest->kallsyms.addressing != KALLSYMS_PC_RELATIVE)
		return;
	symtab_slide(guest->symbols, 0, UINT64_MAX, -delta);
	guest->symbols_slid = true;
}

static void set_delta(struct guest *guest, uint64_t delta)
{
	guest->image_delta = delta;
	guest->has_delta = true;
}

static void settle_absolute(struct guest *guest, const struct claim *info)
{
	struct claim symbols = claim_of_symbols(guest, info);
	uint64_t banner;
	if (!symbols.made && discover_symbol(guest, "linux_banner", &banner))
		guest_add_doubt(guest, "the banner is not where the symbols say");
	if (info->made && symbols.made && info->delta != symbols.delta)
		guest_add_doubt(guest, "VMCOREINFO and kallsyms disagree where the kernel "
				       "lies; kallsyms is believed");
	struct claim best = symbols.made ? symbols : *info;
	if (!best.made)
		return;
	set_delta(guest, best.delta);
	uint64_t gva = 0, stext = 0;
	if (discover_symbol(guest, "linux_banner", &gva) ||
	    discover_symbol(guest, "_stext", &gva))
		guest->has_kernel_space =
			page_tables_agree(guest, best.delta, gva, gva + best.delta);
	bool info_agrees = info->made && info->delta == best.delta;
	if (info_agrees && vmcoreinfo_hex(&guest->info, "SYMBOL(_stext)", &stext) &&
	    discover_symbol(guest, "_stext", &gva) && gva != stext) {
		guest_add_doubt(guest, "VMCOREINFO and kallsyms disagree about _stext");
		info_agrees = false;
	}
	if (!*guest->banner && discover_symbol(guest, "_stext", &gva))
		discover_scan_for_banner(guest, gva + best.delta);
	name_sources(guest, info_agrees, symbols.made, guest->has_kernel_space);
}

/* Without KALLSYMS_ALL the table has functions only. The start of text, physical in the table
 * and virtual in VMCOREINFO, makes it a table of virtual addresses. */
static bool settle_by_text(struct guest *guest, const struct claim *info)
{
	uint64_t physical, virtual;
	if (!info->made || !symtab_find(guest->symbols, "_stext", &physical) ||
	    !vmcoreinfo_hex(&guest->info, "SYMBOL(_stext)", &virtual) ||
	    virtual + info->delta != physical)
		return false;
	discover_slide(guest, info->delta);
	settle_absolute(guest, info);
	return true;
}

/* The table was expanded to physical addresses; now moves it to virtual ones. */
static void settle_relative(struct guest *guest, const struct claim *info)
{
	uint64_t banner_gpa = 0;
	bool lists_banner = symtab_find(guest->symbols, "linux_banner", &banner_gpa);
	if (!lists_banner && settle_by_text(guest, info))
		return;
	bool has_text = lists_banner && guest_read_banner(guest, banner_gpa);
	if (lists_banner && !has_text)
		guest_add_doubt(guest, "kallsyms' linux_banner does not point to the banner");
	struct claim tables = { 0 };
	if (info->made && has_text &&
	    page_tables_agree(guest, 0, banner_gpa - info->delta, banner_gpa))
		tables = *info;
	else if (has_text)
		tables = claim_of_page_tables(guest, banner_gpa);
	guest->has_kernel_space = tables.made;
	if (info->made && tables.made && info->delta != tables.delta)
		guest_add_doubt(guest, "VMCOREINFO and the page tables disagree where the "
				       "kernel lies; the page tables are believed");
	if (!tables.made && !info->made)
		return;
	set_delta(guest, tables.made ? tables.delta : info->delta);
	discover_slide(guest, guest->image_delta);
	bool info_agrees = info->made && info->delta == guest->image_delta;
	name_sources(guest, info_agrees, has_text, tables.made);
}

/* A kernel for 32 bits lies in its direct mapping, whose start is a multiple of 128 MiB a
 * little below the place it was linked at: moved it is by as much as its physical place was. */
static void slide_given_32(struct guest *guest, uint64_t text, uint64_t banner,
			   uint64_t banner_gpa)
{
	uint64_t moved = banner_gpa + align_down(text, SPLIT_ALIGN_32) - banner;
	symtab_slide(guest->symbols, text, UINT32_MAX, moved);
}

/* Symbols from a file are at the addresses the kernel was linked at. Where the banner is found
 * tells their physical place; from there it goes on as with a pc-relative table. */
void discover_settle_given(struct guest *guest)
{
	uint64_t banner, banner_gpa, text;
	if (guest->given_settled)
		return;
	guest->given_settled = true;
	if (!discover_symbol(guest, "_text", &text) && !discover_symbol(guest, "_stext", &text))
		text = KERNEL_MAP_64;
	if (text <= UINT32_MAX)
		guest->word_bytes = 4;
	if (!discover_symbol(guest, "linux_banner", &banner) ||
	    !probe_for_banner(guest, banner, &banner_gpa)) {
		guest_add_doubt(guest, "the symbols of the %s do not fit this memory",
				guest->symbol_source);
		return;
	}
	uint64_t linked_delta = banner_gpa - banner;
	if (guest->word_bytes == 4) {
		slide_given_32(guest, text, banner, banner_gpa);
	} else {
		symtab_slide(guest->symbols, text, UINT64_MAX, linked_delta);
		struct claim tables = claim_of_page_tables(guest, banner_gpa);
		/* A file without variables does not say where the page tables are. */
		if (!tables.made)
			tables = discover_claim_of_info(guest);
		symtab_slide(guest->symbols, text + linked_delta, UINT64_MAX + linked_delta,
			     tables.made ? -tables.delta : -linked_delta);
	}
}

void discover_settle(struct guest *guest, const struct claim *info)
{
	if (guest->has_kallsyms && guest->kallsyms.addressing == KALLSYMS_PC_RELATIVE)
		settle_relative(guest, info);
	else
		settle_absolute(guest, info);
}
