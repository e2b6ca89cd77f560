/* Each C function is compiled with gcc -O3 (see meson.build) for the same instruction sets as
 * the kernel, so that the executors are measured against what a C programmer would get. */
#include "mcode/sample.h"

#include <stddef.h>

/* For what the machine has, as a kernel is. */
#define LOOP __attribute__((target_clones("arch=x86-64-v3", "default"))) static uint64_t

#define INTS(p) ((uint32_t *)(void *)(p))

LOOP c_xor(uint8_t *const *s, uint64_t n, uint64_t a)
{
	uint32_t *restrict to = INTS(s[2]);
	const uint32_t *x = INTS(s[0]), *y = INTS(s[1]);
	for (uint64_t k = 0; k < n; k++)
		to[k] = x[k] ^ y[k];
	return 0;
}

LOOP c_muladd(uint8_t *const *s, uint64_t n, uint64_t a)
{
	uint32_t *restrict to = INTS(s[2]), factor = (uint32_t)a;
	const uint32_t *x = INTS(s[0]), *y = INTS(s[1]);
	for (uint64_t k = 0; k < n; k++)
		to[k] = x[k] * factor + (y[k] >> 7);
	return 0;
}

LOOP c_sum(uint8_t *const *s, uint64_t n, uint64_t a)
{
	const uint8_t *x = s[0];
	for (uint64_t k = 0; k < n; k++)
		a += x[k];
	return a;
}

LOOP c_sum32(uint8_t *const *s, uint64_t n, uint64_t a)
{
	const uint32_t *x = INTS(s[0]);
	uint32_t sum = (uint32_t)a;
	for (uint64_t k = 0; k < n; k++)
		sum += x[k];
	return sum;
}

LOOP c_max(uint8_t *const *s, uint64_t n, uint64_t a)
{
	const uint32_t *x = INTS(s[0]);
	uint32_t most = (uint32_t)a;
	for (uint64_t k = 0; k < n; k++)
		most = x[k] > most ? x[k] : most;
	return most;
}

LOOP c_count(uint8_t *const *s, uint64_t n, uint64_t a)
{
	const uint8_t *x = s[0];
	uint64_t count = 0;
	for (uint64_t k = 0; k < n; k++)
		count += x[k] == (uint8_t)a;
	return count;
}

LOOP c_grey(uint8_t *const *s, uint64_t n, uint64_t a)
{
	const uint8_t *rgb = s[0];
	uint8_t *restrict to = s[2];
	for (uint64_t k = 0; k < n; k++)
		to[k] = (uint8_t)((rgb[3 * k] * 77u + rgb[3 * k + 1] * 150u +
				   rgb[3 * k + 2] * 29u) >>
				  8);
	return 0;
}

LOOP c_bswap(uint8_t *const *s, uint64_t n, uint64_t a)
{
	const uint32_t *x = INTS(s[0]);
	uint32_t *restrict to = INTS(s[2]);
	for (uint64_t k = 0; k < n; k++)
		to[k] = __builtin_bswap32(x[k]);
	return 0;
}

LOOP c_brighten(uint8_t *const *s, uint64_t n, uint64_t a)
{
	const uint8_t *x = s[0];
	uint8_t *restrict to = s[2];
	for (uint64_t k = 0; k < n; k++) {
		unsigned v = x[k] + (unsigned)(uint8_t)a;
		to[k] = (uint8_t)(v > 255 ? 255 : v);
	}
	return 0;
}

LOOP c_mix(uint8_t *const *s, uint64_t n, uint64_t a)
{
	const uint32_t *x = INTS(s[0]);
	uint32_t *restrict to = INTS(s[2]);
	for (uint64_t k = 0; k < n; k++) {
		uint32_t v = x[k];
		v ^= v >> 16;
		v *= 0x85ebca6bu;
		v ^= v >> 13;
		v *= 0xc2b2ae35u;
		v ^= v >> 16;
		to[k] = v;
	}
	return 0;
}

LOOP c_find(uint8_t *const *s, uint64_t n, uint64_t a)
{
	const uint8_t *x = s[0];
	uint64_t k = 0;
	while (k < n && x[k] != 0xff)
		k++;
	return k;
}

/* Fixed-point (12 bits of fraction), 64 steps at most; column k of one row. */
LOOP c_mandelbrot(uint8_t *const *s, uint64_t n, uint64_t a)
{
	uint32_t *restrict to = INTS(s[2]);
	for (uint64_t k = 0; k < n; k++) {
		int32_t cr = (int32_t)(k & 0xfff) * 3 - 8192,
			ci = (int32_t)(k >> 12 & 0xfff) - 2048;
		int32_t zr = 0, zi = 0;
		uint32_t step = 0;
		for (; step < 64; step++) {
			int32_t rr = zr * zr >> 12, ii = zi * zi >> 12;
			if (rr + ii > 16384)
				break;
			zi = (zr * zi >> 11) + ci;
			zr = rr - ii + cr;
		}
		to[k] = step;
	}
	return 0;
}

#define HEAD                                                                               \
	".trip v3\n.slots 8\n.input v0 rdi\n.input v1 rsi\n.input v2 rdx\n.input v3 rcx\n" \
	".input v4 rax\n"
#define READ(s, v, bytes) \
	".stream s" #s " read base v" #v " stride " #bytes " window 0 " #bytes "\n"
#define WRITE(s, bytes) ".stream s" #s " write base v2 stride " #bytes " window 0 " #bytes "\n"
#define GO ".guard\nldi r0, #1\n.body\n"
#define REDUCE(op) ".exit rax v4\n.reduce " op " v4 v5\n"

const struct mcode_sample mcode_samples[] = {
	{ "xor_u32", c_xor, 4, 4, 4, 0,
	  HEAD READ(0, 0, 4) READ(1, 1, 4) WRITE(2, 4) GO
	  "ld.32 r1, s0\nld.32 r2, s1\nxor.32 r1, r1, r2\nst.32 s2, r1\n" },
	{ "muladd_u32", c_muladd, 4, 4, 4, 0x1003f,
	  HEAD READ(0, 0, 4) READ(1, 1, 4) WRITE(2, 4) GO
	  "ld.32 r1, s0\nld.32 r2, s1\nget r3, v4\nmul.32 r1, r1, r3\nshr.32 r2, r2, #7\n"
	  "add.32 r1, r1, r2\nst.32 s2, r1\n" },
	{ "mix_u32", c_mix, 4, 0, 4, 0,
	  HEAD READ(0, 0,
		    4) ".stream s1 write base v2 stride 4 window 0 4\n" GO
		       "ld.32 r1, s0\nshr.32 r2, r1, #16\nxor.32 r1, r1, r2\nmul.32 r1, r1, "
		       "#0x85ebca6b\n"
		       "shr.32 r2, r1, #13\nxor.32 r1, r1, r2\nmul.32 r1, r1, #0xc2b2ae35\n"
		       "shr.32 r2, r1, #16\nxor.32 r1, r1, r2\nst.32 s1, r1\n" },
	{ "bswap_u32", c_bswap, 4, 0, 4, 0,
	  HEAD READ(0, 0, 4) ".stream s1 write base v2 stride 4 window 0 4\n" GO
			     "ld.32 r1, s0\nbswap.32 r1, r1\nst.32 s1, r1\n" },
	{ "brighten_u8", c_brighten, 1, 0, 1, 40,
	  HEAD READ(0, 0, 1) ".stream s1 write base v2 stride 1 window 0 1\n" GO
			     "ld.8 r1, s0\nget r2, v4\naddsu.8 r1, r1, r2\nst.8 s1, r1\n" },
	{ "grey_u8", c_grey, 3, 0, 1, 0,
	  HEAD READ(0, 0, 3) ".stream s1 write base v2 stride 1 window 0 1\n" GO
			     "ld.8 r1, s0\nld.8 r2, s0+1\nld.8 r3, s0+2\nmul.32 r1, r1, "
			     "#77\nmul.32 r2, r2, #150\n"
			     "mul.32 r3, r3, #29\nadd.32 r1, r1, r2\nadd.32 r1, r1, r3\nshr.32 "
			     "r1, r1, #8\n"
			     "st.8 s1, r1\n" },
	{ "sum_u8", c_sum, 1, 0, 0, 5,
	  HEAD READ(0, 0, 1) REDUCE("add") GO "ld.8 r1, s0\nput v5, r1\n" },
	{ "sum_u32", c_sum32, 4, 0, 0, 5,
	  HEAD READ(0, 0, 4) REDUCE("add.32") GO "ld.32 r1, s0\nput v5, r1\n" },
	{ "max_u32", c_max, 4, 0, 0, 5,
	  HEAD READ(0, 0, 4) REDUCE("maxu.32") GO "ld.32 r1, s0\nput v5, r1\n" },
	{ "count_u8", c_count, 1, 0, 0, 0x20,
	  ".trip v3\n.slots 8\n.input v0 rdi\n.input v3 rcx\n.input v6 rax\n" READ(0, 0, 1)
		  REDUCE("add") GO
	  "ld.8 r1, s0\nget r2, v6\ncmpeq.8 r1, r1, r2\nput v5, r1\n" },
	{ "find_u8", c_find, 1, 0, 0, 0,
	  HEAD ".search v5\n.exit rax v6\n" READ(0, 0, 1) GO
	  "ld.8 r1, s0\ncmpeq.8 r1, r1, #0xff\nput v5, r1\n.finish\nput v6, r0\n" },
	{ "mandelbrot", c_mandelbrot, 0, 0, 4, 0,
	  HEAD ".fuel 100\n.stream s0 write base v2 stride 4 window 0 4\n" GO
	       "and.32 r1, r0, #0xfff\nmul.32 r1, r1, #3\nsub.32 r1, r1, #8192\n" /* cr */
	       "shr r2, r0, #12\nand.32 r2, r2, #0xfff\nsub.32 r2, r2, #2048\n" /* ci */
	       "again:\n"
	       "mul.32 r6, r3, r3\nsar.32 r6, r6, #12\nmul.32 r7, r4, r4\nsar.32 r7, r7, #12\n"
	       "add.32 r8, r6, r7\ncmples.32 r8, r8, #16384\njz r8, done\n"
	       "mul.32 r4, r3, r4\nsar.32 r4, r4, #11\nadd.32 r4, r4, r2\n"
	       "sub.32 r3, r6, r7\nadd.32 r3, r3, r1\n"
	       "add.32 r5, r5, #1\ncmpltu.32 r8, r5, #64\njnz r8, again\n"
	       "done:\nst.32 s0, r5\n" },
	{ NULL },
};
