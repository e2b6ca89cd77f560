/* Has anything changed? Numbers that stay the same as long as the kernel's lists do, made of
 * the few words that tell one state of a list from another: some hundred times cheaper than the
 * lists, so that a watch can look a hundred times a second. What changes all the time (states,
 * memory use, counters) is left out. Thread: that of the guest. */
#ifndef GUEST_FINGERPRINT_H
#define GUEST_FINGERPRINT_H
#include <stdbool.h>
#include <stdint.h>
struct guest;

/* ORDER fingerprints */
enum guest_fingerprint {
	GUEST_PRINT_PROCESSES, /* begun, ended, executed another program, other user or parent
				*/
	GUEST_PRINT_MODULES,
	GUEST_PRINT_MOUNTS, /* in any namespace */
	GUEST_PRINT_FILES, /* descriptors and what they refer to */
	GUEST_PRINT_SOCKETS, /* in tables of protocols, their addresses, states and holders */
	GUEST_N_PRINTS
};

struct guest_fingerprints {
	uint64_t print[GUEST_N_PRINTS];
};

/* False when something could not be read to its end: nothing is known then. */
bool guest_fingerprints_read(struct guest *guest, struct guest_fingerprints *ret);
#endif
