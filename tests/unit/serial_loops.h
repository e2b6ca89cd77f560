/* Loops whose iterations need the one before, for a guest's program and for learn_sample.c,
 * which gives them names of its own. */
#ifndef SERIAL_LOOPS_H
#define SERIAL_LOOPS_H
#include <stddef.h>
#include <stdint.h>

#define R restrict
#ifndef SERIAL
#define SERIAL __attribute__((noinline, used))
#define SERIAL_NAME(name) loop_##name
#endif

static SERIAL uint32_t SERIAL_NAME(crc)(uint32_t crc, const uint8_t *p, size_t n,
					const uint32_t *R table)
{
	for (size_t i = 0; i < n; i++)
		crc = crc >> 8 ^ table[(crc ^ p[i]) & 0xff];
	return crc;
}

static SERIAL uint32_t SERIAL_NAME(crc_sliced)(uint32_t crc, const uint32_t *p, size_t n,
					       const uint32_t *R table)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t a = p[2 * i] ^ crc, b = p[2 * i + 1];
		crc = table[7 * 256 + (a & 0xff)] ^ table[6 * 256 + (a >> 8 & 0xff)] ^
		      table[5 * 256 + (a >> 16 & 0xff)] ^ table[4 * 256 + (a >> 24)] ^
		      table[3 * 256 + (b & 0xff)] ^ table[2 * 256 + (b >> 8 & 0xff)] ^
		      table[256 + (b >> 16 & 0xff)] ^ table[b >> 24];
	}
	return crc;
}

static SERIAL void SERIAL_NAME(lcg)(uint32_t *p, size_t n, uint32_t x)
{
	for (size_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = x;
	}
}

static SERIAL int SERIAL_NAME(mandelbrot)(int64_t cx, int64_t cy, int most)
{
	int64_t x = 0, y = 0;
	int i = 0;
	for (; i < most; i++) {
		int64_t xx = x * x >> 28, yy = y * y >> 28;
		if (xx + yy > 4ll << 28)
			break;
		y = (x * y >> 27) + cy;
		x = xx - yy + cx;
	}
	return i;
}

static SERIAL size_t SERIAL_NAME(copy_until)(uint8_t *R d, const uint8_t *R s, size_t n,
					     uint8_t end)
{
	size_t i = 0;
	for (; i < n && s[i] != end; i++)
		d[i] = s[i];
	return i;
}

static SERIAL void SERIAL_NAME(histogram)(uint32_t *R h, const uint8_t *R s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h[s[i]]++;
}
#endif
