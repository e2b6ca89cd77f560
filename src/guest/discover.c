/* How the kernel is found, with nothing but its RAM:
 *
 * 1. VMCOREINFO: the page that starts with "OSRELEASE=". It claims where the kernel lies and,
 * on newer kernels, where the symbol tables are. It may be absent or forged.
 * 2. kallsyms: at the place claimed, else by signature, first near the kernel, then everywhere.
 * 3. Where the image lies (image_delta = physical - virtual), from three sources:
 *    a. what VMCOREINFO says (phys_base);
 *    b. kallsyms: the address that the table gives for linux_banner, against where the text
 *       "Linux version " is found (images are aligned to 2 MiB: one probe per 2 MiB of RAM);
 *    c. the page tables: walking to linux_banner must arrive at the same text.
 *    They must agree. When they do not, b is believed if c confirms it, and a doubt is noted.
 * 4. BTF: between __start_BTF and __stop_BTF, else by its header.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "guest/btf.h"
#include "guest/internal.h"
#include "guest/scan.h"
#include "guest/symtab.h"

static const char banner_start[] = "Linux version ";

enum {
	IMAGE_ALIGN = 2 << 20,
	NEAR_BYTES = 128 << 20, /* tables lie this near after the start of text */
	BTF_BYTES_MIN = 256 << 10, /* a kernel's types; modules have less */
	PROBES_MAX = 1 << 20, /* 2 TiB of RAM in steps of 2 MiB */
};

/* What one source says about image_delta. */
struct claim {
	bool made;
	uint64_t delta;
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

/* --- kallsyms ------------------------------------------------------------------------- */

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

static void find_kallsyms(struct guest *guest, const struct claim *claim)
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

/* --- symbols ---------------------------------------------------------------------------- */

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

static bool find_symbol(struct guest *guest, const char *name, uint64_t *gva_ret)
{
	return guest->symbols && symtab_find(guest->symbols, name, gva_ret);
}

/* --- where the image lies ------------------------------------------------------------------
 */

static struct claim claim_of_info(struct guest *guest)
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
	if (!find_symbol(guest, "linux_banner", &banner))
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
		if (!find_symbol(guest, root_names[r], &root))
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

static void set_delta(struct guest *guest, uint64_t delta)
{
	guest->image_delta = delta;
	guest->has_delta = true;
}

/* The table was expanded to physical addresses; now moves it to virtual ones. */
static void settle_relative(struct guest *guest, const struct claim *info)
{
	uint64_t banner_gpa = 0;
	bool has_text = find_symbol(guest, "linux_banner", &banner_gpa) &&
			guest_read_banner(guest, banner_gpa);
	if (!has_text)
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
	symtab_slide(guest->symbols, 0, UINT64_MAX, -guest->image_delta);
	bool info_agrees = info->made && info->delta == guest->image_delta;
	name_sources(guest, info_agrees, has_text, tables.made);
}

static void settle_absolute(struct guest *guest, const struct claim *info)
{
	struct claim symbols = claim_of_symbols(guest, info);
	if (!symbols.made)
		guest_add_doubt(guest, "the banner is not where the symbols say");
	if (info->made && symbols.made && info->delta != symbols.delta)
		guest_add_doubt(guest, "VMCOREINFO and kallsyms disagree where the kernel "
				       "lies; kallsyms is believed");
	struct claim best = symbols.made ? symbols : *info;
	if (!best.made)
		return;
	set_delta(guest, best.delta);
	uint64_t gva = 0, stext = 0;
	if (find_symbol(guest, "linux_banner", &gva) || find_symbol(guest, "_stext", &gva))
		guest->has_kernel_space =
			page_tables_agree(guest, best.delta, gva, gva + best.delta);
	bool info_agrees = info->made && info->delta == best.delta;
	if (info_agrees && vmcoreinfo_hex(&guest->info, "SYMBOL(_stext)", &stext) &&
	    find_symbol(guest, "_stext", &gva) && gva != stext) {
		guest_add_doubt(guest, "VMCOREINFO and kallsyms disagree about _stext");
		info_agrees = false;
	}
	name_sources(guest, info_agrees, symbols.made, guest->has_kernel_space);
}

/* Symbols from a file are at the addresses the kernel was linked at. Where the banner is found
 * tells their physical place; from there it goes on as with a pc-relative table. */
static void settle_given(struct guest *guest)
{
	uint64_t banner, banner_gpa, text;
	if (guest->given_settled)
		return;
	guest->given_settled = true;
	if (!find_symbol(guest, "linux_banner", &banner) ||
	    !probe_for_banner(guest, banner, &banner_gpa)) {
		guest_add_doubt(guest, "the symbols of the %s do not fit this memory",
				guest->symbol_source);
		return;
	}
	if (!find_symbol(guest, "_text", &text) && !find_symbol(guest, "_stext", &text))
		text = KERNEL_MAP_64;
	uint64_t linked_delta = banner_gpa - banner;
	if (guest->word_bytes == 8) {
		symtab_slide(guest->symbols, text, UINT64_MAX, linked_delta);
		struct claim tables = claim_of_page_tables(guest, banner_gpa);
		symtab_slide(guest->symbols, text + linked_delta, UINT64_MAX + linked_delta,
			     tables.made ? -tables.delta : -linked_delta);
	}
}

/* --- types ---------------------------------------------------------------------------- */

static bool btf_between_symbols(struct guest *guest)
{
	uint64_t start, stop, gpa;
	uint8_t header[BTF_HEADER_BYTES];
	if (!guest_symbol(guest, "__start_BTF", &start) ||
	    !guest_symbol(guest, "__stop_BTF", &stop) || stop <= start ||
	    stop - start > BTF_BYTES_MAX || !guest_image_to_gpa(guest, start, &gpa) ||
	    !phys_mem_read(guest->mem, gpa, header, sizeof(header)))
		return false;
	size_t length = btf_blob_bytes(header, (size_t)(stop - start));
	if (!length || length > stop - start)
		return false;
	guest->btf_gpa = gpa;
	guest->btf_bytes = length;
	return true;
}

static bool find_btf_header(void *user, uint64_t gpa, const uint8_t *bytes, size_t length)
{
	struct guest *guest = user;
	for (size_t at = 0; at + BTF_HEADER_BYTES <= length; at += 4) {
		if ((load_u32(bytes + at) & 0xffffff) != (0x010000 | BTF_MAGIC))
			continue;
		size_t blob = btf_blob_bytes(bytes + at, length - at);
		if (blob < BTF_BYTES_MIN)
			continue;
		struct btf *btf = NULL;
		uint8_t *copy = NULL;
		size_t got = scan_copy(guest->mem, gpa + at, blob, &copy);
		struct error *err =
			got == blob ? btf_create(copy, blob, NULL, guest->word_bytes, &btf)
				    : error_create(ERR_BAD_DATA, "cut short");
		if (got != blob)
			free(copy);
		if (err) {
			error_destroy(err);
			continue;
		}
		guest->types = btf;
		guest->btf_gpa = gpa + at;
		guest->btf_bytes = blob;
		return false;
	}
	return true;
}

struct error *guest_index_types(struct guest *guest)
{
	if (!guest->btf_gpa && !btf_between_symbols(guest)) {
		scan_data(guest->mem, 0, UINT64_MAX, BTF_HEADER_BYTES, find_btf_header, guest);
		if (!guest->types)
			return error_create(ERR_NOT_FOUND, "no BTF in RAM");
		snprintf(guest->type_source, sizeof(guest->type_source),
			 "BTF in RAM, by its header");
		return NULL;
	}
	uint8_t *copy = NULL;
	if (scan_copy(guest->mem, guest->btf_gpa, guest->btf_bytes, &copy) !=
	    guest->btf_bytes) {
		free(copy);
		return error_create(ERR_BAD_DATA, "BTF is not wholly in RAM");
	}
	TRY(btf_create(copy, guest->btf_bytes, NULL, guest->word_bytes, &guest->types));
	snprintf(guest->type_source, sizeof(guest->type_source), "BTF in RAM");
	return NULL;
}

/* --- all of it ------------------------------------------------------------------------- */

/* Small things that must hold if everything above is right. */
static void verify(struct guest *guest)
{
	int64_t page_bytes;
	size_t length;
	const char *release =
		guest->has_info ? vmcoreinfo_value(&guest->info, "OSRELEASE", &length) : NULL;
	if (release && *guest->release &&
	    (strlen(guest->release) != length || strncmp(release, guest->release, length)))
		guest_add_doubt(guest, "VMCOREINFO is of another kernel than the banner");
	if (guest->has_info && guest_types(guest) &&
	    vmcoreinfo_number(&guest->info, "SIZE(page)", &page_bytes) &&
	    guest_sizeof(guest, "struct page") != (uint64_t)page_bytes)
		guest_add_doubt(guest, "types and VMCOREINFO disagree about struct page");
	if (!guest->has_kernel_space) {
		guest_add_doubt(guest, "the kernel's page tables do not lead to its text");
		return;
	}
	struct field comm = guest_field(guest, "task_struct.comm");
	uint64_t init_task;
	if (!comm.found || !guest_symbol(guest, "init_task", &init_task))
		return;
	char text[16] = "";
	guest_load_text(guest, init_task, comm, text, sizeof(text));
	if (strncmp(text, "swapper", 7))
		guest_add_doubt(guest, "init_task is called '%.15s', not swapper", text);
}

static void forget_attempt(struct guest *guest)
{
	if (!guest->symbols_given) {
		symtab_destroy(guest->symbols);
		guest->symbols = NULL;
	}
	if (!guest->types_given) {
		btf_destroy(guest->types);
		guest->types = NULL;
	}
	guest_forget_memos(guest);
	guest->btf_gpa = 0;
	guest->types_failed = false;
	guest->has_kallsyms = guest->has_delta = guest->has_kernel_space = false;
	guest->symbols_failed = false;
	free(TAKE(guest->kallsyms_window));
	*guest->banner = *guest->release = *guest->kaslr_source = 0;
	for (size_t i = 0; i < guest->doubts.count; i++)
		free(guest->doubts.items[i]);
	guest->doubts.count = 0;
}

/* One try with the VMCOREINFO page in guest->info, or without. True if a kernel is there. */
static bool attempt(struct guest *guest)
{
	struct claim info = claim_of_info(guest);
	if (!guest->symbols) {
		find_kallsyms(guest, &info);
		if (!guest_symtab(guest))
			return false;
	}
	if (guest->symbols_given)
		settle_given(guest);
	else
		snprintf(guest->symbol_source, sizeof(guest->symbol_source),
			 guest->has_kallsyms ? "kallsyms in RAM (%s layout)"
					     : "VMCOREINFO only",
			 guest->kallsyms.layout);
	if (guest->has_kallsyms && guest->kallsyms.addressing == KALLSYMS_PC_RELATIVE)
		settle_relative(guest, &info);
	else
		settle_absolute(guest, &info);
	return guest->has_kernel_space;
}

struct error *guest_discover(struct guest *guest)
{
	uint64_t gpas[VMCOREINFO_CANDIDATES];
	size_t count = vmcoreinfo_find(guest->mem, gpas);
	bool good = false;
	for (size_t i = 0; i < count && !good; i++) {
		forget_attempt(guest);
		guest->has_info = vmcoreinfo_read(guest->mem, gpas[i], &guest->info);
		good = guest->has_info && attempt(guest);
	}
	if (!good && count) {
		forget_attempt(guest);
		guest->has_info = false;
		good = attempt(guest);
		guest_add_doubt(guest, "the VMCOREINFO page found does not fit this kernel");
	} else if (!good) {
		good = attempt(guest);
	}
	if (count > 1)
		guest_add_doubt(guest, "%zu VMCOREINFO pages found", count);
	if (!good && !*guest->banner && !guest->has_kallsyms)
		return error_hint(
			error_create(ERR_NOT_FOUND, "no Linux kernel found in %llu MiB of RAM",
				     (unsigned long long)phys_mem_size(guest->mem) >> 20),
			"it may still be booting, or not be Linux on x86");
	verify(guest);
	return NULL;
}
