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
#include "guest/discover.h"
#include "guest/inferred.h"
#include "guest/internal.h"
#include "guest/scan.h"
#include "guest/shape.h"
#include "guest/symtab.h"

enum {
	BTF_BYTES_MIN = 256 << 10, /* a kernel's types; modules have less */
};

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

struct init_finder {
	struct guest *guest;
	struct field comm, pid, tasks;
};

/* A task_struct called swapper with pid 0 whose list neighbours point back at it. */
static bool is_init_task(struct init_finder *finder, uint64_t gva)
{
	struct guest *guest = finder->guest;
	struct guest_space *space = &guest->kernel;
	uint64_t next = 0, back = 0;
	uint32_t pid = 1;
	unsigned word = guest->word_bytes;
	return guest_space_read(space, gva + finder->pid.offset, &pid, 4) && !pid &&
	       guest_space_read(space, gva + finder->tasks.offset, &next, word) &&
	       guest_space_read(space, next + word, &back, word) &&
	       back == gva + finder->tasks.offset;
}

static bool look_for_init_task(void *user, uint64_t gpa, const uint8_t *bytes, size_t length)
{
	struct init_finder *finder = user;
	static const char name[] = "swapper";
	const uint8_t *at = bytes, *end = bytes + length;
	for (; (at = memmem(at, (size_t)(end - at), name, 7)); at++) {
		uint64_t gva = gpa + (uint64_t)(at - bytes) - finder->guest->image_delta -
			       finder->comm.offset;
		if (finder->guest->word_bytes == 4)
			gva &= UINT32_MAX;
		bool is_new = false;
		if (!is_init_task(finder, gva))
			continue;
		struct memo *memo =
			guest_memo(finder->guest, MEMO_SYMBOL, "init_task", &is_new);
		if (memo) {
			memo->found = true;
			memo->value = gva;
		}
		return false;
	}
	return true;
}

/* Kernels without KALLSYMS_ALL do not list init_task. */
static void find_init_task(struct guest *guest)
{
	uint64_t gva, text;
	struct init_finder finder = { .guest = guest,
				      .comm = guest_field(guest, "task_struct.comm"),
				      .pid = guest_field(guest, "task_struct.pid"),
				      .tasks = guest_field(guest, "task_struct.tasks") };
	if (guest_symbol(guest, "init_task", &gva) || !finder.tasks.found ||
	    !finder.comm.found || !finder.pid.found || !guest->has_kernel_space ||
	    !guest_symbol(guest, "_stext", &text))
		return;
	uint64_t gpa = text + guest->image_delta;
	scan_data(guest->mem, align_down(gpa, 4096), gpa + NEAR_BYTES, 64, look_for_init_task,
		  &finder);
}

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
	inferred_forget(guest);
	guest->btf_gpa = 0;
	guest->types_failed = false;
	guest->has_kallsyms = guest->has_delta = guest->has_kernel_space = false;
	guest->symbols_failed = guest->symbols_slid = false;
	free(TAKE(guest->kallsyms_window));
	*guest->banner = *guest->release = *guest->kaslr_source = 0;
	for (size_t i = 0; i < guest->doubts.count; i++)
		free(guest->doubts.items[i]);
	guest->doubts.count = 0;
}

/* One try with the VMCOREINFO page in guest->info, or without. True if a kernel is there. */
static bool attempt(struct guest *guest)
{
	struct claim info = discover_claim_of_info(guest);
	if (!guest->symbols) {
		discover_kallsyms(guest, &info);
		if (!guest_symtab(guest))
			return false;
	}
	if (guest->symbols_given)
		discover_settle_given(guest);
	else
		snprintf(guest->symbol_source, sizeof(guest->symbol_source),
			 guest->has_kallsyms ? "kallsyms in RAM (%s layout)"
					     : "VMCOREINFO only",
			 guest->kallsyms.layout);
	discover_settle(guest, &info);
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
	if (!good) {
		good = shape_settle(guest);
		if (good)
			discover_slide(guest, guest->image_delta);
	}
	if (!good && !*guest->banner && !guest->has_kallsyms)
		return error_hint(
			error_create(ERR_NOT_FOUND, "no Linux kernel found in %llu MiB of RAM",
				     (unsigned long long)phys_mem_size(guest->mem) >> 20),
			"it may still be booting, or not be Linux on x86");
	/* Known now whether there are types: what is worked out instead includes symbols. */
	if (!guest->types && !btf_between_symbols(guest))
		guest_types(guest);
	find_init_task(guest);
	verify(guest);
	return NULL;
}
