/* Loops that programmers write, for the learner to meet in a running guest: compiled by gcc and
 * clang at -O0, -O2 and -O3 (tests/integration/learn_programs.py). Runs all of them over and
 * over, for as many rounds as it is told, and prints a checksum that does not depend on how it
 * was compiled. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 4096, WIDE = 64 };
#define LOOP static __attribute__((noinline))

static uint32_t a[N], b[N], c[N];
static int32_t s[N];
static uint16_t h[N];
static uint8_t x[N], y[N], z[N], table[256];
static int32_t rows[WIDE][WIDE], columns[WIDE][WIDE];

LOOP void mix(uint32_t *to, const uint32_t *p, const uint32_t *q, int n)
{
	for (int i = 0; i < n; i++)
		to[i] = (p[i] ^ q[i]) + 0x9e3779b9u;
}

LOOP void scale(int32_t *to, const int32_t *p, int32_t factor, int n)
{
	for (int i = 0; i < n; i++)
		to[i] = p[i] * factor + (p[i] >> 3);
}

LOOP uint32_t total(const uint32_t *p, int n)
{
	uint32_t sum = 0;
	for (int i = 0; i < n; i++)
		sum += p[i];
	return sum;
}

LOOP uint32_t dot(const uint16_t *p, const uint16_t *q, int n)
{
	uint32_t sum = 0;
	for (int i = 0; i < n; i++)
		sum += (uint32_t)p[i] * q[i];
	return sum;
}

LOOP int32_t largest(const int32_t *p, int n)
{
	int32_t most = INT32_MIN;
	for (int i = 0; i < n; i++)
		if (p[i] > most)
			most = p[i];
	return most;
}

LOOP unsigned count_below(const uint8_t *p, uint8_t limit, int n)
{
	unsigned count = 0;
	for (int i = 0; i < n; i++)
		if (p[i] < limit)
			count++;
	return count;
}

LOOP void upper(uint8_t *p, int n)
{
	for (int i = 0; i < n; i++)
		if (p[i] >= 'a' && p[i] <= 'z')
			p[i] = (uint8_t)(p[i] - 'a' + 'A');
}

LOOP void translate(uint8_t *to, const uint8_t *from, const uint8_t *map, int n)
{
	for (int i = 0; i < n; i++)
		to[i] = map[from[i]];
}

LOOP void blend(uint8_t *to, const uint8_t *p, const uint8_t *q, unsigned alpha, int n)
{
	for (int i = 0; i < n; i++)
		to[i] = (uint8_t)((p[i] * alpha + q[i] * (256 - alpha)) >> 8);
}

LOOP void clamp(int32_t *p, int32_t low, int32_t high, int n)
{
	for (int i = 0; i < n; i++)
		p[i] = p[i] < low ? low : p[i] > high ? high : p[i];
}

LOOP void backwards(uint32_t *to, const uint32_t *from, int n)
{
	for (int i = 0; i < n; i++)
		to[i] = from[n - 1 - i];
}

LOOP void every_third(uint32_t *p, uint32_t v, int n)
{
	for (int i = 0; i < n; i += 3)
		p[i] = v;
}

LOOP void widen(uint16_t *to, const uint8_t *from, int n)
{
	for (int i = 0; i < n; i++)
		to[i] = (uint16_t)(from[i] << 4);
}

LOOP void swap_bytes(uint32_t *p, int n)
{
	for (int i = 0; i < n; i++)
		p[i] = __builtin_bswap32(p[i]);
}

LOOP int find(const uint8_t *p, uint8_t v, int n)
{
	for (int i = 0; i < n; i++)
		if (p[i] == v)
			return i;
	return -1;
}

LOOP int differ(const uint8_t *p, const uint8_t *q, int n)
{
	int i = 0;
	while (i < n && p[i] == q[i])
		i++;
	return i;
}

LOOP size_t length(const char *p)
{
	const char *end = p;
	while (*end)
		end++;
	return (size_t)(end - p);
}

LOOP void transpose(int32_t (*to)[WIDE], int32_t (*from)[WIDE])
{
	for (int i = 0; i < WIDE; i++)
		for (int j = 0; j < WIDE; j++)
			to[j][i] = from[i][j];
}

LOOP void distances(int32_t *to, const int32_t *p, int32_t at, int n)
{
	for (int i = 0; i < n; i++)
		to[i] = p[i] > at ? p[i] - at : at - p[i];
}

LOOP uint32_t all_bits(const uint32_t *p, int n)
{
	uint32_t bits = 0;
	for (int i = 0; i < n; i++)
		bits |= p[i];
	return bits;
}

/* Loops inside that constants end. */
LOOP void count_ones(uint32_t *to, const uint32_t *p, int n)
{
	for (int i = 0; i < n; i++) {
		uint32_t ones = 0;
		for (int k = 0; k < 32; k++)
			ones += p[i] >> k & 1;
		to[i] = ones;
	}
}

LOOP void mix_blocks(uint32_t *to, const uint32_t *from, int blocks)
{
	for (int i = 0; i < blocks; i++) {
		uint32_t p = from[16 * i], q = from[16 * i + 1];
		for (int round = 0; round < 16; round++) {
			p += q ^ from[16 * i + round];
			q = (q << 12 | q >> 20) ^ p;
		}
		to[2 * i] = p;
		to[2 * i + 1] = q;
	}
}

LOOP void matrices(int32_t *to, const int32_t *p, const int32_t *m, int count)
{
	for (int n = 0; n < count; n++, to += 16, p += 16)
		for (int i = 0; i < 16; i += 4)
			for (int j = 0; j < 4; j++)
				to[i + j] = (int32_t)((uint32_t)p[i] * (uint32_t)m[j] +
						      (uint32_t)p[i + 1] * (uint32_t)m[4 + j]);
}

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1, sum = 0;
	uint32_t seed = 1;
	for (unsigned i = 0; i < N; i++) {
		a[i] = next(&seed);
		b[i] = next(&seed);
		s[i] = (int32_t)(next(&seed) << 8);
		h[i] = (uint16_t)next(&seed);
		x[i] = y[i] = (uint8_t)(1 + next(&seed) % 250);
		table[i % 256] = (uint8_t)(i * 7 + 3);
		rows[i / WIDE][i % WIDE] = (int32_t)next(&seed);
	}
	x[N - 1] = 0;
	y[N - 1] = 255;
	for (unsigned r = 0; r < rounds; r++) {
		mix(c, a, b, N);
		scale((int32_t *)b, s, 7, N);
		sum += total(c, N) + dot(h, (const uint16_t *)a, N) + (uint32_t)largest(s, N) +
		       count_below(x, 99, N);
		translate(z, x, table, N);
		upper(z, N);
		blend(z, z, y, 77 + r % 9, N);
		memcpy(c, s, sizeof(c));
		clamp((int32_t *)c, -100000, 100000, N);
		sum += all_bits(c, N);
		backwards(a, b, N);
		every_third(a, r, N);
		widen(h, z, N);
		swap_bytes(a, N);
		sum += (unsigned)find(x, 0, N) + (unsigned)differ(x, y, N) +
		       (unsigned)length((const char *)x);
		transpose(columns, rows);
		distances(s, (const int32_t *)a, 1000, N);
		count_ones(c, a, N);
		sum += c[r % N];
		mix_blocks(c, a, N / 16);
		sum += c[r % (N / 8)];
		matrices((int32_t *)c, (const int32_t *)a, s, N / 16);
		sum += c[r % N];
		sum += (unsigned)columns[3][5] + z[r % N] + (unsigned)s[r % N] + h[7];
	}
	printf("%08x\n", sum);
	return 0;
}
