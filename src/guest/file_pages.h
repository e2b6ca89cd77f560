/* Bytes of a file as far as its pages are in memory. Thread: that of the guest. */
#ifndef GUEST_FILE_PAGES_H
#define GUEST_FILE_PAGES_H
#include <stddef.h>
#include <stdint.h>
struct error;
struct guest;

/* The struct address_space of an open file; 0 when it has none. */
uint64_t guest_file_mapping(struct guest *guest, uint64_t file_gva);

/* Copies the file behind an address_space, at most max_bytes of it; pages that are not in
 * memory read as zero. Caller owns *ret (free). Fails: ERR_NOT_FOUND (no page is there, or the
 * kernel's page structures are not understood), ERR_LIMIT (the file is longer), ERR_MEMORY. */
struct error *guest_file_pages_read(struct guest *guest, uint64_t mapping_gva, size_t max_bytes,
				    uint8_t **ret, size_t *n_ret);
#endif
