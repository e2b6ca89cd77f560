/* Guest-physical memory as a list of segments, so that a live QEMU, a dump file and a test
 * fixture look the same to room guest. Room vm and the dump readers fill one in; readers only
 * borrow it. Thread: any number of readers once it is filled in; the bytes behind it may change
 * at any time. */
#ifndef BASE_PHYS_MEM_H
#define BASE_PHYS_MEM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stable.h"
struct error;

#define PHYS_PAGE_SIZE 4096u

/* One run of guest-physical addresses. Segments are sorted by gpa and do not overlap. */
struct phys_segment {
	uint64_t gpa; /* first guest-physical address, a multiple of 4096 */
	uint64_t size_bytes; /* a multiple of 4096 except perhaps in the last segment of a file
			      */
	const uint8_t *host; /* mapping of the whole segment, or NULL: only through ops->read */
	uint64_t file_offset; /* where the segment starts in its backing file */
};

struct phys_mem;

struct phys_mem_ops {
	/* Copies bytes for a segment without a mapping. Returns false if they cannot be had. */
	bool (*read)(struct phys_mem *mem, uint64_t gpa, void *to, size_t length_bytes);
	/* Finds the next run at or after gpa that may hold data (not a hole of a sparse file),
	 * clipped to one segment. Returns false at the end. NULL: every segment is all data. */
	bool (*next_data)(struct phys_mem *mem, uint64_t gpa, uint64_t *start_ret,
			  uint64_t *end_ret);
	/* True while the backing store is still there; false after it was truncated or its
	 * owner died, when mapped bytes read as zero. NULL: always there. */
	bool (*alive)(struct phys_mem *mem);
	/* Lets go of our view of mapped bytes that were only passed over, so that a scan does
	 * not make all of RAM count as our memory. The bytes stay readable. NULL: nothing to
	 * do. */
	void (*forget)(struct phys_mem *mem, const uint8_t *host, size_t length_bytes);
	void (*destroy)(struct phys_mem *mem);
};

struct phys_mem {
	const struct phys_mem_ops *ops; /* NULL: all segments are mapped and nothing is owned */
	const struct phys_segment *segments;
	size_t n_segments;
	bool is_live; /* bytes may change while they are read */
	void *owner; /* private to whoever filled this in */
};

/* Destroys what ops->destroy owns; NULL is fine. */
void phys_mem_destroy(struct phys_mem *mem);

/* Pointer to length_bytes at gpa if they lie in one mapped segment, else NULL. Reading through
 * it may touch a hole of a sparse file and allocate it: for scans use phys_mem_next_data. */
const uint8_t *phys_mem_at(const struct phys_mem *mem, uint64_t gpa, size_t length_bytes);

/* Copies length_bytes from gpa; the range may cross segments. False if any byte is not RAM. */
bool phys_mem_read(struct phys_mem *mem, uint64_t gpa, void *to, size_t length_bytes);

/* The same, and says whether all bytes were there at one moment: see base/stable.h. Memory that
 * is not live is always whole. */
enum stable_result phys_mem_read_stable(struct phys_mem *mem, uint64_t gpa, void *to,
					size_t length_bytes, unsigned looks);

/* Next run of data at or after gpa, clipped to one segment; false at the end of memory. */
bool phys_mem_next_data(struct phys_mem *mem, uint64_t gpa, uint64_t *start_ret,
			uint64_t *end_ret);

/* Segment that holds gpa, or NULL. */
const struct phys_segment *phys_mem_segment(const struct phys_mem *mem, uint64_t gpa);

uint64_t phys_mem_size(
	const struct phys_mem *mem); /* bytes of RAM, holes between segments not counted */
uint64_t phys_mem_end(const struct phys_mem *mem); /* one past the highest address */
bool phys_mem_alive(struct phys_mem *mem);
/* After a scan over [gpa, gpa + length_bytes), which lies in one segment. */
void phys_mem_forget(struct phys_mem *mem, uint64_t gpa, size_t length_bytes);
#endif
