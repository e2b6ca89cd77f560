/* The two sources that ask the kernel about QEMU's own mapping of guest RAM: PAGEMAP_SCAN of
 * /proc/PID/pagemap, by written pages (write protection armed by the plugin) or by soft-dirty
 * bits. Only writes through that mapping count, which is where the CPUs and devices of the
 * guest write. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/phys_mem.h"
#include "plugin/control.h"
#include "vm/dirty_internal.h"
#include "vm/pause.h"
#include "vm/plugin_state.h"
#include "vm/ram.h"
#include "vm/vm.h"

/* Linux 6.7; Debian 12's headers are older. */
struct scan_region {
	uint64_t start, end, categories;
};

struct scan_request {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define SCAN_IOCTL _IOWR('f', 16, struct scan_request)
#define SCAN_PROTECT_MATCHING (1u << 0)
#define SCAN_CHECK_ASYNC (1u << 1)
#define SCAN_IS_WRITTEN (1u << 1)
#define SCAN_IS_SOFT_DIRTY (1u << 7)

/* Scanned at once: the vector then has room for the worst case, one region per page. */
#define SCAN_PAGES 262144u

static struct error *add_run(struct dirty *dirty, uint64_t hva, uint64_t size_bytes,
			     uint64_t first_page)
{
	struct dirty_run_map run = { hva, size_bytes, first_page };
	return VEC_PUSH(&dirty->runs, run)
		       ? NULL
		       : error_create(ERR_MEMORY, "no memory for the RAM's addresses");
}

/* One mapping of a file in QEMU, from its line in /proc/PID/maps. */
struct map_line {
	uint64_t start, end, offset, inode;
	unsigned major, minor;
};

static bool parse_map_line(const char *line, struct map_line *ret)
{
	return sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %x:%x %" SCNu64,
		      &ret->start, &ret->end, &ret->offset, &ret->major, &ret->minor,
		      &ret->inode) == 6;
}

/* The part of a RAM piece that this mapping shows, as a run. */
static struct error *match_piece(struct dirty *dirty, const struct map_line *map,
				 const struct ram_piece *piece, const struct stat *file,
				 uint64_t first_page)
{
	if (map->inode != file->st_ino)
		return NULL;
	uint64_t map_end = map->offset + (map->end - map->start);
	uint64_t piece_end = piece->offset + piece->size_bytes;
	uint64_t from = map->offset > piece->offset ? map->offset : piece->offset;
	uint64_t to = map_end < piece_end ? map_end : piece_end;
	if (from >= to)
		return NULL;
	return add_run(dirty, map->start + (from - map->offset), to - from,
		       first_page + (from - piece->offset) / PHYS_PAGE_SIZE);
}

static struct error *match_line(struct dirty *dirty, const struct map_line *map)
{
	const struct phys_mem *mem = vm_memory(dirty->vm);
	uint64_t first_page = 0;
	for (size_t i = 0; i < mem->n_segments; i++) {
		struct ram_piece piece;
		struct stat file;
		int fd;
		ram_piece_at(mem, i, &piece, &fd);
		if (fd >= 0 && !fstat(fd, &file))
			TRY(match_piece(dirty, map, &piece, &file, first_page));
		first_page += piece.size_bytes / PHYS_PAGE_SIZE;
	}
	return NULL;
}

/* Private memory needs no search: pieces already are addresses of the process. */
static struct error *add_process_pieces(struct dirty *dirty)
{
	const struct phys_mem *mem = vm_memory(dirty->vm);
	uint64_t first_page = 0;
	for (size_t i = 0; i < mem->n_segments; i++) {
		struct ram_piece piece;
		int fd;
		ram_piece_at(mem, i, &piece, &fd);
		if (piece.source == RAM_PROCESS)
			TRY(add_run(dirty, piece.offset, piece.size_bytes, first_page));
		first_page += piece.size_bytes / PHYS_PAGE_SIZE;
	}
	return NULL;
}

static uint64_t covered_bytes(const struct dirty *dirty)
{
	uint64_t total = 0;
	for (size_t i = 0; i < dirty->runs.count; i++)
		total += dirty->runs.items[i].size_bytes;
	return total;
}

static struct error *read_maps(struct dirty *dirty)
{
	char path[64], line[4096];
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)vm_pid(dirty->vm));
	AUTO(own_file) FILE *maps = fopen(path, "re");
	if (!maps)
		return error_system(errno, "cannot open %s", path);
	while (fgets(line, sizeof(line), maps)) {
		struct map_line map;
		if (parse_map_line(line, &map))
			TRY(match_line(dirty, &map));
	}
	return NULL;
}

struct error *dirty_find_runs(struct dirty *dirty)
{
	char path[64];
	TRY(read_maps(dirty));
	TRY(add_process_pieces(dirty));
	if (covered_bytes(dirty) != phys_mem_size(vm_memory(dirty->vm)))
		return error_create(ERR_UNSUPPORTED,
				    "QEMU's mapping of the RAM cannot be told apart");
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)vm_pid(dirty->vm));
	dirty->pagemap_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (dirty->pagemap_fd < 0)
		return error_system(errno, "cannot open %s", path);
	return error_alloc(SCAN_PAGES, sizeof(struct scan_region), &dirty->regions);
}

/* One ioctl for at most SCAN_PAGES pages. */
static struct error *scan_part(struct dirty *dirty, const struct dirty_run_map *run,
			       uint64_t skip, uint64_t size_bytes)
{
	bool protect = dirty->source == DIRTY_WRITE_PROTECT;
	uint64_t category = protect ? SCAN_IS_WRITTEN : SCAN_IS_SOFT_DIRTY;
	const struct scan_region *regions = dirty->regions;
	struct scan_request request = {
		.size = sizeof(request),
		.flags = protect ? SCAN_PROTECT_MATCHING | SCAN_CHECK_ASYNC : 0,
		.start = run->hva + skip,
		.end = run->hva + skip + size_bytes,
		.vec = (uintptr_t)regions,
		.vec_len = SCAN_PAGES,
		.category_mask = category,
		.return_mask = category,
	};
	int n;
	do
		n = ioctl(dirty->pagemap_fd, SCAN_IOCTL, &request);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ESRCH ? error_create(ERR_PEER, "the VM ended")
				      : error_system(errno, "cannot scan for written pages");
	for (int i = 0; i < n && dirty->header->is_baselined; i++)
		dirty_mark(dirty,
			   run->first_page + (regions[i].start - run->hva) / PHYS_PAGE_SIZE,
			   (regions[i].end - regions[i].start) / PHYS_PAGE_SIZE);
	return NULL;
}

static struct error *clear_soft(struct dirty *dirty)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/clear_refs", (int)vm_pid(dirty->vm));
	AUTO(own_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "4", 1) != 1)
		return error_system(errno, "cannot clear %s", path);
	return NULL;
}

static struct error *scan_runs(struct dirty *dirty)
{
	const uint64_t most = (uint64_t)SCAN_PAGES * PHYS_PAGE_SIZE;
	for (size_t i = 0; i < dirty->runs.count; i++) {
		const struct dirty_run_map *run = &dirty->runs.items[i];
		for (uint64_t at = 0; at < run->size_bytes; at += most) {
			uint64_t left = run->size_bytes - at;
			TRY(scan_part(dirty, run, at, left < most ? left : most));
		}
	}
	return NULL;
}

static struct error *scan_and_clear(void *user, struct qmp *qmp)
{
	TRY(scan_runs(user));
	return clear_soft(user);
}

/* Soft-dirty bits cannot be read and cleared in one step, so the guest must not write in
 * between. */
static struct error *scan_soft(struct dirty *dirty)
{
	struct pause_times times;
	if (dirty->stands_still)
		return scan_and_clear(dirty, NULL);
	return pause_run(
		dirty->vm,
		&(struct pause_params){ .while_paused = scan_and_clear, .user = dirty },
		&times);
}

/* The first scan arms; what counts as written then is what holds data. */
static void mark_data(struct dirty *dirty)
{
	struct phys_mem *mem = vm_memory(dirty->vm);
	uint64_t first_page = 0, start, end;
	for (size_t i = 0; i < mem->n_segments; i++) {
		const struct phys_segment *segment = &mem->segments[i];
		uint64_t at = segment->gpa, limit = at + segment->size_bytes;
		while (at < limit && phys_mem_next_data(mem, at, &start, &end) &&
		       start < limit) {
			dirty_mark(dirty, first_page + (start - segment->gpa) / PHYS_PAGE_SIZE,
				   (end - start) / PHYS_PAGE_SIZE);
			at = end;
		}
		first_page += segment->size_bytes / PHYS_PAGE_SIZE;
	}
}

struct error *dirty_scan_pagemap(struct dirty *dirty)
{
	TRY(dirty->source == DIRTY_SOFT ? scan_soft(dirty) : scan_runs(dirty));
	if (!dirty->header->is_baselined)
		mark_data(dirty);
	return NULL;
}

bool dirty_is_armed(struct vm *vm, const char **why_ret)
{
	struct gb_control control;
	*why_ret = "QEMU was started without the plugin";
	if (!plugin_state_read(vm, &control))
		return false;
	*why_ret = control.dirty_state == GB_DIRTY_FAILED
			   ? "the kernel refused userfaultfd write protection"
			   : "the plugin has not armed it yet";
	return control.dirty_state == GB_DIRTY_ARMED;
}

bool dirty_kernel_has_soft(void)
{
	uint64_t entry = 0;
	AUTO(own_fd) int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint8_t *page = mmap(NULL, PHYS_PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return false;
	/* A new mapping counts as soft-dirty wherever the kernel keeps these bits. */
	*(volatile uint8_t *)page = 1;
	off_t at = (off_t)((uintptr_t)page / PHYS_PAGE_SIZE * sizeof(entry));
	bool has = pagemap >= 0 && pread(pagemap, &entry, sizeof(entry), at) == sizeof(entry) &&
		   (entry >> 55 & 1);
	munmap(page, PHYS_PAGE_SIZE);
	return has;
}
