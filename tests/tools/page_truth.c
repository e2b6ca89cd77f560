/* Compares the kinds of all frames of a dump with what the guest's own /proc/kpageflags and
 * /proc/kpagecount said: `page_truth DUMP TRUTH`, where TRUTH is the flags of all frames and
 * then the counts, as u64. Prints one JSON object; tests/integration/test_page_kind.py judges
 * it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "guest/guest.h"
#include "guest/page_kind.h"
#include "guest/page_struct.h"
#include "vm/dump.h"

/* Bits of /proc/kpageflags (include/uapi/linux/kernel-page-flags.h). */
enum {
	KPF_LRU = 5,
	KPF_SLAB = 7,
	KPF_BUDDY = 10,
	KPF_MMAP = 11,
	KPF_ANON = 12,
	KPF_SWAPBACKED = 14,
	KPF_COMPOUND_TAIL = 16,
	KPF_HUGE = 17,
	KPF_HWPOISON = 19,
	KPF_NOPAGE = 20,
	KPF_OFFLINE = 23,
	KPF_ZERO_PAGE = 24,
	KPF_PGTABLE = 26,
	KPF_RESERVED = 32,
};

static bool has(uint64_t flags, int bit)
{
	return flags >> bit & 1;
}

static bool is_kernel_use(enum page_kind kind)
{
	switch (kind) {
	case PAGE_KERNEL_OTHER:
	case PAGE_VMALLOC:
	case PAGE_MODULE:
	case PAGE_KERNEL_STACK:
	case PAGE_TABLE:
	case PAGE_PERCPU:
	case PAGE_DEVICE:
		return true;
	default:
		return false;
	}
}

static bool is_boot_use(enum page_kind kind)
{
	switch (kind) {
	case PAGE_RESERVED:
	case PAGE_KERNEL_TEXT:
	case PAGE_KERNEL_RODATA:
	case PAGE_KERNEL_DATA:
	case PAGE_PERCPU:
	case PAGE_MEMMAP:
	case PAGE_TABLE:
	case PAGE_KERNEL_STACK:
		return true;
	default:
		return false;
	}
}

/* Does our kind say what the kernel says? Only the kernel's words count, no guess of ours. */
static bool agrees(uint64_t flags, enum page_kind kind)
{
	if (has(flags, KPF_NOPAGE))
		return kind == PAGE_NOT_RAM || kind == PAGE_RESERVED;
	if (has(flags, KPF_BUDDY))
		return kind == PAGE_FREE;
	if (has(flags, KPF_HUGE))
		return kind == PAGE_HUGE;
	if (has(flags, KPF_SLAB))
		return kind == PAGE_SLAB;
	if (has(flags, KPF_PGTABLE))
		return kind == PAGE_TABLE;
	if (has(flags, KPF_OFFLINE))
		return kind == PAGE_OFFLINE || kind == PAGE_DEVICE;
	if (has(flags, KPF_RESERVED) || has(flags, KPF_ZERO_PAGE))
		return is_boot_use(kind);
	if (has(flags, KPF_ANON))
		return kind == PAGE_ANON_HEAP || kind == PAGE_ANON_STACK ||
		       kind == PAGE_ANON_MMAP;
	if (has(flags, KPF_LRU) || has(flags, KPF_MMAP))
		return has(flags, KPF_SWAPBACKED) ? kind == PAGE_SHMEM : kind == PAGE_CACHE;
	return is_kernel_use(kind) || kind == PAGE_FREE || kind == PAGE_CACHE ||
	       kind == PAGE_SHMEM || kind == PAGE_SLAB || kind == PAGE_ANON_MMAP;
}

static uint64_t *load_truth(const char *path, size_t *frames_ret)
{
	FILE *file = fopen(path, "rb");
	if (!file)
		return NULL;
	fseek(file, 0, SEEK_END);
	size_t size = (size_t)ftell(file);
	rewind(file);
	uint64_t *truth = calloc(1, size + 16);
	*frames_ret = truth ? fread(truth, 1, size, file) / 16 : 0;
	fclose(file);
	return truth;
}

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void print_mismatch(uint64_t flags, enum page_kind kind, size_t frame, int verbose)
{
	if (verbose)
		fprintf(stderr, "frame %#zx: %s, kernel says %#llx\n", frame,
			page_kind_name(kind), (unsigned long long)flags);
}

/* The same word must be in our reading of the structure: mapcount of pages that are mapped. */
static bool count_agrees(struct page_layout *layout, struct guest *guest, size_t frame,
			 uint64_t flags, uint64_t count)
{
	struct page_fields page;
	if (has(flags, KPF_NOPAGE) || has(flags, KPF_HUGE) || has(flags, KPF_COMPOUND_TAIL) ||
	    !has(flags, KPF_MMAP))
		return true;
	return page_struct_read(layout, guest, frame, &page) &&
	       (uint64_t)(page.mapcount + 1) == count;
}

static int compare(struct guest *guest, const uint64_t *truth, size_t n, int verbose)
{
	struct page_kinds *kinds = NULL;
	double best = 1e9;
	for (int i = 0; i < 5; i++) {
		page_kinds_destroy(kinds);
		double start = seconds();
		struct error *err = page_kinds_create(guest, &kinds);
		if (err) {
			fprintf(stderr, "%s\n", error_message(err));
			return 1;
		}
		best = seconds() - start < best ? seconds() - start : best;
	}
	struct page_table_of_kinds table = page_kinds_get(kinds);
	struct page_layout layout;
	page_layout_init(&layout, guest);
	size_t agreed = 0, counted = 0, settled = 0, vague = 0, compared = 0;
	for (size_t i = 0; i < n && i < table.n_frames; i++) {
		if (has(truth[i], KPF_NOPAGE) && table.kind[i] == PAGE_NOT_RAM)
			continue;
		bool same = agrees(truth[i], table.kind[i]);
		compared++;
		agreed += same;
		counted += count_agrees(&layout, guest, i, truth[i], truth[n + i]);
		vague += truth[i] == 0;
		settled += truth[i] == 0 && table.kind[i] != PAGE_KERNEL_OTHER;
		if (!same)
			print_mismatch(truth[i], table.kind[i], i, verbose);
	}
	struct page_kinds_summary summary;
	page_kinds_summarise(kinds, &summary);
	printf("{\"frames\": %zu, \"agreed\": %zu, \"agreement\": %.6f, \"counts_agreed\": "
	       "%zu, "
	       "\"unnamed_by_kernel\": %zu, \"of_these_named\": %zu, \"buddy\": %zu, "
	       "\"kernel_free\": %lld, \"best_ms\": %.2f, \"kinds\": {",
	       compared, agreed, (double)agreed / (double)compared, counted, vague, settled,
	       summary.buddy_frames, (long long)summary.kernel_free_frames, best * 1e3);
	for (int i = 0; i < PAGE_N_KINDS; i++)
		printf("%s\"%s\": %zu", i ? ", " : "", page_kind_name(i), summary.frames[i]);
	printf("}}\n");
	for (size_t i = 0; guest_note(guest, i); i++)
		fprintf(stderr, "note: %s\n", guest_note(guest, i));
	page_kinds_destroy(kinds);
	return 0;
}

int main(int argc, char **argv)
{
	struct phys_mem *mem = NULL;
	struct guest *guest = NULL;
	struct guest_params params = { .ignore_cache = true };
	size_t n = 0;
	uint64_t *truth = argc > 2 ? load_truth(argv[2], &n) : NULL;
	if (!truth)
		return 2;
	struct error *err = dump_open(argv[1], &mem);
	if (!err)
		err = guest_open(mem, &params, &guest);
	if (err) {
		fprintf(stderr, "%s\n", error_message(err));
		return 1;
	}
	guest_begin(guest);
	int result = compare(guest, truth, n, argc > 3);
	guest_destroy(guest);
	phys_mem_destroy(mem);
	free(truth);
	return result;
}
