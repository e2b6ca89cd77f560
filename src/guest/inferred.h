/* Members of structures that were worked out from memory, for kernels that carry no types. They
 * are found by the same names as those of real types, so every reader works with what is known
 * and says what is missing. Thread: that of the guest. */
#ifndef GUEST_INFERRED_H
#define GUEST_INFERRED_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct field;
struct guest;

/* "struct.member", as guest_field is asked for it. */
void inferred_add(struct guest *guest, const char *path, uint64_t offset, uint32_t size_bytes);
/* A member of bit_size bits, bit_shift bits into the byte at offset. */
void inferred_add_bits(struct guest *guest, const char *path, uint64_t offset,
		       unsigned bit_shift, unsigned bit_size);
/* "struct name", as guest_sizeof is asked for it. */
void inferred_add_size(struct guest *guest, const char *type, uint64_t size_bytes);
/* As guest_enum is asked for it. */
void inferred_add_enum(struct guest *guest, const char *name, int64_t value);
void inferred_add_symbol(struct guest *guest, const char *name, uint64_t gva);

bool inferred_find(const struct guest *guest, const char *path, size_t length,
		   struct field *ret);
size_t inferred_count(const struct guest *guest);
void inferred_forget(struct guest *guest);
#endif
