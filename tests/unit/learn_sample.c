/* Loops for the learner's tests: compiled several ways, lifted out of this very process. */
#include "learn_sample.h"

#include <stddef.h>
#include <stdint.h>

#define KEEP __attribute__((noinline, noclone, used))
#define R restrict

static KEEP void k_xor(uint32_t *R c, const uint32_t *R a, const uint32_t *R b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		c[i] = a[i] ^ b[i];
}

static KEEP void k_xorkey(uint8_t *p, uint8_t key, int n)
{
	for (int i = 0; i < n; i++)
		p[i] ^= key;
}

static KEEP void k_saxpy(int32_t *R y, const int32_t *R x, int32_t a, int n)
{
	for (int i = 0; i < n; i++)
		y[i] += a * x[i];
}

static KEEP uint64_t k_sum8(const uint8_t *p, size_t n)
{
	uint64_t s = 0;
	for (size_t i = 0; i < n; i++)
		s += p[i];
	return s;
}

static KEEP uint32_t k_sum32(const uint32_t *p, unsigned n)
{
	uint32_t s = 0;
	for (unsigned i = 0; i < n; i++)
		s += p[i];
	return s;
}

static KEEP int32_t k_max(const int32_t *p, size_t n)
{
	int32_t m = p[0];
	for (size_t i = 1; i < n; i++)
		if (p[i] > m)
			m = p[i];
	return m;
}

static KEEP void k_fill(uint32_t *p, uint32_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = v + (uint32_t)i;
}

static KEEP void k_copy(uint8_t *R d, const uint8_t *R s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		d[i] = s[i];
		__asm__ volatile("");
	}
}

static KEEP void k_grey(uint8_t *R o, const uint8_t *R rgb, size_t n)
{
	for (size_t i = 0; i < n; i++)
		o[i] = (uint8_t)((rgb[3 * i] * 77 + rgb[3 * i + 1] * 150 +
				  rgb[3 * i + 2] * 29) >>
				 8);
}

static KEEP size_t k_count(const char *p, size_t n, char c)
{
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		k += p[i] == c;
	return k;
}

static KEEP void k_lut(uint8_t *R d, const uint8_t *R s, const uint8_t *R t, size_t n)
{
	for (size_t i = 0; i < n; i++)
		d[i] = t[s[i]];
}

static KEEP size_t k_strlen(const char *s)
{
	size_t n = 0;
	while (s[n]) {
		n++;
		__asm__ volatile("");
	}
	return n;
}

static KEEP void k_upper(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] >= 'a' && p[i] <= 'z')
			p[i] = (char)(p[i] - 32);
}

static KEEP uint32_t k_condsum(const int32_t *p, size_t n)
{
	uint32_t s = 0;
	for (size_t i = 0; i < n; i++)
		if (p[i] > 100)
			s += (uint32_t)p[i];
	return s;
}

static KEEP void k_reverse(uint32_t *R d, const uint32_t *R s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		d[i] = s[n - 1 - i];
}

static KEEP int64_t k_find(const uint32_t *p, size_t n, uint32_t v)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] == v)
			return (int64_t)i;
	return -1;
}

/* What must be refused, or kept apart by the guard. */

static KEEP void bad_prefix(uint32_t *p, size_t n) /* needs the element before */
{
	for (size_t i = 1; i < n; i++)
		p[i] += p[i - 1];
}

static KEEP void bad_next(uint32_t *p, size_t n) /* overwrites what the next one reads */
{
	for (size_t i = 0; i + 1 < n; i++)
		p[i + 1] = p[i] ^ 0x55;
}

static KEEP uint32_t bad_hash(const uint8_t *p, size_t n)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

static KEEP void bad_histogram(uint32_t *R h, const uint8_t *R s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h[s[i]]++;
}

static KEEP void bad_float(float *R y, const float *R x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] * 2.5f;
}

static KEEP uint64_t bad_chase(const uint64_t *p)
{
	uint64_t n = 0;
	while (p) {
		p = (const uint64_t *)(uintptr_t)*p;
		n++;
	}
	return n;
}

static KEEP void may_overlap(uint32_t *d, const uint32_t *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		d[i] = s[i] + 1;
		__asm__ volatile("");
	}
}

static KEEP void narrow_index(uint8_t *p, unsigned from, unsigned to) /* the index may wrap */
{
	for (unsigned i = from; i != to; i += 3) {
		p[i] = 7;
		__asm__ volatile("");
	}
}

static KEEP void signed_trip(uint8_t *p, int from, int to)
{
	for (int i = from; i < to; i += 2) {
		p[i] = 9;
		__asm__ volatile("");
	}
}

#define FN(f) (const void *)(uintptr_t)(f)
static const struct sample samples[] = {
	{ "xor", FN(k_xor), "doall" },
	{ "xorkey", FN(k_xorkey), "doall" },
	{ "saxpy", FN(k_saxpy), "doall" },
	{ "sum8", FN(k_sum8), "reduction" },
	{ "sum32", FN(k_sum32), "reduction" },
	{ "max", FN(k_max), "reduction" },
	{ "fill", FN(k_fill), "doall" },
	{ "copy", FN(k_copy), "copy" },
	{ "grey", FN(k_grey), "doall" },
	{ "count", FN(k_count), "reduction" },
	{ "lut", FN(k_lut), "copy" },
	{ "strlen", FN(k_strlen), "search" },
	{ "upper", FN(k_upper), "doall" },
	{ "condsum", FN(k_condsum), "reduction" },
	{ "reverse", FN(k_reverse), "copy" },
	{ "find", FN(k_find), "search" },
	{ "prefix", FN(bad_prefix), NULL },
	{ "next", FN(bad_next), NULL },
	{ "hash", FN(bad_hash), NULL },
	{ "histogram", FN(bad_histogram), NULL },
	{ "float", FN(bad_float), NULL },
	{ "chase", FN(bad_chase), NULL },
	{ "overlap", FN(may_overlap), "doall" },
	{ "narrow", FN(narrow_index), "fill" },
	{ "signed", FN(signed_trip), "fill" },
	{ NULL, NULL, NULL },
};

const struct sample *SAMPLE_TABLE(void)
{
	return samples;
}
