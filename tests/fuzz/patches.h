/* Fuzz input as a list of changes to a make-believe kernel: { u24 offset, u8 length, bytes }.
 * So every run starts from something that nearly works. */
#ifndef FUZZ_PATCHES_H
#define FUZZ_PATCHES_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Xors the input's bytes into target; doing it twice undoes it. */
static inline void patches_apply(uint8_t *target, size_t target_size, const uint8_t *bytes,
				 size_t size)
{
	/* A handful at a time: more leaves nothing that works. */
	if (size > 96)
		size = 8 + (bytes[0] + bytes[1]) % 88;
	while (size > 4) {
		size_t offset = bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16;
		size_t length = bytes[3] % 16 + 1u;
		bytes += 4;
		size -= 4;
		if (length > size)
			length = size;
		offset %= target_size - 16;
		for (size_t i = 0; i < length; i++)
			target[offset + i] ^= bytes[i];
		bytes += length;
		size -= length;
	}
}
#endif
