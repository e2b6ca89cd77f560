/* Runs in the guest, without a C library: loops whose iterations need the one before, over
 * memory that fills page by page, and what came of each. */
#include <stddef.h>
#include <stdint.h>

#include "../../unit/serial_loops.h"

enum { BYTES = 1 << 16, REPS = 6, DEEP = 20000 };

static uint8_t from[BYTES + 16], to[BYTES + 16];
static uint32_t tables[8 * 256];
static uint32_t counts[256] __attribute__((aligned(1024)));

static SERIAL uint32_t loop_adler(const uint8_t *p, size_t n)
{
	uint32_t a = 1, b = 0;
	for (size_t i = 0; i < n; i++) {
		a += p[i];
		b += a;
	}
	return a ^ b << 7;
}

static SERIAL uint64_t loop_fnv(const uint8_t *p, size_t n)
{
	uint64_t h = 14695981039346656037ull;
	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 1099511628211ull;
	return h;
}

static SERIAL void loop_filter(int32_t *R y, const int32_t *R x, size_t n)
{
	for (size_t i = 1; i < n; i++)
		y[i] = (int32_t)((uint32_t)y[i - 1] * 3 + (uint32_t)x[i]) >> 2;
}

static SERIAL size_t loop_words(const uint8_t *p, uint32_t *sum_ret)
{
	uint32_t sum = 0;
	const uint8_t *at = p;
	for (; *at; at++)
		sum = sum * 31 + *at;
	*sum_ret = sum;
	return (size_t)(at - p);
}

static SERIAL uint32_t loop_horner(const uint32_t *p, size_t n, uint32_t x)
{
	uint32_t sum = 0;
	for (size_t i = 0; i < n; i++)
		sum = sum * x + p[i];
	return sum;
}

static long call3(long number, long a, const void *b, long c)
{
	long result;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return result;
}

static void report(const char *name, uint64_t value)
{
	char text[64];
	long n = 0;
	for (; name[n]; n++)
		text[n] = name[n];
	text[n++] = '=';
	for (int shift = 60; shift >= 0; shift -= 4)
		text[n++] = "0123456789abcdef"[value >> shift & 15];
	text[n++] = '\n';
	call3(1, 1, text, n);
}

/* Sees every byte that a loop has stored. */
static uint64_t weigh(uint64_t sum)
{
	for (size_t i = 0; i < BYTES / 8; i++) {
		sum = (sum << 5 | sum >> 59) ^ ((const volatile uint64_t *)(void *)to)[i];
		__asm__ volatile("" : "+r"(sum));
	}
	return sum;
}

static void prepare(void)
{
	uint32_t x = 12345;
	for (size_t i = 0; i < BYTES; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		from[i] = (uint8_t)(x | 1);
	}
	from[BYTES - 100] = 0;
	for (uint32_t i = 0; i < 8 * 256; i++) {
		uint32_t crc = i;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0xedb88320 & -(crc & 1));
		tables[i] = crc;
	}
}

__attribute__((noreturn, used, force_align_arg_pointer)) void _start(void)
{
	uint64_t sum = 0;
	uint32_t part = 0;
	prepare();
	for (int i = 0; i < REPS; i++)
		sum = sum * 5 + loop_adler(from + i, BYTES - 7);
	report("adler", sum);
	for (int i = 0; i < REPS; i++)
		sum = sum * 5 + loop_crc((uint32_t)i, from + i, BYTES - 7, tables);
	report("crc", sum);
	for (int i = 0; i < REPS; i++)
		sum = sum * 5 + loop_crc_sliced((uint32_t)i, (const uint32_t *)(void *)from,
						BYTES / 8, tables);
	report("crc_sliced", sum);
	for (int i = 0; i < REPS; i++) {
		loop_lcg((uint32_t *)(void *)to, BYTES / 4, (uint32_t)i);
		sum = weigh(sum);
	}
	report("lcg", sum);
	for (int i = 0; i < REPS; i++)
		sum = sum * 5 + loop_fnv(from + i, BYTES - 7);
	report("fnv", sum);
	for (int i = 0; i < REPS; i++) {
		loop_filter((int32_t *)(void *)to, (const int32_t *)(void *)from, BYTES / 4);
		sum = weigh(sum);
	}
	report("filter", sum);
	for (int i = 0; i < REPS; i++)
		sum = sum * 5 + loop_words(from + i, &part) + part;
	report("words", sum);
	for (int i = 0; i < REPS; i++)
		sum = weigh(sum + loop_copy_until(to, from + i, BYTES - 7, 0));
	report("copy_until", sum);
	for (int i = 0; i < REPS; i++)
		sum = sum * 5 +
		      (uint64_t)loop_mandelbrot(-(1 << 27) + i * 1234567, 1 << 26, DEEP);
	sum = sum * 5 + (uint64_t)loop_mandelbrot(1 << 27, 1 << 26, DEEP);
	report("mandelbrot", sum);
	for (int i = 0; i < REPS; i++)
		sum = sum * 5 + loop_horner((const uint32_t *)(void *)from, BYTES / 4, 77);
	report("horner", sum);
	for (int i = 0; i < REPS; i++)
		loop_histogram(counts, from + i, BYTES - 7);
	for (int i = 0; i < 256; i++)
		sum = sum * 31 + counts[i];
	report("histogram", sum);
	call3(60, 0, NULL, 0);
	__builtin_unreachable();
}
