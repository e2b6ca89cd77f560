/* Little-endian loads and stores at any alignment, and small arithmetic on addresses. Guest
 * bytes are copied out with these once and never read again through the same pointer. Thread:
 * any. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BYTES_LOAD(name, type)                       \
	static inline type name(const void *from)    \
	{                                            \
		type value;                          \
		memcpy(&value, from, sizeof(value)); \
		return value;                        \
	}
BYTES_LOAD(load_u8, uint8_t)
BYTES_LOAD(load_u16, uint16_t)
BYTES_LOAD(load_u32, uint32_t)
BYTES_LOAD(load_u64, uint64_t)
BYTES_LOAD(load_s32, int32_t)
BYTES_LOAD(load_s64, int64_t)
#undef BYTES_LOAD

static inline uint64_t align_down(uint64_t value, uint64_t power_of_two)
{
	return value & ~(power_of_two - 1);
}

/* Wraps to a small number when value is within power_of_two of 2^64: check sizes from outside
 * first. */
static inline uint64_t align_up(uint64_t value, uint64_t power_of_two)
{
	return align_down(value + power_of_two - 1, power_of_two);
}

/* True when [offset, offset + length) lies inside [0, size). */
static inline bool range_fits(uint64_t offset, uint64_t length, uint64_t size)
{
	return offset <= size && length <= size - offset;
}
#endif
