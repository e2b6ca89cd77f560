/* What every page frame of the guest is used for and by whom: one pass over the kernel's own
 * page structures, its sections, stacks and page tables. Kinds are what colours a picture and
 * groups a list; details of one frame are in page_detail.h. Thread: that of the guest. */
#ifndef GUEST_PAGE_KIND_H
#define GUEST_PAGE_KIND_H
#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
struct error;
struct guest;
struct page_kinds;
struct page_layout;

/* ORDER page kinds: constant, name, colour as 0xRRGGBB, words for people. The name is what JSON
 * says; the numbers may be kept in files, so new kinds go to the end. */
#define PAGE_KINDS(X)                                                                       \
	X(PAGE_NOT_RAM, "none", 0x000000, "no memory is there")                             \
	X(PAGE_FREE, "free", 0x16202c, "free")                                              \
	X(PAGE_RESERVED, "reserved", 0x5b5f66, "kept by firmware or since boot")            \
	X(PAGE_KERNEL_TEXT, "kernel-text", 0xe4572e, "kernel code")                         \
	X(PAGE_KERNEL_RODATA, "kernel-rodata", 0xf08a4b, "kernel constants")                \
	X(PAGE_KERNEL_DATA, "kernel-data", 0xf3c14b, "kernel variables")                    \
	X(PAGE_MODULE, "module", 0xd45087, "code and data of modules")                      \
	X(PAGE_SLAB, "slab", 0xa05195, "kernel objects")                                    \
	X(PAGE_TABLE, "page-table", 0xffffff, "page tables")                                \
	X(PAGE_KERNEL_STACK, "kernel-stack", 0xff5fa2, "kernel stacks")                     \
	X(PAGE_VMALLOC, "vmalloc", 0x8a63d2, "vmalloc and other kernel mappings")           \
	X(PAGE_PERCPU, "per-cpu", 0xc9b6f2, "per-CPU variables")                            \
	X(PAGE_MEMMAP, "memmap", 0x7d7f9e, "the kernel's page structures")                  \
	X(PAGE_KERNEL_OTHER, "kernel-other", 0x6d4ea3, "other pages the kernel holds")      \
	X(PAGE_ANON_HEAP, "heap", 0x2fbf71, "heaps of programs")                            \
	X(PAGE_ANON_STACK, "stack", 0x9be564, "stacks of programs")                         \
	X(PAGE_ANON_MMAP, "anon", 0x3dd6c4, "other private memory of programs")             \
	X(PAGE_CACHE, "page-cache", 0x3f88c5, "contents of files")                          \
	X(PAGE_SHMEM, "shmem", 0x49c6e5, "shared memory and tmpfs")                         \
	X(PAGE_HUGE, "huge", 0xf7f06d, "pool of huge pages")                                \
	X(PAGE_DEVICE, "device", 0x8c564b, "given to devices, balloons, compressed memory") \
	X(PAGE_OFFLINE, "offline", 0x33333b, "taken out of use")

enum page_kind {
#define PAGE_KIND_ENUM(kind, name, colour, words) kind,
	PAGE_KINDS(PAGE_KIND_ENUM)
#undef PAGE_KIND_ENUM
		PAGE_N_KINDS
};

const char *page_kind_name(enum page_kind kind);
const char *page_kind_words(enum page_kind kind);
uint32_t page_kind_colour(enum page_kind kind);

/* Index: guest-physical address / 4096. Frames between pieces of RAM are PAGE_NOT_RAM. */
struct page_table_of_kinds {
	size_t n_frames;
	const uint8_t *kind; /* enum page_kind */
	const uint32_t *owner; /* pid; 0: the kernel, or nobody */
	const uint8_t *level; /* of page tables: 1 .. 5; of free blocks: order; else 0 */
};

struct page_kinds_summary {
	size_t frames[PAGE_N_KINDS];
	size_t buddy_frames; /* free in the allocator, not in per-CPU lists */
	int64_t kernel_free_frames; /* what the kernel itself counts; -1 unknown */
	const char *source; /* "page structures of the kernel", or which part is missing */
};

/* Classifies all of RAM. Without page structures (no types) frames stay kernel-other or what
 * the page tables say, and a note in guest says so. Caller owns *ret; guest must live longer.
 * Fails: ERR_MEMORY, ERR_NOT_FOUND (no kernel). */
struct error *page_kinds_create(struct guest *guest, struct page_kinds **ret);
void page_kinds_destroy(struct page_kinds *kinds);
OWN_DECLARE(own_page_kinds, struct page_kinds *, page_kinds_destroy)

/* Brings the table up to date after a change of these frames (numbers, ascending). Only page
 * structures in them are read again; owners and mappings when a page table is among them. */
struct error *page_kinds_refresh(struct page_kinds *kinds, const uint64_t *frames, size_t n);

/* Borrowed; valid until the next refresh. */
struct page_table_of_kinds page_kinds_get(const struct page_kinds *kinds);
const struct page_layout *page_kinds_layout(const struct page_kinds *kinds); /* page_struct.h */
void page_kinds_summarise(const struct page_kinds *kinds, struct page_kinds_summary *ret);
#endif
