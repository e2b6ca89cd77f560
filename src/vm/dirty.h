/* Which pages of a running VM were written. One scanner for all: whoever asks first collects
 * what is new and notes it in a map shared by every process that watches this VM; every
 * consumer then gets each change exactly once, however many there are. A page that is read
 * after it was reported and written again is reported again. Thread: a struct dirty belongs to
 * one thread; open one per thread. */
#ifndef VM_DIRTY_H
#define VM_DIRTY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
#include "base/vec.h"
struct dirty;
struct error;
struct vm;

enum dirty_source {
	DIRTY_AUTO, /* the best that works: in the order below */
	DIRTY_WRITE_PROTECT, /* armed inside QEMU by the plugin, one ioctl per scan */
	DIRTY_SOFT, /* the kernel's soft-dirty bits, where it has them */
	DIRTY_HASH, /* a hash of every page is compared: reads all of RAM at each scan */
};

/* Borrows vm. Caller owns *ret. ERR_UNSUPPORTED when that source cannot be had. */
struct error *dirty_open(struct vm *vm, enum dirty_source source, struct dirty **ret);
void dirty_close(struct dirty *dirty);
OWN_DECLARE(own_dirty, struct dirty *, dirty_close)

enum dirty_source dirty_source(const struct dirty *dirty);
/* "write-protect (plugin)", "soft-dirty", "page hashes". */
const char *dirty_source_name(enum dirty_source source);

/* Where a consumer stands. Zero: it has seen nothing, the first take gives all data pages. */
struct dirty_cursor {
	uint32_t generation;
};

/* From now on: what was written before is not reported. */
struct error *dirty_cursor_now(struct dirty *dirty, struct dirty_cursor *cursor);

struct dirty_run {
	uint64_t gpa, size_bytes; /* whole pages, ascending, neighbours joined */
};

struct dirty_pages {
	VEC(struct dirty_run) runs;
	size_t n_pages;
};

/* Scans and takes what was written since the cursor's last take. *pages is emptied first and
 * reused. Fails: ERR_PEER when the VM ended. */
struct error *dirty_take(struct dirty *dirty, struct dirty_cursor *cursor,
			 struct dirty_pages *pages);
/* Tells that the guest stands still from now on, or no longer: takes need not stop it. */
void dirty_stands_still(struct dirty *dirty, bool still);
void dirty_pages_deinit(struct dirty_pages *pages);

/* The source that dirty_open with DIRTY_AUTO would use, for `status`; why is static text. */
enum dirty_source dirty_probe(struct vm *vm, const char **why_ret);
#endif
