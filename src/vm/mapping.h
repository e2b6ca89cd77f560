/* A read-only shared mapping of a file that survives the file being cut short underneath it: a
 * read past the new end gives zeros and the mapping reports itself dead, instead of SIGBUS
 * ending the process. Also finds the data extents of sparse files. Thread: any number of
 * readers; create and destroy on one thread at a time. */
#ifndef VM_MAPPING_H
#define VM_MAPPING_H
#include <stdbool.h>
#include <stdint.h>
#include "base/own.h"
struct error;
struct mapping;

/* Maps the whole file behind fd, which is taken also on failure; what names it in messages.
 * Caller owns *ret. Fails: ERR_SYSTEM, ERR_BAD_DATA (empty or not a regular file), ERR_LIMIT.
 */
struct error *mapping_create(int fd, const char *what, struct mapping **ret);

/* Opens path read-only and maps it. */
struct error *mapping_open(const char *path, struct mapping **ret);
void mapping_destroy(struct mapping *mapping);
OWN_DECLARE(own_mapping, struct mapping *, mapping_destroy)

const uint8_t *mapping_bytes(const struct mapping *mapping);
uint64_t mapping_size(const struct mapping *mapping);
int mapping_fd(const struct mapping *mapping); /* borrowed */

/* False once the file is shorter than what was mapped. */
bool mapping_alive(struct mapping *mapping);

/* Next run of file offsets at or after offset that may hold data; false at the end. */
bool mapping_next_data(struct mapping *mapping, uint64_t offset, uint64_t *start_ret,
		       uint64_t *end_ret);
#endif
