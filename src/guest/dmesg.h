/* The kernel's log: the ring buffer of 5.10 and later. Thread: that of the guest. */
#ifndef GUEST_DMESG_H
#define GUEST_DMESG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct error;
struct guest;

struct guest_record {
	uint64_t sequence, time_ns;
	unsigned level, facility;
	const char *text; /* borrowed; not terminated */
	size_t length;
};

/* Shows every record, oldest first; false from visit ends the walk. Fails: ERR_NOT_FOUND when
 * this kernel has no such buffer, ERR_BAD_DATA, ERR_MEMORY. */
typedef bool guest_record_fn(void *user, const struct guest_record *record);
struct error *guest_dmesg_each(struct guest *guest, guest_record_fn *visit, void *user);
#endif
