/* Loops of learn_sample.c whose iterations need the one before: they run in order. */
#ifndef LEARN_SAMPLE_SERIAL_H
#define LEARN_SAMPLE_SERIAL_H
#include <stddef.h>
#include <stdint.h>

#define KEEP __attribute__((noinline, noclone, used))
#define SERIAL KEEP
#define SERIAL_NAME(name) s_##name
#include "serial_loops.h"

static KEEP uint32_t s_digits(uint32_t value, uint32_t base)
{
	uint32_t count = 0;
	do {
		value /= base;
		count++;
	} while (value);
	return count;
}

static KEEP void s_prefix(uint32_t *p, size_t n)
{
	for (size_t i = 1; i < n; i++)
		p[i] += p[i - 1];
}

static KEEP void s_next(uint32_t *p, size_t n)
{
	for (size_t i = 0; i + 1 < n; i++)
		p[i + 1] = p[i] ^ 0x55;
}

static KEEP uint32_t s_hash(const uint8_t *p, size_t n)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

static KEEP void s_delay(uint32_t *R d, const uint32_t *R s, size_t n)
{
	uint32_t last = 0;
	for (size_t i = 0; i < n; i++) {
		d[i] = last;
		last = s[i];
		__asm__ volatile("" : "+r"(last));
	}
}

static KEEP uint32_t s_adler(const uint8_t *p, size_t n)
{
	uint32_t a = 1, b = 0;
	for (size_t i = 0; i < n; i++) {
		a += p[i];
		b += a;
	}
	return a % 65521 | b % 65521 << 16;
}

static KEEP void s_xorshift(uint64_t *p, size_t n, uint64_t x)
{
	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = x;
	}
}

static KEEP void s_filter(int32_t *R y, const int32_t *R x, size_t n)
{
	for (size_t i = 1; i < n; i++)
		y[i] = (y[i - 1] * 3 + x[i]) >> 2;
}

static KEEP size_t s_words(const char *p, size_t *length_ret)
{
	size_t spaces = 0;
	const char *at = p;
	for (; *at; at++)
		spaces += *at == ' ';
	*length_ret = (size_t)(at - p);
	return spaces;
}

static KEEP void s_copy_zero(uint8_t *R d, const uint8_t *R s) /* leaves after its store */
{
	for (;;) {
		uint8_t c = *s++;
		*d++ = c;
		__asm__ volatile("" ::: "memory");
		if (!c)
			return;
	}
}

static KEEP void s_cell(uint32_t *R sum, const uint32_t *R p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		*sum += p[i];
		__asm__ volatile("" ::: "memory");
	}
}

static KEEP uint64_t s_fibonacci(size_t n)
{
	uint64_t a = 0, b = 1;
	while (n--) {
		uint64_t next = a + b;
		a = b;
		b = next;
	}
	return a;
}

static KEEP uint32_t s_lag(uint32_t *d, size_t lag, size_t n) /* may read what it stores */
{
	uint32_t h = 1;
	for (size_t i = 0; i < n; i++) {
		d[i] = h;
		__asm__ volatile("" ::: "memory");
		h = h * 33 + d[i - lag];
	}
	return h;
}

static KEEP void s_helper(const uint32_t *s, size_t n)
{
	/* rax comes from the pass before and goes into something without a meaning here, which
	 * only who leaves sees: the guest's own last pass makes it */
	__asm__ volatile("xor %%ecx, %%ecx\n"
			 "1: cvtsi2sd %%eax, %%xmm0\n"
			 "mov (%0,%%rcx,4), %%eax\n"
			 "inc %%rcx\n"
			 "cmp %1, %%rcx\n"
			 "jb 1b"
			 :
			 : "r"(s), "r"(n)
			 : "rax", "rcx", "xmm0", "memory", "cc");
}

static KEEP uint32_t s_table(uint32_t h, const uint8_t *p, size_t n, uint32_t *table)
{
	/* a table that the loop itself changes */
	for (size_t i = 0; i < n; i++) {
		h = h >> 8 ^ table[(h ^ p[i]) & 0xff];
		table[(h ^ p[i]) & 0xff] = h;
	}
	return h;
}

static KEEP char *s_hex(char *end, uint64_t value, const char *R digits) /* goes down */
{
	do {
		*--end = digits[value & 15];
		value >>= 4;
	} while (value);
	return end;
}
#endif
