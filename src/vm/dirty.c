/* The map. Every page has the number of the last scan ("generation") that found it written;
 * every consumer remembers the last generation it has seen. A take is, under the file's lock:
 *
 *   generation += 1
 *   scan: written[page] = generation for every page the source reports, and re-arm it
 *   report: every page with written[page] > cursor; cursor = generation
 *
 * The scan's re-arming is destructive, which is why it must be written down for the others
 * before the lock is given up. A consumer that dies loses nothing for anybody else. */
#include "vm/dirty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/phys_mem.h"
#include "vm/dirty_internal.h"
#include "vm/state.h"
#include "vm/vm.h"

#define DIRTY_MAGIC 0x3179747269646267ull /* "gbdirty1" */

static uint64_t count_pages(const struct phys_mem *mem)
{
	return phys_mem_size(mem) / PHYS_PAGE_SIZE;
}

enum dirty_source dirty_probe(struct vm *vm, const char **why_ret)
{
	if (dirty_is_armed(vm, why_ret))
		return DIRTY_WRITE_PROTECT;
	return dirty_kernel_has_soft() ? DIRTY_SOFT : DIRTY_HASH;
}

const char *dirty_source_name(enum dirty_source source)
{
	static const char *const names[] = { [DIRTY_AUTO] = "auto",
					     [DIRTY_WRITE_PROTECT] = "write-protect (plugin)",
					     [DIRTY_SOFT] = "soft-dirty",
					     [DIRTY_HASH] = "page hashes" };
	return names[source];
}

static struct error *map_path(const struct dirty *dirty, char **ret)
{
	static const char *const kinds[] = { "auto", "protect", "soft", "hash" };
	char file[64];
	if (vm_is_ours(dirty->vm)) {
		snprintf(file, sizeof(file), "dirty-%s", kinds[dirty->source]);
		return state_path(vm_name(dirty->vm), file, ret);
	}
	snprintf(file, sizeof(file), ".dirty-%d-%llu-%s", (int)vm_pid(dirty->vm),
		 (unsigned long long)vm_start_time(dirty->vm), kinds[dirty->source]);
	return state_path(file, NULL, ret);
}

/* Lays the arrays out behind the header; with base NULL only counts bytes. */
static size_t place_arrays(struct dirty *dirty, uint8_t *base, uint64_t n_pages)
{
	size_t at = align_up(sizeof(struct dirty_header), 64);
	size_t n_chunks = (size_t)((n_pages + DIRTY_CHUNK - 1) / DIRTY_CHUNK);
	dirty->header = (struct dirty_header *)base;
	dirty->chunk = (uint32_t *)(base + at);
	at = align_up(at + n_chunks * sizeof(uint32_t), 64);
	dirty->written = (uint32_t *)(base + at);
	at = align_up(at + n_pages * sizeof(uint32_t), 64);
	dirty->hashes = dirty->source == DIRTY_HASH ? (uint64_t *)(base + at) : NULL;
	return dirty->hashes ? at + n_pages * sizeof(uint64_t) : at;
}

/* Makes the map, or joins the one that others use. Called with the file locked. */
static struct error *join_map(struct dirty *dirty)
{
	uint64_t n_pages = count_pages(vm_memory(dirty->vm));
	dirty->map_bytes = place_arrays(dirty, NULL, n_pages);
	if (ftruncate(dirty->map_fd, (off_t)dirty->map_bytes))
		return error_system(errno, "cannot size the dirty-page map");
	dirty->map = mmap(NULL, dirty->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			  dirty->map_fd, 0);
	if (dirty->map == MAP_FAILED) {
		dirty->map = NULL;
		return error_system(errno, "cannot map the dirty-page map");
	}
	place_arrays(dirty, dirty->map, n_pages);
	struct dirty_header *header = dirty->header;
	uint64_t start_time = vm_start_time(dirty->vm);
	if (header->magic != DIRTY_MAGIC || header->n_pages != n_pages ||
	    header->start_time != start_time) {
		memset(dirty->map, 0, dirty->map_bytes);
		*header = (struct dirty_header){ .magic = DIRTY_MAGIC,
						 .n_pages = n_pages,
						 .start_time = start_time };
	}
	return NULL;
}

static struct error *lock_map(const struct dirty *dirty)
{
	while (flock(dirty->map_fd, LOCK_EX))
		if (errno != EINTR)
			return error_system(errno, "cannot lock the dirty-page map");
	return NULL;
}

static struct error *open_map(struct dirty *dirty)
{
	AUTO(own_free) char *path = NULL;
	TRY(map_path(dirty, &path));
	dirty->map_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (dirty->map_fd < 0)
		return error_system(errno, "cannot open %s", path);
	TRY(lock_map(dirty));
	struct error *err = join_map(dirty);
	flock(dirty->map_fd, LOCK_UN);
	return err;
}

static struct error *open_source(struct dirty *dirty, enum dirty_source source)
{
	const char *why = "";
	if (source == DIRTY_AUTO)
		source = dirty_probe(dirty->vm, &why);
	else if (source == DIRTY_WRITE_PROTECT && !dirty_is_armed(dirty->vm, &why))
		return error_create(ERR_UNSUPPORTED, "no write-protect tracking: %s", why);
	else if (source == DIRTY_SOFT && !dirty_kernel_has_soft())
		return error_create(ERR_UNSUPPORTED, "this kernel has no soft-dirty bits");
	dirty->source = source;
	TRY(open_map(dirty));
	return source == DIRTY_HASH ? NULL : dirty_find_runs(dirty);
}

struct error *dirty_open(struct vm *vm, enum dirty_source source, struct dirty **ret)
{
	AUTO(own_dirty) struct dirty *dirty = NULL;
	TRY(error_alloc(1, sizeof(*dirty), &dirty));
	dirty->vm = vm;
	dirty->map_fd = dirty->pagemap_fd = -1;
	struct error *err = open_source(dirty, source);
	/* Reading another process's page map may be forbidden: compare instead. */
	if (err && source == DIRTY_AUTO && dirty->source != DIRTY_HASH) {
		error_destroy(err);
		return dirty_open(vm, DIRTY_HASH, ret);
	}
	TRY(err);
	*ret = TAKE(dirty);
	return NULL;
}

/* The map of a foreign QEMU goes away with its last user. */
static void remove_unused(const struct dirty *dirty)
{
	AUTO(own_free) char *path = NULL;
	struct error *err = map_path(dirty, &path);
	if (!err && !vm_is_ours(dirty->vm) && !vm_alive(dirty->vm))
		unlink(path);
	error_destroy(err);
}

void dirty_close(struct dirty *dirty)
{
	if (!dirty)
		return;
	if (dirty->map)
		munmap(dirty->map, dirty->map_bytes);
	if (dirty->map_fd >= 0) {
		remove_unused(dirty);
		close(dirty->map_fd);
	}
	if (dirty->pagemap_fd >= 0)
		close(dirty->pagemap_fd);
	VEC_FREE(&dirty->runs);
	free(dirty->regions);
	free(dirty->buffer);
	free(dirty);
}

enum dirty_source dirty_source(const struct dirty *dirty)
{
	return dirty->source;
}

static struct error *scan(struct dirty *dirty)
{
	dirty->header->generation++;
	struct error *err = dirty->source == DIRTY_HASH ? dirty_scan_hash(dirty)
							: dirty_scan_pagemap(dirty);
	if (!err)
		dirty->header->is_baselined = 1;
	return err;
}

/* Joins page to the last run if it follows it. */
static bool add_page(struct dirty_pages *pages, uint64_t gpa)
{
	struct dirty_run *last =
		pages->runs.count ? &pages->runs.items[pages->runs.count - 1] : NULL;
	pages->n_pages++;
	if (last && last->gpa + last->size_bytes == gpa) {
		last->size_bytes += PHYS_PAGE_SIZE;
		return true;
	}
	struct dirty_run run = { gpa, PHYS_PAGE_SIZE };
	return VEC_PUSH(&pages->runs, run);
}

static bool collect_segment(const struct dirty *dirty, const struct phys_segment *segment,
			    uint64_t first, uint32_t seen, struct dirty_pages *pages)
{
	uint64_t count = segment->size_bytes / PHYS_PAGE_SIZE;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t page = first + i;
		if (dirty->chunk[page / DIRTY_CHUNK] <= seen) {
			i += DIRTY_CHUNK - 1 - page % DIRTY_CHUNK;
			continue;
		}
		if (dirty->written[page] > seen &&
		    !add_page(pages, segment->gpa + i * PHYS_PAGE_SIZE))
			return false;
	}
	return true;
}

static struct error *collect(const struct dirty *dirty, uint32_t seen,
			     struct dirty_pages *pages)
{
	const struct phys_mem *mem = vm_memory(dirty->vm);
	uint64_t first = 0;
	for (size_t i = 0; i < mem->n_segments; i++) {
		if (!collect_segment(dirty, &mem->segments[i], first, seen, pages))
			return error_create(ERR_MEMORY, "no memory for dirty pages");
		first += mem->segments[i].size_bytes / PHYS_PAGE_SIZE;
	}
	return NULL;
}

struct error *dirty_take(struct dirty *dirty, struct dirty_cursor *cursor,
			 struct dirty_pages *pages)
{
	pages->runs.count = 0;
	pages->n_pages = 0;
	TRY(lock_map(dirty));
	struct error *err = scan(dirty);
	if (!err)
		err = collect(dirty, cursor->generation, pages);
	if (!err)
		cursor->generation = dirty->header->generation;
	flock(dirty->map_fd, LOCK_UN);
	return err ? err : vm_check_alive(dirty->vm);
}

struct error *dirty_cursor_now(struct dirty *dirty, struct dirty_cursor *cursor)
{
	TRY(lock_map(dirty));
	struct error *err = scan(dirty);
	if (!err)
		cursor->generation = dirty->header->generation;
	flock(dirty->map_fd, LOCK_UN);
	return err;
}

void dirty_stands_still(struct dirty *dirty, bool still)
{
	dirty->stands_still = still;
}

void dirty_pages_deinit(struct dirty_pages *pages)
{
	VEC_FREE(&pages->runs);
}
