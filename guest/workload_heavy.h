/* Loops of workload.c with much arithmetic for each byte of memory: what a GPU is good at. */
#ifndef GUEST_WORKLOAD_HEAVY_H
#define GUEST_WORKLOAD_HEAVY_H
#include <stddef.h>
#include <stdint.h>

#define LOOP __attribute__((noinline, noclone))

static inline uint32_t rotl(uint32_t x, int by)
{
	return x << by | x >> (32 - by);
}

/* Escape times in 4.28 fixed point, `width` pixels a row. */
static LOOP void loop_mandelbrot(uint32_t *to, int width, int height)
{
	for (int y = 0; y < height; y++) {
		for (int x = 0; x < width; x++) {
			int64_t cr = ((int64_t)x * 3 << 28) / width - (2ll << 28);
			int64_t ci = ((int64_t)y * 2 << 28) / height - (1ll << 28);
			int64_t zr = 0, zi = 0;
			uint32_t count = 0;
			while (count < 64 && zr * zr + zi * zi < 4ll << 56) {
				int64_t next = ((zr * zr - zi * zi) >> 28) + cr;
				zi = ((2 * zr * zi) >> 28) + ci;
				zr = next;
				count++;
			}
			to[y * width + x] = count;
		}
	}
}

/* Ones of each word, one by one. */
static LOOP void loop_bits(uint32_t *to, const uint32_t *a, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t count = 0;
		for (int k = 0; k < 32; k++)
			count += a[i] >> k & 1;
		to[i] = count;
	}
}

/* A filter with sixteen constant taps. */
static LOOP void loop_fir(int32_t *to, const int16_t *from, size_t n)
{
	static const int16_t taps[16] = { 1,   -3,  7,	 -15, 40,  -90, 200, 900,
					  900, 200, -90, 40,  -15, 7,	-3,  1 };

	for (size_t i = 0; i < n; i++) {
		int32_t sum = 0;
		for (int k = 0; k < 16; k++)
			sum += from[i + k] * taps[k];
		to[i] = sum >> 8;
	}
}

/* Rows of a discrete cosine transform in fixed point. */
static LOOP void loop_dct(int32_t *to, const int16_t *from, size_t rows)
{
	for (size_t n = 0; n < rows; n++, to += 8, from += 8) {
		int32_t s0 = from[0] + from[7], d0 = from[0] - from[7];
		int32_t s1 = from[1] + from[6], d1 = from[1] - from[6];
		int32_t s2 = from[2] + from[5], d2 = from[2] - from[5];
		int32_t s3 = from[3] + from[4], d3 = from[3] - from[4];
		int32_t a = s0 + s3, b = s1 + s2, c = s0 - s3, d = s1 - s2;
		to[0] = (int32_t)((uint32_t)(a + b) * 2896) >> 12;
		to[1] = (d0 * 4017 + d1 * 3406 + d2 * 2276 + d3 * 799) >> 12;
		to[2] = (c * 3784 + d * 1567) >> 12;
		to[3] = (d0 * 3406 - d1 * 799 - d2 * 4017 - d3 * 2276) >> 12;
		to[4] = (int32_t)((uint32_t)(a - b) * 2896) >> 12;
		to[5] = (d0 * 2276 - d1 * 4017 + d2 * 799 + d3 * 3406) >> 12;
		to[6] = (c * 1567 - d * 3784) >> 12;
		to[7] = (d0 * 799 - d1 * 2276 + d2 * 3406 - d3 * 4017) >> 12;
	}
}

/* A finaliser of hashes, 28 times over each word. */
static LOOP void loop_hash(uint32_t *to, const uint32_t *from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t x = from[i];
#pragma GCC unroll 28
		for (int round = 0; round < 28; round++) {
			x ^= x >> 16;
			x *= 0x85ebca6b;
			x ^= x >> 13;
			x += 0x9e3779b9;
		}
		to[i] = x;
	}
}

/* Points of a line under z*z + c in fixed point, 24 steps each, all of them: no exit. */
static LOOP void loop_orbit(uint32_t *to, uint32_t first, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int32_t c = (int32_t)(first + (uint32_t)i) >> 4, x = 0, y = 0;
#pragma GCC unroll 24
		for (int step = 0; step < 24; step++) {
			int32_t both = (int32_t)((uint32_t)x * (uint32_t)y) >> 11;
			int32_t square = (int32_t)((uint32_t)x * (uint32_t)x -
						   (uint32_t)y * (uint32_t)y) >>
					 12;
			x = (int32_t)((uint32_t)square + (uint32_t)c);
			y = (int32_t)((uint32_t)both + 77u);
		}
		to[i] = (uint32_t)x ^ (uint32_t)y;
	}
}

static inline uint64_t rotl64(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

#define SIP_ROUND                                   \
	do {                                        \
		v0 += v1, v1 = rotl64(v1, 13) ^ v0; \
		v2 += v3, v3 = rotl64(v3, 16) ^ v2; \
		v0 = rotl64(v0, 32);                \
		v0 += v3, v3 = rotl64(v3, 21) ^ v0; \
		v2 += v1, v1 = rotl64(v1, 17) ^ v2; \
		v2 = rotl64(v2, 32);                \
	} while (0)

/* SipHash-1-3 of each block of 64 bytes. */
static LOOP void loop_siphash(uint64_t *to, const uint64_t *from, const uint64_t *key,
			      size_t blocks)
{
	uint64_t k0 = key[0], k1 = key[1];

	for (size_t n = 0; n < blocks; n++) {
		uint64_t v0 = k0 ^ 0x736f6d6570736575, v1 = k1 ^ 0x646f72616e646f6d;
		uint64_t v2 = k0 ^ 0x6c7967656e657261, v3 = k1 ^ 0x7465646279746573;
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++) {
			uint64_t word = from[8 * n + i];
			v3 ^= word;
			SIP_ROUND;
			v0 ^= word;
		}
		v3 ^= 64ull << 56;
		SIP_ROUND;
		v0 ^= 64ull << 56;
		v2 ^= 255;
		SIP_ROUND;
		SIP_ROUND;
		SIP_ROUND;
		to[n] = v0 ^ v1 ^ v2 ^ v3;
	}
}

/* Chaskey-12 of each block of 64 bytes: key[0..3] is the key, key[4..7] its double. */
static LOOP void loop_chaskey(uint32_t *to, const uint32_t *from, const uint32_t *key,
			      size_t blocks)
{
	for (size_t n = 0; n < blocks; n++) {
		uint32_t v0 = key[0], v1 = key[1], v2 = key[2], v3 = key[3];
		for (int part = 0; part < 16; part += 4) {
			const uint32_t *in = from + 16 * n + part;
			if (part == 12) {
				v0 ^= key[4], v1 ^= key[5], v2 ^= key[6], v3 ^= key[7];
			}
			v0 ^= in[0], v1 ^= in[1], v2 ^= in[2], v3 ^= in[3];
			for (int round = 0; round < 12; round++) {
				v0 += v1, v1 = rotl(v1, 5) ^ v0, v0 = rotl(v0, 16);
				v2 += v3, v3 = rotl(v3, 8) ^ v2;
				v0 += v3, v3 = rotl(v3, 13) ^ v0;
				v2 += v1, v1 = rotl(v1, 7) ^ v2, v2 = rotl(v2, 16);
			}
		}
		to[4 * n] = v0 ^ key[4];
		to[4 * n + 1] = v1 ^ key[5];
		to[4 * n + 2] = v2 ^ key[6];
		to[4 * n + 3] = v3 ^ key[7];
	}
}
/* 2 * x in the field that Chaskey's second key comes from. */
static inline void chaskey_double(uint32_t *to, const uint32_t *x)
{
	for (int i = 0; i < 4; i++)
		to[i] = x[i] << 1 | (i ? x[i - 1] >> 31 : 0);
	to[0] ^= x[3] >> 31 ? 0x87 : 0;
}
#endif
