/* Writes a kernel's symbols and types as an ISF file, the JSON form that Volatility 3 reads.
 * The file serves every boot of the same kernel: addresses are those it was linked at. Thread:
 * that of the guest. */
#ifndef GUEST_ISF_WRITE_H
#define GUEST_ISF_WRITE_H
#include <stddef.h>
#include <stdint.h>
struct error;
struct guest;

struct isf_written {
	size_t base_types, user_types, enums, symbols;
	uint64_t json_bytes; /* before compression */
};

/* A path that ends in .xz is compressed. Nothing is left at path if it fails. Fails:
 * ERR_NOT_FOUND (no symbols or types), ERR_SYSTEM. */
struct error *isf_write(struct guest *guest, const char *path, struct isf_written *ret);
#endif
