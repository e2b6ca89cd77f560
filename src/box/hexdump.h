/* The classic dump of bytes as text; with a kernel at hand it names what the bytes belong to
 * and what the pointers among them point to. Thread: that of the call. */
#ifndef BOX_HEXDUMP_H
#define BOX_HEXDUMP_H
#include <stddef.h>
#include <stdint.h>
struct guest;

/* guest: the kernel whose addresses these are, or NULL for bytes of anything else. Caller frees
 * the text; NULL without memory. */
char *hexdump_text(struct guest *guest, uint64_t address, const uint8_t *bytes, size_t length);
#endif
